"""What 33 landmarks say about a body: its box, its head, whether it is one, and whether two of them are the same one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "boxes_from_poses",
    "clip_boxes",
    "compute_ious",
    "compute_oks",
    "find_heads",
    "find_torsos",
    "look_like_people",
    "share_inside",
    "share_parts",
]

_LEAST_HEAD, _MOST_HEAD = 0.06, 0.25
"""Size of a head by the side of its region; upright bodies have about 0.12."""
_EYES, _EARS, _MOUTH, _SHOULDERS, _HIPS = slice(1, 7), [7, 8], [9, 10], [11, 12], [23, 24]
_UPPER, _ARMS_AND_HEAD, _KNEES, _FEET = slice(0, 25), slice(0, 23), slice(23, 27), slice(27, 33)
_HEAD_REACH = 0.68
"""Hair and skull around the middle of the ears, by the size of the head."""
_HEAD_BY_FACE, _HEAD_BY_EARS = 3.2, 1.35
"""Height of a head by the distance of eyes and mouth, and by that of the ears (eyes at half height, mouth a third of the rest)."""
_MOST_BENT = (45, 20)
"""Degrees by which the thighs may be off the line of the trunk, and the shins off that of the thighs, in straight legs."""
_SIGMAS = np.array([0.026] * 11 + [0.079] * 2 + [0.072] * 2 + [0.062] * 8 + [0.107] * 2 + [0.087] * 2 + [0.089] * 6)
"""COCO's per-keypoint deviations (cocodataset.org, keypoints-eval), spread over the 33 landmarks."""


