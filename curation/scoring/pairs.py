"""Classes that are taken for one other each, no two for the same: which for which, told from labels and opinions alone.

That a class is taken for another that is not taken for it cannot come from a guesser who confuses the two: that goes both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.scoring.noise import combine_opinions, fit_tilted, measure_structure, ramp, spread_evenly

__all__ = ["Pairs", "count_pairs", "find_pairs", "measure_swaps"]

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]

_ONE_SIDED, _SURELY_ONE_SIDED = 0.5, 0.6
_PAIRS_FROM, _PAIRS_AT = 5.0, 8.0
_LEAK = 0.02
_MATCHED = 3_000
_TRIED = 3
_LEAST_GAIN = 0.005
_SURE = 8.0


@frozen(kw_only=True, eq=False)
class Pairs:
    """Class t is taken for `partners[t]` with probability `rate`, as far as `trust[t]`, in [0, 1], goes: each (K,)."""

    partners: NDArray[np.int64]
    rate: float
    trust: Floats

    def spread(self, noise: Floats) -> Floats:
        """Return T of these pairs, mixed with `noise` (K, K) as far as they are not believed."""
        return (1 - self.trust)[:, None] * noise + self.trust[:, None] * _pair(self.partners, self.rate)


def find_pairs(
    opinions: Sequence[Floats], labels: Labels, noise: Floats, counts: Floats, *, before: Pairs | None = None
) -> Pairs | None:
    """Return the pairs that the labels show; None if wrong labels show no pattern, or go both ways.

    A few counts in every row, too few to be sure of any, are enough to match classes all at once. From that match two classes at a
    time swap partners as long as the labels become likelier (`measure_swaps`), opinions being weighed anew after each swap. Pairs
    that make the labels likelier than `noise` does are believed; a class whose labels are plainly likelier without is not believed
    to be taken for its partner.

    Args:
        opinions: each (N, K) logarithms of out-of-sample probabilities; at most 3 000 samples are looked at.
        labels: (N,).
        noise: (K, K) T as it is known without pairs.
        counts: (K, K) of (guessed class, given label), see `curation.scoring.noise.count_confident`.
        before: pairs found from fewer opinions: they are as sure, and where else to begin.
    """
    off = counts * ~np.eye(len(counts), dtype=bool)
    rate = (float(off.sum()) + 0.5) / (float(counts.sum()) + 1) if before is None else before.rate
    trust = _measure_trust(counts) if before is None else float(before.trust.max())
    if trust == 0:
        return None
    rows = np.random.default_rng(0).permutation(len(labels))[:_MATCHED]
    few, said = [opinion[rows] for opinion in opinions], labels[rows]
    begun = [_match(counts)] if before is None else [_match(counts), before.partners]
    guess, partners, likely = max((_climb(few, said, partners, rate) for partners in begun), key=lambda reached: reached[2])
    if likely > _judge(few, said, noise)[1]:
        trust = 1.0
    believed = _compare_rows(guess, said, _pair(partners, rate), noise) > -_SURE
    return Pairs(partners=partners, rate=rate, trust=np.where(believed, trust, 0.0))


def count_pairs(counts: Floats, pairs: Pairs) -> float:
    """Return the share of wrong labels among those in `counts` that are a class or its partner: other labels are no pairs."""
    own, taken = float(np.trace(counts)), float(counts[np.arange(len(counts)), pairs.partners].sum())
    return (taken + 0.5) / (own + taken + 1)


def measure_swaps(guess: Floats, labels: Labels, partners: NDArray[np.int64], rate: float) -> Floats:
    """Return (K, K): by how many nats the labels become likelier if two classes swap partners; −inf where one would get itself.

    Args:
        guess: (N, K) probabilities of classes.
        labels: (N,).
        partners: (K,).
        rate: of wrong labels.
    """
    n_classes = len(partners)
    noise = _pair(partners, rate)
    likely = (guess * noise[:, labels].T).sum(axis=1)
    moved = (1 - _LEAK) * rate
    gain = np.zeros((n_classes, n_classes))
    for k, partner in enumerate(partners):
        mine = labels == partner
        shift = moved * (guess[mine] - guess[mine, k : k + 1]) / likely[mine, None]
        gain[k] = np.log1p(np.maximum(shift, -1 + 1e-9)).sum(axis=0)
    both = gain + gain.T
    rows = np.arange(n_classes)
    both[rows, partners] = both[partners, rows] = -np.inf  # one of the two would be its own
    np.fill_diagonal(both, -np.inf)
    return both


def _measure_trust(counts: Floats) -> float:
    """Return how far wrong labels in `counts` (K, K) go one way, in [0, 1]."""
    off = counts * ~np.eye(len(counts), dtype=bool)
    one_sided = float(np.maximum(off - off.T, 0).max(axis=1).sum() / max(off.sum(), 1))
    return ramp(one_sided, _ONE_SIDED, _SURELY_ONE_SIDED) * ramp(measure_structure(counts), _PAIRS_FROM, _PAIRS_AT)


def _climb(
    opinions: Sequence[Floats], labels: Labels, partners: NDArray[np.int64], rate: float
) -> tuple[Floats, NDArray[np.int64], float]:
    """Return the guess (N, K), the partners from which no swap makes the labels likelier, and log P(labels)."""
    guess, reached = _judge(opinions, labels, _pair(partners, rate))
    for _ in range(2 * len(partners)):
        gains = np.triu(measure_swaps(guess, labels, partners, rate), 1)
        for a, b in zip(*np.unravel_index(np.argsort(-gains, axis=None)[:_TRIED], gains.shape), strict=True):
            tried = partners.copy()
            tried[[a, b]] = partners[[b, a]]
            if (tried == np.arange(len(tried))).any() or a == b:
                continue
            swapped, likelier = _judge(opinions, labels, _pair(tried, rate))
            if likelier > reached + _LEAST_GAIN:
                guess, partners, reached = swapped, tried, likelier
                break
        else:
            break
    return guess, partners, reached


def _judge(opinions: Sequence[Floats], labels: Labels, noise: Floats) -> tuple[Floats, float]:
    """Return the guess (N, K) whose weights and tilts make the labels likeliest under T, and log P(labels)."""
    guess = np.exp(combine_opinions(opinions, *fit_tilted(opinions, labels, noise)))
    return guess, float(np.log((guess * noise[:, labels].T).sum(axis=1)).sum())


def _compare_rows(guess: Floats, labels: Labels, pairs: Floats, noise: Floats) -> Floats:
    """Return (K,): by how many nats the labels are likelier with each row of `pairs` than if that row alone were of `noise`."""
    likely = (guess * pairs[:, labels].T).sum(axis=1)
    shift = guess * (noise - pairs)[:, labels].T / likely[:, None]
    return np.asarray(-np.log1p(np.maximum(shift, -1 + 1e-9)).sum(axis=0))


def _match(counts: Floats) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment

    n_classes = len(counts)
    off = counts * ~np.eye(n_classes, dtype=bool)
    shares = off / (counts.sum(axis=1, keepdims=True) + 3)
    return np.asarray(linear_sum_assignment(shares - 10 * np.eye(n_classes), maximize=True)[1], np.int64)


def _pair(partners: NDArray[np.int64], rate: float) -> Floats:
    n_classes = len(partners)
    pairs = (1 - rate) * np.eye(n_classes)
    pairs[np.arange(n_classes), partners] += rate
    return np.asarray((1 - _LEAK) * pairs + _LEAK * spread_evenly(0.5, n_classes))
