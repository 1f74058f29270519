"""Holding what the tool found against what is exactly so: people and keypoints, and the true behaviour of each tubelet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.render.truth import Truth
from schemas.records import PoseTrack, Tubelet

__all__ = ["PeopleMeasure", "measure_people", "truth_of_tubelets"]

Boxes = NDArray[np.float32]

LEAST_IOU = 0.3
"""Mean IoU over a tubelet's frames from which its boxes are a student's."""


@frozen(kw_only=True)
class PeopleMeasure:
    """How well people were found: shares in [0, 1], 1 = best."""

    person_recall: float
    person_precision: float
    pck: float


def measure_people(
    tracks_by_clip: Mapping[str, Sequence[PoseTrack]], truth: Mapping[str, Truth], *, least_iou: float = 0.5, by_pose: bool = True
) -> PeopleMeasure:
    """Return recall and precision of people, and how close their keypoints are, over the sampled frames of all clips.

    Counted in each frame in which any track of the clip was sampled (every twelfth where there is no track at all). Somebody found
    and a student match where their boxes have an IoU of `least_iou`, or where nose and middle of the shoulders both lie within half
    a torso of the true ones: whether a box ends at the desk or at the knees says nothing of the person. They are paired so
    that the sum of IoU is largest (Hungarian method). A torso is the distance of the middles of shoulders and hips in truth, in px.
    `pck`: of nose, shoulders, elbows and wrists of matched people, those visible in truth, the share within 0.2 torsos.

    Args:
        tracks_by_clip: what was found, by clip.
        truth: what is so, by the same clip ids; frame indices mean the same in both.
        least_iou: see above.
        by_pose: whether head and shoulders alone make a match; without, boxes have to.
    """
    from backends.people.measure import measure_people as measure_frame
    from backends.people.measure import pool_scores

    scores = []
    for clip_id, true in truth.items():
        tracks = tracks_by_clip.get(clip_id, ())
        frames = np.unique(np.concatenate([track.frames for track in tracks])) if tracks else np.arange(0, len(true.boxes), 12)
        for frame in frames[frames < len(true.boxes)].tolist():
            rows = [(track, int(at)) for track in tracks if (at := _row_of(track, frame)) >= 0]
            boxes = np.array([track.boxes_xyxy[at] for track, at in rows], np.float32).reshape(-1, 4)
            poses = np.array([track.pose_px[at] for track, at in rows], np.float32).reshape(len(rows), 33, 4)
            there = true.boxes[frame], true.pose[frame]
            scores.append(measure_frame(boxes, poses, *there, least_iou=least_iou, by_pose=by_pose))
    total = pool_scores(scores)
    return PeopleMeasure(person_recall=total.recall, person_precision=total.precision, pck=total.pck)


def truth_of_tubelets(truth: Truth, tubelets: Sequence[Tubelet], tracks: Mapping[str, PoseTrack]) -> dict[str, str | None]:
    """Return the true behaviour of each tubelet of one clip, by tubelet id.

    A tubelet belongs to the student whose boxes have the largest mean IoU with the track's over its sampled frames; its behaviour
    is that of most frames first..last (of equals, the earlier). None where no student reaches `LEAST_IOU`: nobody is there.

    Args:
        truth: of the clip.
        tubelets: of the same clip.
        tracks: by track id.
    """
    return {tubelet.id: _behaviour_of(truth, tubelet, tracks[tubelet.track_id]) for tubelet in tubelets}


def _behaviour_of(truth: Truth, tubelet: Tubelet, track: PoseTrack) -> str | None:
    n_frames = len(truth.boxes)
    inside = (track.frames >= tubelet.first) & (track.frames <= tubelet.last) & (track.frames < n_frames)
    if not inside.any():
        return None
    overlap = _ious(track.boxes_xyxy[inside][:, None], truth.boxes[track.frames[inside]]).mean(axis=0)
    person = int(overlap.argmax())
    if overlap[person] < LEAST_IOU:
        return None
    return majority(truth.behaviour[tubelet.first : tubelet.last + 1, person])


def majority(behaviour: NDArray[np.str_]) -> str:
    """Return the most frequent of (F,) behaviours; of equals, the earlier."""
    return str(Counter(behaviour.tolist()).most_common(1)[0][0])


def _row_of(track: PoseTrack, frame: int) -> int:
    at = int(np.searchsorted(track.frames, frame))
    return at if at < len(track.frames) and track.frames[at] == frame else -1


def _ious(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return IoU of boxes (..., 4) that broadcast; 0 where one is NaN."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    inner = np.prod(np.clip(high - low, 0, None), axis=-1)
    area_a, area_b = np.prod(a[..., 2:] - a[..., :2], axis=-1), np.prod(b[..., 2:] - b[..., :2], axis=-1)
    overlap: NDArray[np.float64] = np.nan_to_num(inner / np.maximum(area_a + area_b - inner, 1e-6)).astype(np.float64)
    return overlap