def find_heads(pose_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return the heads (N, 3) = centre x, y and diameter in px, of poses (N, 33, 4)."""
    xy = np.asarray(pose_px, np.float64)[..., :2]
    face = np.linalg.norm(xy[:, _EYES].mean(axis=1) - xy[:, _MOUTH].mean(axis=1), axis=1)
    ears = np.linalg.norm(xy[:, _EARS[0]] - xy[:, _EARS[1]], axis=1)
    size = np.maximum(_HEAD_BY_FACE * face, _HEAD_BY_EARS * ears)
    return np.column_stack([xy[:, _EARS].mean(axis=1), size])


def boxes_from_poses(pose_px: NDArray[Any], width: int, height: int) -> NDArray[np.float32]:
    """Return the boxes (N, 4) px of bodies (N, 33, 4): head, trunk, arms and hands with a margin, clipped to the frame.

    Legs count only where the body stands. The network's visibility cannot tell: it says 0.9 and more of legs behind a desk and 0.3
    of wrists in plain view, so the attitude decides: knees far below the hips count, ankles where the legs are fully stretched.
    """
    pose = np.asarray(pose_px, np.float64)
    heads = find_heads(pose)
    blend = 0.5 * (pose[:, _SHOULDERS, :2] + pose[:, _HIPS, :2])
    stands, stretched = _stand(pose, width, height)
    knees = np.where(stands[:, None, None], pose[:, _KNEES, :2], blend[:, :1])
    feet = np.where(stretched[:, None, None], pose[:, _FEET, :2], blend[:, :1])
    points = np.concatenate([pose[:, _ARMS_AND_HEAD, :2], blend, knees, feet], axis=1)
    margin = heads[:, 2:] * (0.2, 0.1)
    low = np.minimum(points.min(axis=1) - margin, heads[:, :2] - _HEAD_REACH * heads[:, 2:])
    high = np.maximum(points.max(axis=1) + margin, heads[:, :2] + _HEAD_REACH * heads[:, 2:])
    return clip_boxes(np.concatenate([low, high], axis=1), width, height)


def _stand(pose: NDArray[np.float64], width: int, height: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (N,), (N,): whether the knees are far below the hips, and whether the legs are fully stretched, in the frame.

    Seen from above, the legs are shorter; there the knees may be less far below the hips if in depth, too, the legs are straight.
    """
    hips, knees, ankles = (pose[:, pair, :2].mean(axis=1) for pair in (_HIPS, [25, 26], [27, 28]))
    torsos = find_torsos(pose)
    length = np.maximum(torsos[:, 2], np.linalg.norm(torsos[:, :2] - hips, axis=1))
    thigh, shin = (knees[:, 1] - hips[:, 1]) / length, (ankles[:, 1] - knees[:, 1]) / length
    inside = ((ankles >= 0) & (ankles < [width, height])).all(axis=1)
    stands = (thigh > 0.6) | ((thigh > 0.5) & _are_straight(pose))
    return stands & (shin > 0.5) & inside, (thigh > 0.85) & (shin > 0.75) & inside


def _are_straight(pose: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (N,): whether the legs of poses (N, 33, 4) go on straight below the trunk and at the knees, by x, y and z."""
    joints = np.stack([pose[:, pair, :3].mean(axis=1) for pair in (_SHOULDERS, _HIPS, [25, 26], [27, 28])], axis=1)
    parts = np.diff(joints, axis=1)
    parts = parts / np.maximum(np.linalg.norm(parts, axis=2, keepdims=True), 1e-9)
    cosines = (parts[:, :-1] * parts[:, 1:]).sum(axis=2)
    straight: NDArray[np.bool_] = (cosines > np.cos(np.deg2rad(_MOST_BENT))).all(axis=1)
    return straight


def clip_boxes(boxes_xyxy: NDArray[Any], width: int, height: int) -> NDArray[np.float32]:
    """Return the boxes (N, 4) cut to the frame; a box outside of it comes back empty (x2 <= x1 or y2 <= y1)."""
    return np.clip(boxes_xyxy, 0, [width, height, width, height]).astype(np.float32)


def compute_ious(a_xyxy: NDArray[Any], b_xyxy: NDArray[Any]) -> NDArray[np.float64]:
    """Return intersection over union (N, M) in [0, 1] of boxes (N, 4) and (M, 4)."""
    a, b = np.asarray(a_xyxy, np.float64)[:, None], np.asarray(b_xyxy, np.float64)[None]
    shared = np.prod(np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None), axis=-1)
    areas = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1)
    result: NDArray[np.float64] = shared / np.maximum(areas - shared, 1e-9)
    return result


def share_inside(a_xyxy: NDArray[Any], b_xyxy: NDArray[Any]) -> NDArray[np.float64]:
    """Return (N, M): how much of each box of (N, 4) lies in each of (M, 4), in [0, 1]."""
    a, b = np.asarray(a_xyxy, np.float64)[:, None], np.asarray(b_xyxy, np.float64)[None]
    shared = np.prod(np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None), axis=-1)
    result: NDArray[np.float64] = shared / np.maximum(np.prod(a[..., 2:] - a[..., :2], axis=-1), 1e-9)
    return result


def compute_oks(a_px: NDArray[Any], b_px: NDArray[Any], areas: NDArray[Any]) -> NDArray[np.float64]:
    """Return object keypoint similarity (N, M) in [0, 1], 1 = equal, of the upper bodies of poses (N, 33, 4) and (M, 33, 4).

    Args:
        a_px: poses whose size sets the scale.
        b_px: poses that they are compared with.
        areas: (N,) px², box areas of `a_px`.
    """
    a, b = np.asarray(a_px, np.float64)[:, None, _UPPER, :2], np.asarray(b_px, np.float64)[None, :, _UPPER, :2]
    spread = 2 * np.asarray(areas, np.float64)[:, None, None] * (2 * _SIGMAS[_UPPER]) ** 2
    result: NDArray[np.float64] = np.exp(-((a - b) ** 2).sum(axis=-1) / np.maximum(spread, 1e-9)).mean(axis=-1)
    return result


def share_parts(a_px: NDArray[Any], b_px: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (N, M): whether two poses claim the same head or the same shoulders: middles too close.

    That is closer than half the larger head or 0.4 of the larger shoulders. Two people never do, even one behind the other.
    """
    same: NDArray[np.bool_] = np.zeros((len(a_px), len(b_px)), bool)
    for find, share in ((find_heads, 0.5), (find_torsos, 0.4)):
        a, b = find(a_px)[:, None], find(b_px)[None]
        same = same | (np.linalg.norm(a[..., :2] - b[..., :2], axis=-1) < share * np.maximum(a[..., 2], b[..., 2]))
    return same


def find_torsos(pose_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return the torsos (N, 3) = middle of the shoulders x, y and length scale in px: the larger of shoulder breadth and head."""
    pose = np.asarray(pose_px, np.float64)
    shoulders = pose[:, _SHOULDERS, :2]
    breadth = np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=1)
    return np.column_stack([shoulders.mean(axis=1), np.maximum(breadth, find_heads(pose)[:, 2])])


def look_like_people(pose_px: NDArray[Any], regions: NDArray[Any], width: int, height: int) -> NDArray[np.bool_]:
    """Return (N,): whether each pose could be a person: some of the face and a shoulder in the frame, proportions of a body.

    Args:
        pose_px: (N, 33, 4).
        regions: (N, 4) that the poses point to; their size is that of the whole body, hidden legs included.
        width: of the frame, px.
        height: of the frame, px.
    """
    pose = np.asarray(pose_px, np.float64)
    inside: NDArray[np.bool_] = np.all((pose[..., :2] >= 0) & (pose[..., :2] < [width, height]), axis=-1)
    heads, torsos = find_heads(pose), find_torsos(pose)
    neck = np.linalg.norm(torsos[:, :2] - heads[:, :2], axis=1)
    share = heads[:, 2] / np.maximum(regions[:, 2], 1e-9)
    in_proportion = (share > _LEAST_HEAD) & (share < _MOST_HEAD) & (neck < 2.2 * heads[:, 2])
    result: NDArray[np.bool_] = (inside[:, :11].sum(axis=1) >= 3) & inside[:, _SHOULDERS].any(axis=1) & in_proportion
    return result
