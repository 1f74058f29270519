"""Which labels look alike: a map of all of them, the nearest ones of other students, and near-duplicates. Pure functions.

A label's motion is described by its normalised pose at six moments and by how fast each keypoint moves, in shoulder widths.
"""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.behaviour.normalise import add_velocities, list_nodes, normalise_poses, resample_frames

__all__ = ["K", "Neighbours", "describe_motion", "embed_motion", "find_neighbours", "find_twins"]

K = 6
"""How many neighbours are shown."""

TWIN = 0.05
"""Two windows are near-duplicates if their keypoints lie this close on average (root mean square), in shoulder widths."""

_MOMENTS = 6
_FINE, _COARSE = 32, 8
_MANY = 5000
_LOOKED_AT = 24


@frozen(kw_only=True, eq=False)
class Neighbours:
    """For each of N labels: (N, M) the nearest others, nearest first (-1 = none), and (N, K) those of them of other students."""

    nearest: NDArray[np.int64]
    others: NDArray[np.int64]


def describe_motion(pose: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, D) float32 from poses (N, T, V, C): x, y of each keypoint at six moments, then its mean speed; 0 where unseen."""
    moving = add_velocities(normalise_poses(pose)[:, :, list_nodes(pose.shape[2])])
    at = resample_frames(moving[..., :2], _MOMENTS)
    speed = np.linalg.norm(moving[..., -2:], axis=-1).mean(axis=1)
    joined: NDArray[np.float32] = np.concatenate([at.reshape(len(pose), -1), speed], axis=1, dtype=np.float32)
    return joined


def embed_motion(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, d) principal components of (N, D) features, the strongest first; d = 32 at most, 8 for more than 5000 labels."""
    from sklearn.decomposition import PCA

    n, dims = features.shape
    d = min(n, dims, _FINE if n <= _MANY else _COARSE)
    if n < 2:
        return np.zeros((n, max(d, 2)), np.float32)
    points = PCA(d, svd_solver="covariance_eigh").fit_transform(features)
    return np.pad(points, ((0, 0), (0, max(0, 2 - d)))).astype(np.float32)


def find_neighbours(points: NDArray[np.float32], students: NDArray[np.str_]) -> Neighbours:
    """Return who lies nearest to whom.

    Args:
        points: (N, d).
        students: (N,) who is seen; windows of one student are no independent witnesses.
    """
    from sklearn.neighbors import NearestNeighbors

    n = len(points)
    m = min(_LOOKED_AT, n - 1)
    others = np.full((n, K), -1, np.int64)
    if m < 1:
        return Neighbours(nearest=np.empty((n, 0), np.int64), others=others)
    found = NearestNeighbors(n_neighbors=m + 1).fit(points).kneighbors(points, return_distance=False)
    itself = found == np.arange(n)[:, None]
    itself[~itself.any(axis=1), -1] = True  # among more than m equal points a label may miss itself
    nearest = found[~itself].reshape(n, m)
    foreign = students[nearest] != students[:, None]
    rank = foreign.cumsum(axis=1) - 1
    row, column = np.nonzero(foreign & (rank < K))
    others[row, rank[row, column]] = nearest[row, column]
    return Neighbours(nearest=nearest, others=others)


def find_twins(features: NDArray[np.float32], nearest: NDArray[np.int64], labels: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return (N,) for each label its nearest near-duplicate that has another label; -1 = none. See `TWIN`.

    Args:
        features: (N, D), from `describe_motion`; rows of zeros (nobody seen) have no duplicates.
        nearest: (N, M), from `find_neighbours`.
        labels: (N,).
    """
    n = len(features)
    twins = np.full(n, -1, np.int64)
    seen: NDArray[np.bool_] = np.asarray(features.any(axis=1))
    for column in reversed(range(min(nearest.shape[1], K))):
        other = nearest[:, column]
        difference = features - features[other]
        n_keypoints = np.maximum(((features != 0) | (features[other] != 0)).sum(axis=1) / 2, 1)
        close = np.sqrt((difference**2).sum(axis=1) / n_keypoints) < TWIN
        alike = close & seen & seen[other] & (labels != labels[other])
        twins[alike] = other[alike]
    return twins
