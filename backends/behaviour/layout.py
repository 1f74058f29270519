"""Keypoints of other estimators as MediaPipe's landmarks: COCO's 17 and their 13 joints below the face are some of its 33.

Sequences say how many keypoints there are and perhaps the limbs between them, not what they are called. Known layouts are told by
their number, and then by their limbs: those that are stated, or else those of the data, whose lengths hardly change in a body.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.behaviour.bones import compare_bones
from backends.behaviour.normalise import normalise_poses
from schemas.vocabulary import BLAZEPOSE_33, COCO_17, JOINTS_13, Skeleton

__all__ = ["N_LANDMARKS", "find_layout", "place_landmarks"]

N_LANDMARKS = len(BLAZEPOSE_33.nodes)
_LAYOUTS = {len(skeleton.nodes): skeleton for skeleton in (COCO_17, JOINTS_13)}
_LOOSEST = 1.2
"""How much looser than the best tree the limbs of a layout may be: 1.08 on rendered lessons whose keypoints are in its order, 1.6
in that of Human3.6M (also 17), 1.3 at least in an order by chance."""


def find_layout(pose: NDArray[np.floating[Any]], edges: NDArray[np.int64] | None = None) -> tuple[int, ...] | None:
    """Return (V,) which of MediaPipe's 33 landmarks each keypoint is; None if that is not known.

    Args:
        pose: (N, T, V, C) in any unit, NaN for unseen.
        edges: (E, 2) the limbs, if they are known.
    """
    skeleton = _LAYOUTS.get(pose.shape[2])
    if skeleton is None or not _has_limbs(skeleton, pose, edges):
        return None
    return tuple(BLAZEPOSE_33.nodes.index(name) for name in skeleton.nodes)


def _has_limbs(skeleton: Skeleton, pose: NDArray[np.floating[Any]], edges: NDArray[np.int64] | None) -> bool:
    if edges is not None and len(edges):
        known = {frozenset(edge) for edge in skeleton.edges}
        return all(frozenset(edge) in known for edge in edges.tolist())
    features = normalise_poses(pose[..., :2])
    points = np.where(features[..., -1:] > 0, features[..., :2], np.nan)
    return compare_bones(points, np.array(skeleton.edges, np.int64)) <= _LOOSEST


def place_landmarks(pose: NDArray[np.float32], layout: tuple[int, ...]) -> NDArray[np.float32]:
    """Return (N, T, 33, C): keypoints (N, T, V, C) in MediaPipe's order by `layout` (V,), NaN for the landmarks that they lack."""
    placed = np.full((*pose.shape[:2], N_LANDMARKS, pose.shape[3]), np.nan, np.float32)
    placed[:, :, list(layout)] = pose
    return placed
