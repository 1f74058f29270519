"""Nearest neighbours: exact where that is quick, approximate (faiss) where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["MOST_EXACT", "Neighbours", "find_neighbours", "scale_features"]

MOST_EXACT = 30_000
"""Samples up to which neighbours are exact."""
_BLOCK_VALUES = 16_000_000
_WIDEST = 64
_WIDE = 512
_FITTED = 5_000
_CELL = 500
_PROBES = 2
_EXTRA = 3
_SEARCHED = 32

Floats32 = NDArray[np.float32]


@frozen(kw_only=True, eq=False)
class Neighbours:
    """The k nearest of N samples: `index` (N, k), −1 = there is none, and `distance` (N, k) in units of the features, inf there."""

    index: NDArray[np.int64]
    distance: Floats32

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N, k): there is such a neighbour."""
        return self.index >= 0

    def count_labels(self, labels: NDArray[Any], n_classes: int) -> NDArray[np.int64]:
        """Return (N, K): how many neighbours have each label."""
        counts = np.zeros((len(self.index), n_classes), np.int64)
        for column in self.index.T:
            rows = np.flatnonzero(column >= 0)
            counts[rows, labels[column[rows]]] += 1
        return counts


def scale_features(features: NDArray[Any]) -> Floats32:
    """Return features of comparable size, (N, D) float32; of more than 512 columns the 64 principal ones.

    A column that hardly varies beside the others is not blown up to their size.
    """
    scaled = np.asarray(features, np.float32).reshape(len(features), -1)
    spread = scaled.std(axis=0)
    scaled = (scaled - scaled.mean(axis=0)) / np.maximum(spread, max(0.1 * float(spread.mean()), 1e-6))
    if scaled.shape[1] <= _WIDE:
        return np.ascontiguousarray(scaled)
    shrunk = _project(scaled, _WIDEST)
    return np.ascontiguousarray(shrunk / np.maximum(shrunk.std(axis=0), 1e-6))


def find_neighbours(scaled: Floats32, k: int, *, groups: NDArray[Any] | None = None) -> Neighbours:
    """Return the `k` nearest other samples; with `groups`, of other groups only.

    Args:
        scaled: (N, D), see `scale_features`.
        k: how many.
        groups: (N,). Above `MOST_EXACT` samples the 32 principal columns are compared, and 3 k candidates looked at: a sample amid
            its own group may get fewer.
    """
    numbers = np.arange(len(scaled)) if groups is None else np.unique(groups, return_inverse=True)[1]
    k = min(k, max(len(scaled) - 1, 0))
    if not k:
        return Neighbours(index=np.full((len(scaled), 0), -1), distance=np.zeros((len(scaled), 0), np.float32))
    if len(scaled) <= MOST_EXACT:
        return _search_exactly(scaled, k, numbers)
    return _search_roughly(scaled, k, numbers, k * _EXTRA if groups is not None else k + 1)


def _project(scaled: Floats32, n_kept: int) -> Floats32:
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(0).permutation(len(scaled))[:_FITTED]
    fitted = PCA(min(n_kept, len(rows), scaled.shape[1]), svd_solver="randomized", random_state=0).fit(scaled[rows])
    return np.asarray((scaled - fitted.mean_.astype(np.float32)) @ fitted.components_.T.astype(np.float32))


def _search_exactly(scaled: Floats32, k: int, numbers: NDArray[Any]) -> Neighbours:
    n = len(scaled)
    squares = (scaled**2).sum(axis=1)
    index, distance = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    step = max(1, _BLOCK_VALUES // n)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        apart = squares[rows, None] + squares[None] - 2 * (scaled[rows] @ scaled.T)
        np.maximum(apart, 0, out=apart)
        apart[numbers[rows, None] == numbers[None]] = np.inf
        near = np.argpartition(apart, k - 1, axis=1)[:, :k]
        far = np.take_along_axis(apart, near, axis=1)
        order = np.argsort(far, axis=1, kind="stable")
        index[rows], distance[rows] = np.take_along_axis(near, order, axis=1), np.take_along_axis(far, order, axis=1)
    index[np.isinf(distance)] = -1
    return Neighbours(index=index, distance=np.sqrt(distance))


def _search_roughly(scaled: Floats32, k: int, numbers: NDArray[Any], n_candidates: int) -> Neighbours:
    import faiss

    if scaled.shape[1] > _SEARCHED:
        scaled = np.ascontiguousarray(_project(scaled, _SEARCHED))
    n, width = scaled.shape
    n_cells = max(64, n // _CELL)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, n_cells)
    index.cp.seed, index.cp.niter, index.cp.max_points_per_centroid = 0, 6, 64
    index.train(scaled[np.random.default_rng(0).permutation(n)[: 64 * n_cells]])
    index.add(scaled)
    index.nprobe = _PROBES
    squares, near = index.search(scaled, n_candidates)
    foreign = (near >= 0) & (numbers[np.maximum(near, 0)] != numbers[:, None])
    order = np.argsort(~foreign, axis=1, kind="stable")[:, :k]
    known = np.take_along_axis(foreign, order, axis=1)
    return Neighbours(
        index=np.where(known, np.take_along_axis(near, order, axis=1), -1).astype(np.int64),
        distance=np.where(known, np.sqrt(np.maximum(np.take_along_axis(squares, order, axis=1), 0)), np.inf).astype(np.float32),
    )
