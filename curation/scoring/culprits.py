"""Stretched bones, and the fewest keypoints that explain them."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["Graph", "blame_keypoints"]

Floats = NDArray[np.float64]


@frozen(kw_only=True, eq=False)
class Graph:
    """A skeleton: `ends` (E, 2) keypoints of each bone, `bones` of each keypoint, `reach` (V,) how far out a keypoint is."""

    ends: NDArray[np.int64]
    bones: tuple[tuple[int, ...], ...]
    reach: NDArray[np.int64]

    @classmethod
    def of(cls, ends: NDArray[Any], n_nodes: int) -> Self:
        """Return the graph of bones `ends` (E, 2); `reach` is the number of bones to the farthest keypoint that hangs together."""
        pairs = np.asarray(ends, np.int64)
        bones = tuple(tuple(np.flatnonzero((pairs == node).any(axis=1)).tolist()) for node in range(n_nodes))
        far = np.full((n_nodes, n_nodes), np.inf)
        far[pairs[:, 0], pairs[:, 1]] = far[pairs[:, 1], pairs[:, 0]] = 1
        np.fill_diagonal(far, 0)
        for middle in range(n_nodes):
            far = np.minimum(far, far[:, middle, None] + far[None, middle])
        return cls(ends=pairs, bones=bones, reach=np.where(np.isfinite(far), far, 0).max(axis=1).astype(np.int64))


def blame_keypoints(stretch: Floats, leap: Floats, graph: Graph) -> dict[int, list[int]]:
    """Return keypoint → the stretched bones that it explains, for the fewest keypoints that explain all of one moment.

    Whoever leaps away and back is blamed first, then whoever ends most of the stretched bones that are left; among equals the one
    more of whose bones are stretched, then the one that leaps farther, then the one farther out, where estimators err most.

    Args:
        stretch: (E,) above 1 = stretched; NaN = unseen.
        leap: (V,) above 1 = leaps away and back.
        graph: the skeleton.
    """
    left = set(np.flatnonzero(stretch > 1).tolist())
    seen = np.isfinite(stretch)
    blamed: dict[int, list[int]] = {}
    while left:
        ends = sorted({int(node) for bone in left for node in graph.ends[bone]})
        node = max(ends, key=partial(_weigh, graph, left, seen, leap))
        blamed[node] = [bone for bone in graph.bones[node] if bone in left]
        left -= set(blamed[node])
    return blamed


def _weigh(graph: Graph, left: set[int], seen: NDArray[np.bool_], leap: Floats, node: int) -> tuple[float, ...]:
    own = [bone for bone in graph.bones[node] if seen[bone]]
    held = sum(bone in left for bone in own)
    return float(leap[node] > 1), held, held / len(own), float(leap[node]), float(graph.reach[node])
