"""The tree of bones of any skeleton: from the edges that come with the data, completed by what keeps its length in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["compare_bones", "find_parents", "spread_over_bones"]

_MAX_FRAMES = 2000
_UNKNOWN = 1e3


def find_parents(pose: NDArray[Any], edges: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Return (V,) the parent of each keypoint in a tree of bones, the root being its own.

    The minimum spanning tree (R. C. Prim, 1957) of the keypoints, where `edges` cost nothing, and any other pair costs how much its
    distance varies over the training set plus a tenth of the distance: the two ends of a real bone keep theirs.

    Args:
        pose: (N, T, V, D) positions in body sizes, NaN for unseen.
        edges: (E, 2) known bones, if any.
    """
    cost = _compute_costs(pose)
    for a, b in [] if edges is None else edges.tolist():
        cost[a, b] = cost[b, a] = 0.0
    return _span(cost)


def compare_bones(pose: NDArray[Any], edges: NDArray[np.int64]) -> float:
    """Return how much longer and looser the bones of the best tree along `edges` are than those of the best tree of all: 1 or more.

    Keypoints that are unseen all the time do not count; very large where `edges` do not join the others.

    Args:
        pose: (N, T, V, D) positions in body sizes, NaN for unseen.
        edges: (E, 2).
    """
    cost = _compute_costs(pose)
    known = np.flatnonzero((cost < _UNKNOWN).any(axis=1))
    allowed = np.full_like(cost, _UNKNOWN)
    allowed[tuple(edges.T)] = allowed[tuple(edges.T[::-1])] = cost[tuple(edges.T)]
    if not len(known):
        return float("inf")
    free, bound = (_sum_bones(part[np.ix_(known, known)]) for part in (cost, allowed))
    return max(1.0, bound / free) if free > 0 else float("inf")


def _sum_bones(cost: NDArray[np.float64]) -> float:
    parents = _span(cost)
    own = np.arange(len(cost))
    return float(cost[own, parents][parents != own].sum())


def _span(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (V,) parents in the tree of the least total cost, the root being its own."""
    root = int(cost.sum(axis=0).argmin())
    parents = np.full(len(cost), root)
    reached, best = np.arange(len(cost)) == root, cost[root].copy()
    while not reached.all():
        new = int(np.where(reached, np.inf, best).argmin())
        reached[new] = True
        nearer = ~reached & (cost[new] < best)
        parents[nearer], best[nearer] = new, cost[new][nearer]
    return parents.astype(np.int64)


def _compute_costs(pose: NDArray[Any]) -> NDArray[np.float64]:
    frames = pose.reshape(-1, *pose.shape[2:]).astype(np.float64)
    frames = frames[:: max(1, len(frames) // _MAX_FRAMES)]
    cost = np.full((frames.shape[1],) * 2, _UNKNOWN)
    for i in range(len(cost)):
        distance = np.linalg.norm(frames - frames[:, i : i + 1], axis=-1)
        known = np.isfinite(distance)
        count = known.sum(axis=0)
        filled = np.where(known, distance, 0.0)
        mean = filled.sum(axis=0) / np.maximum(count, 1)
        spread = np.sqrt(np.where(known, (distance - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count, 1))
        cost[i] = np.where(count > 0, spread + 0.1 * mean, _UNKNOWN)
    either: NDArray[np.float64] = np.minimum(cost, cost.T)
    return either


def spread_over_bones(parents: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (V, V) the normalised adjacency D^-1/2 (A + I) D^-1/2 of a tree (T. N. Kipf, M. Welling, ICLR 2017, eq. 2)."""
    n = len(parents)
    adjacency = np.eye(n)
    adjacency[np.arange(n), parents] = adjacency[parents, np.arange(n)] = 1.0
    degree = 1 / np.sqrt(adjacency.sum(axis=1))
    return np.asarray(degree[:, None] * adjacency * degree, np.float32)
