"""Query strategies: pure functions (probabilities, k) → k different indices into the pool, the most useful to label first.

Each takes `probs` (N, K) of the pool, `k`, and by keyword `features` (N, D), `labelled` (N,) mask of what is labelled already
(never chosen), and `rng`. With fewer than `k` unlabelled samples all of them are returned. Ties are broken at random.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.checks import check_array, check_probabilities
from schemas.errors import InvalidField

__all__ = [
    "select_by_entropy",
    "select_by_least_confidence",
    "select_by_margin",
    "select_random",
    "select_typical",
    "select_typical_then_margin",
]

Floats = NDArray[np.float64]
Features = NDArray[np.floating[Any]] | None
Mask = NDArray[np.bool_] | None
Indices = NDArray[np.int64]

_NEIGHBOURS = 20
_FEW_PER_CLASS = 3


def select_random(probs: Floats, k: int, *, features: Features = None, labelled: Mask = None, rng: np.random.Generator) -> Indices:
    """Return k indices at random."""
    _, pool = _open_pool(probs, k, labelled)
    return rng.permutation(pool)[:k]


def select_by_margin(
    probs: Floats, k: int, *, features: Features = None, labelled: Mask = None, rng: np.random.Generator
) -> Indices:
    """Return the k with the smallest difference between the two likeliest classes (Scheffer et al., 2001)."""
    checked, pool = _open_pool(probs, k, labelled)
    if checked.shape[1] < 2:
        return rng.permutation(pool)[:k]
    top = np.partition(checked[pool], -2, axis=1)[:, -2:]
    return _take_largest(pool, top[:, 0] - top[:, 1], k, rng)


def select_by_entropy(
    probs: Floats, k: int, *, features: Features = None, labelled: Mask = None, rng: np.random.Generator
) -> Indices:
    """Return the k with the largest entropy −Σ p log p."""
    checked, pool = _open_pool(probs, k, labelled)
    p = checked[pool]
    return _take_largest(pool, -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1), k, rng)


def select_by_least_confidence(
    probs: Floats, k: int, *, features: Features = None, labelled: Mask = None, rng: np.random.Generator
) -> Indices:
    """Return the k whose likeliest class is least likely (Lewis and Gale, 1994)."""
    checked, pool = _open_pool(probs, k, labelled)
    return _take_largest(pool, -checked[pool].max(axis=1, initial=0), k, rng)


def select_typical(probs: Floats, k: int, *, features: Features = None, labelled: Mask = None, rng: np.random.Generator) -> Indices:
    """Return the most typical sample of each of the largest clusters that hold no labelled one.

    After "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets" (Hacohen, Dekel, Weinshall, 2022), section
    3.2: typicality is the inverse of the mean distance to the nearest neighbours. Needs no model.

    Raises:
        InvalidField: if there are no features.
    """
    _, pool = _open_pool(probs, k, labelled)
    if features is None:
        raise InvalidField("features", "features for a strategy that compares samples", None)
    points = _reduce(check_array("features", features, (len(probs), None)), rng)
    done = np.zeros(len(probs), bool) if labelled is None else labelled
    cluster = _cluster(points, min(int(done.sum()) + k, len(points), 500), rng)
    chosen: list[int] = []
    taken = np.bincount(cluster[done], minlength=cluster.max() + 1)
    sizes = np.bincount(cluster, minlength=len(taken))
    free = ~done
    for _ in range(min(k, len(pool))):
        left = np.bincount(cluster[free], minlength=len(taken))
        order = np.lexsort((-sizes, taken, left == 0))
        members = np.flatnonzero((cluster == order[0]) & free)
        best = int(members[np.argmax(_measure_typicality(points, members, cluster == order[0]))])
        chosen.append(best)
        free[best] = False
        taken[order[0]] += 1
    return np.array(chosen, np.int64)


def select_typical_then_margin(
    probs: Floats, k: int, *, features: Features = None, labelled: Mask = None, rng: np.random.Generator
) -> Indices:
    """Return typical samples while there are fewer than three labels a class, then those with the smallest margin."""
    n_labelled = 0 if labelled is None else int(np.sum(labelled))
    select = select_typical if n_labelled < _FEW_PER_CLASS * np.shape(probs)[1] else select_by_margin
    return select(probs, k, features=features, labelled=labelled, rng=rng)


def _open_pool(probs: Floats, k: int, labelled: Mask) -> tuple[Floats, Indices]:
    checked = check_probabilities("probs", probs)
    if isinstance(k, bool) or k < 0:
        raise InvalidField("k", "how many to select, 0 or more", k)
    if labelled is None:
        return checked, np.arange(len(checked))
    return checked, np.flatnonzero(~check_array("labelled", labelled, (len(checked),)).astype(bool))


def _take_largest(pool: Indices, value: Floats, k: int, rng: np.random.Generator) -> Indices:
    order: Indices = np.lexsort((rng.random(len(pool)), -value))
    return pool[order[:k]]


def _reduce(features: NDArray[np.floating[Any]], rng: np.random.Generator) -> Floats:
    from sklearn.decomposition import PCA

    scaled = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    n_kept = min(32, *scaled.shape)
    seed = int(rng.integers(2**31))
    return np.asarray(PCA(n_kept, svd_solver="randomized", random_state=seed).fit_transform(scaled), np.float64)


def _cluster(points: Floats, n_clusters: int, rng: np.random.Generator) -> Indices:
    from sklearn.cluster import KMeans, MiniBatchKMeans

    seed = int(rng.integers(2**31))
    kind = KMeans if n_clusters <= 50 else MiniBatchKMeans
    return np.asarray(kind(max(n_clusters, 1), n_init=1, random_state=seed).fit(points).labels_, np.int64)


def _measure_typicality(points: Floats, members: Indices, in_cluster: NDArray[np.bool_]) -> Floats:
    others = points[in_cluster]
    distances = np.sqrt(((points[members][:, None] - others[None]) ** 2).sum(axis=-1))
    nearest = np.sort(distances, axis=1)[:, 1 : _NEIGHBOURS + 1]
    return np.asarray(1 / (nearest.mean(axis=1) + 1e-9)) if nearest.shape[1] else np.ones(len(members))
