"""Poses made comparable: centred on the person, in units of the body, with what is unseen marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.checks import check_array
from schemas.errors import InvalidField
from schemas.vocabulary import BLAZEPOSE_33

__all__ = [
    "UPPER_BODY",
    "add_velocities",
    "check_poses",
    "choose_nodes",
    "find_counterparts",
    "find_seen",
    "has_depth",
    "list_nodes",
    "mirror_nodes",
    "normalise_poses",
    "resample_frames",
]

UPPER_BODY = tuple(range(1, 25))
"""Seed D reads "landmarks 1-24 of MediaPipe (upper body)" as input of 24 points: MediaPipe's own numbers 1 (left inner eye) to 24
(right hip), so both hips are in and the nose (0), which lies between eyes and mouth, is out."""

_SHOULDERS, _HIPS = (11, 12), (23, 24)
_TORSO_PER_SHOULDER = 1.5
"""An adult's torso (mid-shoulder to mid-hip) is about one and a half shoulder widths long."""

_Float = NDArray[np.float32]


def check_poses(pose: object, *, n_nodes: int | None = None, n_channels: int | None = None) -> _Float:
    """Return (N, T, V, C) poses as float32.

    Raises:
        InvalidField: if the shape is another, or V or C are not what the model was trained on.
    """
    array = check_array("pose", pose, (None, None, n_nodes, n_channels))
    if array.shape[3] not in (2, 3, 4) or 0 in array.shape[1:3]:
        raise InvalidField("pose", "(N, T, V, C) with T, V >= 1 and C = 2, 3 or 4", f"shape {array.shape}")
    poses = np.asarray(array, np.float32)
    if np.isinf(poses).any():
        raise InvalidField("pose", "finite values, or NaN for unseen", "inf")
    return poses


