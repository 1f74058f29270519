"""Boxes and keypoints that cannot be right: bones of impossible length, points that jump, boxes that miss their pose.

All scores are in [0, 1], 1 = most suspect, NaN = nothing to judge. Scales come from the data by medians, so that a third of bad
points does not move them.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.checks import check_array

__all__ = ["score_bones", "score_boxes", "score_geometry", "score_jumps", "score_keypoints"]

Floats = NDArray[np.float64]

_TOLERANCE = 0.35
"""A bone's length seen by a camera varies with its direction: this much, in log units, counts as half suspect when stretched."""
_MARGIN = 0.1
_USUAL = 6.0


def score_bones(pose_px: NDArray[Any], edges: NDArray[Any]) -> Floats:
    """Return (N, T, E): how much longer a bone is than the same person's longest usual one, for its size in the picture.

    A bone seen end-on looks short, never long: only stretching is suspect. Lengths are over the person's size (median distance of
    points from their middle) in that frame, and compared with the bone's ninth decile over all persons; s = x² / (1 + x²) of the
    excess x in log units over 0.35.

    Args:
        pose_px: (N, T, V, 2 or more) px, NaN = unseen.
        edges: (E, 2) keypoint indices.

    Raises:
        InvalidField: if shapes do not fit.
    """
    pose = check_array("pose", np.asarray(pose_px, np.float64), (None, None, None, None))[..., :2]
    ends = check_array("edges", edges, (None, 2)).astype(np.int64)
    length = np.linalg.norm(pose[:, :, ends[:, 0]] - pose[:, :, ends[:, 1]], axis=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = np.nanmedian(pose, axis=2, keepdims=True)
        size = np.nanmedian(np.linalg.norm(pose - middle, axis=-1), axis=2)[..., None]
        ratio = np.log(np.maximum(length, 1e-6) / np.maximum(size, 1e-6))
        usual = np.nanquantile(ratio, 0.9, axis=(0, 1))
    return _squash((ratio - usual) / _TOLERANCE)


def score_jumps(pose_px: NDArray[Any]) -> Floats:
    """Return (N, T, V): a point that leaps away and back between two frames, against what its kind usually does.

    The distance from the middle of the frames before and after, over the person's size, in units of six times the median of all
    such distances of that keypoint; first and last frames have no two neighbours and get NaN. The
    frames beside a leap share half of it.
    """
    pose = check_array("pose", np.asarray(pose_px, np.float64), (None, None, None, None))[..., :2]
    score = np.full(pose.shape[:3], np.nan)
    if pose.shape[1] < 3:
        return score
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = np.nanmedian(pose, axis=2, keepdims=True)
        size = np.nanmedian(np.linalg.norm(pose - middle, axis=-1), axis=2)[..., None]
        leap = np.linalg.norm(pose[:, 1:-1] - (pose[:, :-2] + pose[:, 2:]) / 2, axis=-1) / np.maximum(size[:, 1:-1], 1e-6)
        usual = np.maximum(np.nanmedian(leap, axis=(0, 1)), 0.01)
    score[:, 1:-1] = _squash(leap / (_USUAL * usual))
    return score


def score_keypoints(pose_px: NDArray[Any], edges: NDArray[Any]) -> Floats:
    """Return (N, T, V): the worse of a jump and of the least stretched of the point's bones.

    If all bones of a point are stretched it is the point that is off; an end of one stretched bone whose other bones are fine is
    not. Points without bones are judged by jumps alone.
    """
    bones, jumps = score_bones(pose_px, edges), score_jumps(pose_px)
    score = np.full(jumps.shape, np.inf)
    for number, ends in enumerate(np.asarray(edges, np.int64)):
        for end in ends:
            score[:, :, end] = np.fmin(score[:, :, end], bones[:, :, number])
    score[np.isinf(score)] = np.nan
    return np.asarray(np.fmax(score, jumps))


def score_boxes(boxes_xyxy: NDArray[Any], pose_px: NDArray[Any]) -> Floats:
    """Return (N, T): the share of seen keypoints outside the box (grown by a tenth), or how much too wide the box is for them.

    Args:
        boxes_xyxy: (N, T, 4) px; NaN = none.
        pose_px: (N, T, V, 2 or more) px, NaN = unseen.

    Raises:
        InvalidField: if shapes do not fit.
    """
    pose = check_array("pose", np.asarray(pose_px, np.float64), (None, None, None, None))[..., :2]
    boxes = check_array("boxes", np.asarray(boxes_xyxy, np.float64), (*pose.shape[:2], 4))
    seen = np.isfinite(pose).all(axis=-1)
    slack = _MARGIN * (boxes[..., 2:] - boxes[..., :2])[:, :, None]
    inside = ((pose >= boxes[:, :, None, :2] - slack) & (pose <= boxes[:, :, None, 2:] + slack)).all(axis=-1)
    outside = (seen & ~inside).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        spread = np.prod(np.nanmax(pose, axis=2) - np.nanmin(pose, axis=2), axis=-1)
    area = np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
    loose = _squash(np.log(np.maximum(area, 1e-9) / np.maximum(spread, 1e-9)) / np.log(10.0))
    score = np.maximum(outside, loose)
    score[(seen.sum(axis=2) < 2) | ~np.isfinite(boxes).all(axis=-1)] = np.nan
    return np.asarray(score)


def score_geometry(pose_px: NDArray[Any], edges: NDArray[Any], boxes_xyxy: NDArray[Any] | None = None) -> Floats:
    """Return (N,): how far a tubelet's crop or track is to be doubted.

    The largest of: the share of its keypoints that are more suspect than not (twice over), the median over frames of its box's
    score, and the share of frames in which nothing is seen. 0 where there is nothing to judge.
    """
    points = score_keypoints(pose_px, edges)
    pose = check_array("pose", np.asarray(pose_px, np.float64), (None, None, None, None))
    seen = np.asarray(np.isfinite(pose[..., :2]).all(axis=-1))
    bad = (points > 0.5).sum(axis=(1, 2)) / np.maximum(np.isfinite(points).sum(axis=(1, 2)), 1)
    score = np.maximum(np.minimum(2 * bad, 1), 1 - (seen.sum(axis=2) > 0).mean(axis=1))
    if boxes_xyxy is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            boxes = np.nanmedian(score_boxes(boxes_xyxy, pose_px), axis=1)
        score = np.fmax(score, boxes)
    return np.asarray(score)


def _squash(excess: Floats) -> Floats:
    squares = np.maximum(excess, 0) ** 2
    return np.asarray(squares / (1 + squares))
