"""Class balance of a training side. Test sides are never balanced: they stay as the classroom is.

Each method says how many samples of each class to keep, given the class counts n_k; `balance_indices` then takes that many, spread
over groups as evenly as their sizes allow (the largest give up samples first), so that no lesson or student dominates a class.

===========  ===================================================================================================================
method       samples of class k (classes with n_k = 0 are left out of every minimum, median and maximum)
===========  ===================================================================================================================
none         n_k
undersample  min(n_k, round(ratio · min n)), ratio 1 unless given: all classes alike
capped       min(n_k, round(ratio · median n)), ratio 1 unless given: big classes cut, small ones whole
sqrt         min(n_k, round(ratio · √(n_k · min n))), ratio 1 unless given: an imbalance of r : 1 becomes √r : 1
oversample   max(n_k, round(max n / ratio)), ratio 1 unless given: samples of small classes repeat, each as often as the others ± 1
===========  ===================================================================================================================

Every class keeps at least one sample. All methods but oversample return every index at most once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backends.registry import Registry
from schemas.checks import check_range
from schemas.errors import InvalidField

__all__ = ["BALANCERS", "balance_indices", "count_capped", "count_none", "count_oversample", "count_sqrt", "count_undersample"]

BALANCERS = Registry(
    "balance method",
    {name: f"curation.balance:count_{name}" for name in ("none", "undersample", "capped", "sqrt", "oversample")},
)
"""Name → function (counts (K,) int > 0, ratio) → (K,) samples to keep."""


def count_none(counts: NDArray[np.int64], ratio: float) -> NDArray[np.float64]:
    """Keep everything."""
    return counts.astype(float)


def count_undersample(counts: NDArray[np.int64], ratio: float) -> NDArray[np.float64]:
    """Cut every class to `ratio` times the smallest."""
    return np.asarray(np.minimum(counts, ratio * counts.min()))


def count_capped(counts: NDArray[np.int64], ratio: float) -> NDArray[np.float64]:
    """Cut every class to `ratio` times the median class."""
    return np.asarray(np.minimum(counts, ratio * np.median(counts)))


def count_sqrt(counts: NDArray[np.int64], ratio: float) -> NDArray[np.float64]:
    """Cut every class to `ratio` times the geometric mean of itself and the smallest."""
    return np.asarray(np.minimum(counts, ratio * np.sqrt(counts * float(counts.min()))))


def count_oversample(counts: NDArray[np.int64], ratio: float) -> NDArray[np.float64]:
    """Raise every class to the largest divided by `ratio`."""
    return np.asarray(np.maximum(counts, counts.max() / ratio))


def balance_indices(
    labels: ArrayLike, groups: ArrayLike, *, method: str, rng: np.random.Generator, ratio: float = 1.0
) -> NDArray[np.int64]:
    """Choose the samples of a balanced training side.

    Args:
        labels: (N,) class of each sample.
        groups: (N,) group of each sample, or (N, L) nested groups, outermost first (lesson, student): the samples of a class are
            spread over the outer groups first, then inside each over the inner ones.
        method: a name in `BALANCERS`; see the module for what each does.
        rng: decides which samples of a group stay; the same state gives the same indices.
        ratio: how much imbalance is allowed, > 0; see the module.

    Returns:
        Sorted indices into `labels`; with oversample an index appears as often as it is repeated.

    Raises:
        UnknownName: for a method that is not registered.
        InvalidField: if the lengths differ or `ratio` is not positive.
    """
    names = np.asarray(labels, np.str_)
    nested = np.asarray(groups, np.str_)
    nested = nested[:, None] if nested.ndim == 1 else nested
    if names.ndim != 1 or nested.ndim != 2 or len(nested) != len(names):
        raise InvalidField("groups", f"one row for each of the {names.size} labels", f"shape {np.asarray(groups).shape}")
    check_range("ratio", ratio, 1e-9, 1e9)
    count = BALANCERS.load(method)
    if not len(names):
        return np.empty(0, np.int64)
    classes, code, counts = np.unique(names, return_inverse=True, return_counts=True)
    wanted = np.maximum(1, np.floor(np.asarray(count(counts, ratio), float) + 0.5)).astype(np.int64)
    codes = np.column_stack([np.unique(column, return_inverse=True)[1] for column in nested.T])
    chosen = [_choose(np.flatnonzero(code == k), codes, int(wanted[k]), rng) for k in range(len(classes))]
    return np.asarray(np.sort(np.concatenate(chosen)))


def _choose(index: NDArray[Any], codes: NDArray[Any], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole rounds of `index`, and the rest of `wanted` spread over the groups."""
    rounds, rest = divmod(wanted, len(index))
    whole: NDArray[np.int64] = np.tile(index, rounds)
    return np.concatenate([whole, _spread(index, codes, rest, rng)])


def _spread(index: NDArray[Any], codes: NDArray[Any], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Take `wanted` of `index`, level by level as evenly as the groups' sizes allow."""
    if wanted >= len(index):
        return index
    if wanted == 0 or codes.shape[1] == 0:
        return rng.permutation(index)[:wanted]
    level = codes[index, 0]
    _, inverse, sizes = np.unique(level, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    parts = np.split(index[order], np.cumsum(sizes)[:-1])
    quotas = _fill(sizes, wanted, rng)
    inner = codes[:, 1:]
    return np.concatenate([_spread(part, inner, int(q), rng) for part, q in zip(parts, quotas, strict=True)])


def _fill(sizes: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Share `wanted` out as evenly as `sizes` allow (water filling); the rng decides who gets the remainder."""
    ordered = np.sort(sizes)
    before = np.concatenate([[0], np.cumsum(ordered)[:-1]])
    left = len(sizes) - np.arange(len(sizes))
    level = (wanted - before) // left
    first = int(np.argmax(ordered > level)) if (ordered > level).any() else len(sizes) - 1
    quotas = np.asarray(np.minimum(sizes, level[first]))
    open_groups = np.flatnonzero(sizes > quotas)
    quotas[rng.permutation(open_groups)[: wanted - int(quotas.sum())]] += 1
    return quotas
