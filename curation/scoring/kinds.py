"""Kinds of trouble, told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.scoring.neighbours import Neighbours

__all__ = ["KINDS", "find_duplicates", "find_strangers", "tell_kinds"]

KINDS = ("none", "wrong-label", "ambiguous", "out-of-taxonomy", "bad-track", "conflicting-duplicate")
"""What may be the matter with a labelled sample; the numbers in `Ranking.kind` count these."""

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]

_WRONG = 0.5
_CLOSE = 2.0
_DOUBTED = 0.5
_SAME = 0.05
_FAR = 6.0
_UNSURE = 0.6
_CHUNK = 16_384


def tell_kinds(
    labels: Labels,
    guess: Floats,
    wrong: Floats,
    suggested: NDArray[np.int64],
    *,
    stranger: NDArray[np.bool_] | None = None,
    duplicate: NDArray[np.bool_] | None = None,
    geometry: Floats | None = None,
) -> NDArray[np.int8]:
    """Return (N,) indices into `KINDS`, the first that holds of:

    bad-track: the geometry is more impossible than not; conflicting-duplicate: see `find_duplicates`; out-of-taxonomy: far from
    all others and no class above 0.6, or (without features) all classes nearly alike; wrong-label: at least as likely wrong as
    right, and another class twice as likely as the label; ambiguous: the two likeliest classes within a factor of 2, or the label
    as likely wrong as right; none.

    Args:
        labels: (N,).
        guess: (N, K) probabilities of classes, the label left out of account.
        wrong: (N,) probability that the label is wrong.
        suggested: (N,) the likeliest class of `guess`.
        stranger: (N,) see `find_strangers`; None = no features.
        duplicate: (N,).
        geometry: (N,) see `curation.scoring.geometry`.
    """  # noqa: D415
    n, n_classes = guess.shape
    rows = np.arange(n)
    top, own = guess[rows, suggested], guess[rows, labels]
    second = _take_second(guess)
    sure = (wrong >= _WRONG) & (top >= _CLOSE * own)
    torn = (top < _CLOSE * second) | (wrong >= _WRONG)
    none_fits = (top < 1.5 / n_classes) & (n_classes > 2) if stranger is None else stranger & (top < _UNSURE)
    kind = np.where(sure, KINDS.index("wrong-label"), np.where(torn, KINDS.index("ambiguous"), 0))
    kind = np.where(none_fits, KINDS.index("out-of-taxonomy"), kind)
    if duplicate is not None:
        kind = np.where(duplicate, KINDS.index("conflicting-duplicate"), kind)
    if geometry is not None:
        kind = np.where(geometry > _DOUBTED, KINDS.index("bad-track"), kind)
    return kind.astype(np.int8)


def find_duplicates(labels: Labels, nearest: Neighbours, usual: float) -> NDArray[np.bool_]:
    """Return (N,): among the nearest samples is one labelled otherwise, at most a twentieth of the usual distance away.

    Args:
        labels: (N,).
        nearest: neighbours of any group.
        usual: the median distance of samples from their nearest neighbours of other groups.
    """
    close = nearest.known & (nearest.distance <= _SAME * usual)
    return np.asarray((close & (labels[np.maximum(nearest.index, 0)] != labels[:, None])).any(axis=1))


def find_strangers(near: Neighbours) -> NDArray[np.bool_]:
    """Return (N,): the mean distance of the neighbours is far from the median of all, by six median deviations in log units."""
    if not near.distance.shape[1]:
        return np.zeros(len(near.index), bool)
    counted = np.where(near.known, near.distance, 0).sum(axis=1) / np.maximum(near.known.sum(axis=1), 1)
    logs = np.log(np.maximum(counted, 1e-9))
    middle = np.median(logs)
    spread = max(float(np.median(np.abs(logs - middle))), 1e-3)
    return np.asarray(logs > middle + _FAR * spread)


def _take_second(guess: Floats) -> Floats:
    """Return (N,) the second largest probability of each row; 0 where there is one class only."""
    second = np.zeros(len(guess))
    for start in range(0, len(guess), _CHUNK):  # a chunk by columns stays in the cache, which makes this ten times faster
        columns = np.ascontiguousarray(guess[start : start + _CHUNK].T)
        first, after = columns[0], np.zeros(columns.shape[1])
        for column in columns[1:]:
            after = np.maximum(after, np.minimum(first, column))
            first = np.maximum(first, column)
        second[start : start + _CHUNK] = after
    return second
