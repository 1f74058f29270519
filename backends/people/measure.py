"""Measuring people against a truth: recall, precision, how close the keypoints are, and how often a track changes persons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.base import PersonTrack
from backends.people.body import compute_ious

__all__ = ["PCK_POINTS", "PeopleScore", "count_id_switches", "measure_people", "pool_scores"]

PCK_POINTS = (0, 11, 12, 13, 14, 15, 16)
"""Nose, shoulders, elbows, wrists."""


@frozen(kw_only=True)
class PeopleScore:
    """Counts over frames: people there, found, matched; keypoints there (seen, of matched people) and close, each (7,)."""

    n_there: int
    n_found: int
    n_matched: int
    points_there: tuple[int, ...]
    points_close: tuple[int, ...]

    @property
    def recall(self) -> float:
        """Matched people by people there, in [0, 1]."""
        return self.n_matched / max(self.n_there, 1)

    @property
    def precision(self) -> float:
        """Matched people by people found, in [0, 1]."""
        return self.n_matched / max(self.n_found, 1)

    @property
    def pck(self) -> float:
        """Share of `PCK_POINTS` of matched people that are close, in [0, 1]."""
        return sum(self.points_close) / max(sum(self.points_there), 1)


def measure_people(
    boxes_xyxy: NDArray[Any],
    pose_px: NDArray[Any],
    true_boxes_xyxy: NDArray[Any],
    true_pose_px: NDArray[Any],
    *,
    least_iou: float = 0.5,
    close: float = 0.2,
    by_pose: bool = False,
) -> PeopleScore:
    """Compare N people found in one frame with the M people there.

    They are paired so that most match, and of equal pairings the sum of IoU is largest (Hungarian method).

    Args:
        boxes_xyxy: (N, 4) px.
        pose_px: (N, 33, 4) px.
        true_boxes_xyxy: (M, 4) px; a box with NaN is nobody.
        true_pose_px: (M, 33, 4) px; only points with visibility >= 0.5 count.
        least_iou: from this IoU on a pair matches.
        by_pose: a pair also matches where nose and middle of the shoulders both lie within half a torso of the true ones.
        close: a point is close within this times the torso size, the distance of the middles of shoulders and hips in the truth.
    """
    from scipy.optimize import linear_sum_assignment

    there = np.isfinite(true_boxes_xyxy).all(axis=1)
    poses, truth = np.asarray(pose_px, np.float64), np.asarray(true_pose_px, np.float64)[there]
    overlap, matches = _compare(boxes_xyxy, poses, np.asarray(true_boxes_xyxy)[there], truth, least_iou=least_iou, by_pose=by_pose)
    rows, columns = linear_sum_assignment(-np.where(matches, 1 + overlap, 0))
    good = matches[rows, columns]
    found, torso = poses[rows[good]][:, PCK_POINTS], _measure_torsos(truth)[columns[good]]
    truth = truth[columns[good]][:, PCK_POINTS]
    seen = truth[..., 3] >= 0.5
    near = np.linalg.norm(found[..., :2] - truth[..., :2], axis=-1) <= close * torso[:, None]
    return PeopleScore(
        n_there=int(there.sum()),
        n_found=len(boxes_xyxy),
        n_matched=int(good.sum()),
        points_there=tuple(int(n) for n in seen.sum(axis=0)),
        points_close=tuple(int(n) for n in (seen & near).sum(axis=0)),
    )


def count_id_switches(
    tracks: Sequence[PersonTrack],
    true_boxes_xyxy: NDArray[Any],
    true_pose_px: NDArray[Any],
    frames: Sequence[int] | NDArray[np.int64],
    *,
    least_iou: float = 0.5,
    by_pose: bool = False,
) -> int:
    """Return how often a person is matched with another track than the last one that matched them.

    The mismatches of CLEAR MOT (Bernardin and Stiefelhagen, Evaluating multiple object tracking performance, 2008, section 2.1.3):
    a pair that matched in the frame before is kept while it still matches, the rest are paired anew (Hungarian method). Filled
    frames of a track count as frames in which it is there: they are what bridges an occlusion.

    Args:
        tracks: what was found.
        true_boxes_xyxy: (F, P, 4) px, row f = frame f; a box with NaN is nobody.
        true_pose_px: (F, P, 33, 4) px.
        frames: the frames that were looked at.
        least_iou: as in `measure_people`.
        by_pose: as in `measure_people`.
    """
    from trackers.eval import compute_clear_metrics

    true_ids, track_ids, likeness = [], [], []
    for frame in np.asarray(frames, np.int64).tolist():
        rows = [(number, int(at)) for number, track in enumerate(tracks) for at in np.flatnonzero(track.frames == frame)]
        boxes = np.array([tracks[number].boxes_xyxy[at] for number, at in rows]).reshape(-1, 4)
        poses = np.array([tracks[number].pose_px[at] for number, at in rows], np.float64).reshape(-1, 33, 4)
        there = np.flatnonzero(np.isfinite(true_boxes_xyxy[frame]).all(axis=1))
        truth = true_boxes_xyxy[frame][there], np.asarray(true_pose_px[frame][there], np.float64)
        overlap, matches = _compare(boxes, poses, *truth, least_iou=least_iou, by_pose=by_pose)
        true_ids.append(there)
        track_ids.append(np.array([number for number, _ in rows], np.int64))
        likeness.append(np.where(matches, (1 + overlap) / 2, 0).T)
    return int(compute_clear_metrics(true_ids, track_ids, likeness, threshold=0.5)["IDSW"])


def _compare(
    boxes: NDArray[Any],
    poses: NDArray[np.float64],
    true_boxes: NDArray[Any],
    truth: NDArray[np.float64],
    *,
    least_iou: float,
    by_pose: bool,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (N, M), (N, M): IoU of N people found with M people there, and whether they match (see `measure_people`)."""
    overlap = compute_ious(boxes, true_boxes)
    matches = overlap >= least_iou
    if by_pose:
        torso = _measure_torsos(truth)
        matches |= _are_near(poses[:, 0, :2], truth[:, 0, :2], 0.5 * torso) & _are_near(
            _middle(poses, 11, 12), _middle(truth, 11, 12), 0.5 * torso
        )
    return overlap, matches


def _measure_torsos(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) px from the middle of the shoulders to that of the hips."""
    length: NDArray[np.float64] = np.linalg.norm(_middle(pose, 11, 12) - _middle(pose, 23, 24), axis=-1)
    return length


def _middle(pose: NDArray[np.float64], a: int, b: int) -> NDArray[np.float64]:
    middle: NDArray[np.float64] = (pose[:, a, :2] + pose[:, b, :2]) / 2
    return middle


def _are_near(found: NDArray[np.float64], true: NDArray[np.float64], within: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (N, M): found point (N, 2) within `within` (M,) px of true point (M, 2)."""
    near: NDArray[np.bool_] = np.linalg.norm(found[:, None] - true[None], axis=-1) < within
    return near


def pool_scores(scores: list[PeopleScore]) -> PeopleScore:
    """Return the sum over frames."""
    return PeopleScore(
        n_there=sum(s.n_there for s in scores),
        n_found=sum(s.n_found for s in scores),
        n_matched=sum(s.n_matched for s in scores),
        points_there=_add_up([s.points_there for s in scores]),
        points_close=_add_up([s.points_close for s in scores]),
    )


def _add_up(rows: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(np.array(rows, np.int64).reshape(-1, len(PCK_POINTS)).sum(axis=0).tolist())