def find_seen(pose: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (N, T, V): x and y are both known."""
    seen: NDArray[np.bool_] = np.isfinite(pose[..., :2]).all(axis=-1)
    return seen


def list_nodes(n_nodes: int) -> list[int]:
    """Return the keypoints that seed D reads: the upper body of the 33-point skeleton, all of any other."""
    return list(UPPER_BODY) if n_nodes == len(BLAZEPOSE_33.nodes) else list(range(n_nodes))


def choose_nodes(pose: _Float) -> list[int]:
    """Return the keypoints worth reading in a training set (N, T, V, C).

    All, but for those that are unseen in 95 % of the frames and, with four channels, those that the estimator mostly guesses (mean
    visibility below 0.5), as it does with legs under a desk. At least one is returned.
    """
    seen = find_seen(pose)
    kept = seen.mean(axis=(0, 1)) > 0.05
    if pose.shape[3] == 4:
        sure = np.where(seen, np.nan_to_num(pose[..., 3], nan=0.0), 0).sum(axis=(0, 1)) / np.maximum(seen.sum(axis=(0, 1)), 1)
        kept = kept & (sure >= 0.5) if (kept & (sure >= 0.5)).sum() >= min(8, pose.shape[2]) else kept
    return np.flatnonzero(kept).tolist() or [int(seen.mean(axis=(0, 1)).argmax())]


def has_depth(pose: _Float) -> bool:
    """Say whether the third channel is a coordinate: always of four; of three unless all its values lie in [0, 1]."""
    if pose.shape[3] != 3:
        return pose.shape[3] == 4
    third = pose[..., 2][find_seen(pose) & np.isfinite(pose[..., 2])]
    return bool(third.size and (third.min() < -1e-6 or third.max() > 1 + 1e-6))


def normalise_poses(pose: NDArray[Any], *, depth: bool | None = None) -> _Float:
    """Centre and scale each sequence; the same person nearer, farther or elsewhere in the picture gives the same result.

    The centre is the median over time of the middle of the shoulders (33-point skeleton) or of all seen keypoints (any other), the
    scale the median over time of the larger of shoulder width and torso / 1.5, or of the spread of the keypoints. One centre and
    scale a sequence, so that standing up and leaning forward stay visible as movement.

    Args:
        pose: (N, T, V, C) in any unit, NaN for unseen; with C = 4 the third channel is in the unit of x and y.
        depth: with C = 3, whether the third channel is a coordinate in the unit of x and y (see `has_depth`; it is then centred on
            its median and scaled like them) or something else, which is left as it is [default].

    Returns:
        (N, T, V, C + 1): x, y (0 = centre, about 1 = a shoulder width), the other channels, and 1 where seen; 0 where not.
    """
    seen = find_seen(pose)
    xy = np.where(seen[..., None], pose[..., :2], np.nan).astype(np.float64)
    centre, scale = _locate_body(xy)
    others = pose[..., 2:].astype(np.float64)
    if pose.shape[-1] == 3 and depth:
        others[..., 0] -= _find_middle_depth(np.where(seen, others[..., 0], np.nan))[:, None, None]
    others = np.nan_to_num(others, nan=0.0)
    if pose.shape[-1] == 4 or (pose.shape[-1] == 3 and depth):
        others[..., 0] /= scale[:, None, None]
    scaled = (xy - centre[:, None, None]) / scale[:, None, None, None]
    joined = np.concatenate([np.clip(scaled, -20, 20), others, np.ones_like(xy[..., :1])], axis=-1)
    return np.where(seen[..., None], joined, 0).astype(np.float32)


def _find_middle_depth(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) medians over time of the mean depth of what is seen, 0 where nothing is."""
    middle: NDArray[np.float64] = np.nan_to_num(_find_median(_find_mean(z)), nan=0.0)
    return middle


def _locate_body(xy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centre (N, 2) and scale (N,) of (N, T, V, 2) points with NaN for unseen."""
    centre: NDArray[np.float64] = np.full((len(xy), 2), np.nan)
    scale: NDArray[np.float64] = np.full(len(xy), np.nan)
    if xy.shape[2] == len(BLAZEPOSE_33.nodes):
        centre, scale = _locate_torso(xy)
    other = ~np.isfinite(scale)
    if other.any():
        centre[other], scale[other] = _locate_points(xy[other])
    return np.nan_to_num(centre, nan=0.0), np.where(np.isfinite(scale) & (scale > 1e-6), scale, 1.0)


def _locate_torso(xy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle of the shoulders and the size of the body; size NaN where neither shoulders nor torso are known."""
    ends = xy[:, :, _SHOULDERS + _HIPS]
    shoulders = ends[:, :, :2].mean(axis=2)
    sides = np.stack([ends[:, :, 0] - ends[:, :, 1], (shoulders - ends[:, :, 2:].mean(axis=2)) / _TORSO_PER_SHOULDER])
    width, torso = np.sqrt((sides**2).sum(axis=-1))
    found = _find_median(np.concatenate([shoulders, np.fmax(width, torso)[..., None]], axis=2))
    size = found[:, 2]
    with np.errstate(invalid="ignore"):
        size[~(size > 1e-6)] = np.nan
    return found[:, :2], size


def _locate_points(xy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle of all points and their spread."""
    middle = _find_mean(xy)
    spread = 2 * np.sqrt(_find_mean(((xy - middle[:, :, None]) ** 2).sum(axis=-1)))
    return _find_median(middle), _find_median(spread)


def _find_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means over axis 2 of what is not NaN, NaN where nothing is: as `np.nanmean`, without its warnings."""
    known = ~np.isnan(values)
    count = known.sum(axis=2)
    total = np.where(known, values, 0.0).sum(axis=2)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _find_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the medians over axis 1 of what is not NaN, NaN where nothing is: as `np.nanmedian`, in a tenth of its time."""
    ordered = np.sort(values, axis=1)
    count = (~np.isnan(ordered)).sum(axis=1, keepdims=True)
    at = np.maximum(np.concatenate([count - 1, count], axis=1) // 2, 0)
    at = np.minimum(at, values.shape[1] - 1)
    median: NDArray[np.float64] = np.take_along_axis(ordered, at, axis=1).mean(axis=1)
    return median


def add_velocities(features: _Float) -> _Float:
    """Append the change of x and y since the frame before (0 in the first one, and where either is unseen)."""
    step = np.zeros_like(features[..., :2])
    both = (features[:, 1:, :, -1:] * features[:, :-1, :, -1:]) > 0
    step[:, 1:] = np.where(both, np.diff(features[..., :2], axis=1), 0)
    return np.concatenate([features, step], axis=-1)


def resample_frames(features: _Float, n_frames: int) -> _Float:
    """Return `n_frames` evenly spaced frames, each the nearest there is."""
    index = np.round(np.linspace(0, features.shape[1] - 1, n_frames)).astype(np.int64)
    return features[:, index]


def find_counterparts(nodes: Sequence[int], n_nodes: int) -> tuple[int, ...] | None:
    """Return, for each of `nodes`, the position in `nodes` of its counterpart on the other side of the body.

    None where nothing is known: for any skeleton but the 33-point one, or if a counterpart is not among `nodes`.
    """
    if n_nodes != len(BLAZEPOSE_33.nodes):
        return None
    swap = {"left": "right", "right": "left"}
    others = ["_".join(swap.get(part, part) for part in BLAZEPOSE_33.nodes[i].split("_")) for i in nodes]
    position = {BLAZEPOSE_33.nodes[i]: at for at, i in enumerate(nodes)}
    return tuple(position[name] for name in others) if all(name in position for name in others) else None


def mirror_nodes(n_nodes: int) -> tuple[int, ...]:
    """Return, for the upper body, the position of each keypoint's counterpart on the other side (itself where unknown)."""
    if n_nodes != len(UPPER_BODY):
        return tuple(range(n_nodes))
    return find_counterparts(UPPER_BODY, len(BLAZEPOSE_33.nodes)) or tuple(range(n_nodes))
