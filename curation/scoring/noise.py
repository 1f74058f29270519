"""How labels go wrong: a noise matrix T, T[t, y] = P(labelled y | truly t), and what it makes of a model's opinion.

Nothing here needs a clean label. Opinions are out-of-sample, so a sample's own label is honest evidence about them: T and the
weights of opinions are those under which the labels that were given are likely (forward correction: G. Patrini et al., "Making
Deep Neural Networks Robust to Label Noise: a Loss Correction Approach", 2017, eq. 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "combine_opinions",
    "compute_log_posterior",
    "count_confident",
    "estimate_noise",
    "fit_rate",
    "fit_symmetric",
    "fit_tilted",
    "fit_weights",
    "measure_structure",
    "ramp",
    "soften_pattern",
    "spread_evenly",
]

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]

_CONFIDENT_SHARE = 0.25
_LEAST_CONFIDENT = 10
_PRIOR_COUNT = 5.0
_CHANCE, _CERTAIN = 1.0, 4.0
_SHARP_FROM, _SHARP_AT = 5.0, 10.0
_LEAK = 0.01
_STEEPEST = 5.0
_DOUBTED = 0.5
_LEAST_SCALE, _MOST_WRONG = 0.05, 0.98


def spread_evenly(rate: float, n_classes: int) -> Floats:
    """Return the T of symmetric noise: a label is wrong with probability `rate`, and then any other is as likely."""
    noise = np.full((n_classes, n_classes), rate / max(n_classes - 1, 1))
    np.fill_diagonal(noise, 1 - rate if n_classes > 1 else 1.0)
    return noise


def combine_opinions(opinions: Sequence[Floats], weights: Floats, tilts: Floats | float = 0.0) -> Floats:
    """Return log P(class), (N, K): the weighted product of opinions, each (N, K) logarithms up to a constant a row.

    `tilts` (K,) are added: what is said too seldom of a class, see `fit_tilted`.
    """
    from scipy.special import log_softmax

    return np.asarray(log_softmax(sum(w * opinion for w, opinion in zip(weights, opinions, strict=True)) + tilts, axis=1))


def compute_log_posterior(log_guess: Floats, labels: Labels, noise: Floats) -> tuple[Floats, Floats]:
    """Return log P(true class | opinion, label), (N, K), and log P(label | opinion), (N,).

    By Bayes: P(t | x, y) is proportional to P(t | x) T[t, y].
    """
    from scipy.special import logsumexp

    joint = log_guess + np.log(noise[:, labels].T)
    total = logsumexp(joint, axis=1, keepdims=True)
    return joint - total, total[:, 0]


def fit_weights(opinions: Sequence[Floats], labels: Labels, noise: Floats, start: Floats) -> Floats:
    """Return positive weights of opinions (`combine_opinions`) under which the given labels are likeliest, from `start`.

    A slight pull towards 1 keeps them finite where the labels say nothing.
    """
    return np.exp(_fit_logs(opinions, labels, noise, np.log(start), steps=50))


def fit_tilted(opinions: Sequence[Floats], labels: Labels, noise: Floats) -> tuple[Floats, Floats]:
    """Return weights of opinions, and tilts (K,) of classes, under which the given labels are likeliest.

    Models that were taught on wrong labels may never name a class, though there are more labels of it than the noise explains:
    tilts give it back. They are held near 0 by as much as one label weighs.
    """
    n_opinions, n_classes = len(opinions), len(noise)
    found = _fit_logs(opinions, labels, noise, np.zeros(n_opinions + n_classes), steps=100)
    return np.exp(found[:n_opinions]), found[n_opinions:]


def _fit_logs(opinions: Sequence[Floats], labels: Labels, noise: Floats, start: Floats, *, steps: int) -> Floats:
    """Return logarithms of weights, followed by tilts if `start` has some, under which the labels are likeliest."""
    from scipy.optimize import minimize

    n_opinions, n = len(opinions), len(labels)
    log_noise = np.log(noise[:, labels].T)
    stacked = np.stack(opinions)
    held = np.r_[np.full(n_opinions, 1e-3), np.full(len(start) - n_opinions, 0.5 / max(n, 1))]

    def measure(found: Floats) -> tuple[float, Floats]:
        weights, tilts = np.exp(found[:n_opinions]), found[n_opinions:]
        guess = combine_opinions(opinions, weights, tilts if len(tilts) else 0.0)
        joint = guess + log_noise
        top = joint.max(axis=1, keepdims=True)
        powers = np.exp(joint - top)
        sums = powers.sum(axis=1, keepdims=True)
        pull = powers / sums - np.exp(guess)
        slope = np.r_[np.einsum("mnk,nk->m", stacked, pull) * weights / n, pull.mean(axis=0)[: len(tilts)]]
        value = -float((np.log(sums) + top).mean())
        return value + float(held @ found**2), 2 * held * found - slope

    bounds = [(-6.0, 4.0)] * n_opinions + [(-_STEEPEST, _STEEPEST)] * (len(start) - n_opinions)
    found = minimize(measure, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
    return np.asarray(found.x)


def fit_symmetric(opinion: Floats, labels: Labels, *, rate: float = 0.25, steps: int = 15) -> Floats:
    """Return the T of symmetric noise under which the labels are likeliest, by expectation and maximisation.

    Args:
        opinion: (N, K) logarithms of out-of-sample probabilities.
        labels: (N,).
        rate: first guess.
        steps: how many.
    """
    n, n_classes = opinion.shape
    noise, weights = spread_evenly(rate, n_classes), np.array([1.5])
    for step in range(steps):
        if step % 5 == 0:
            weights = fit_weights([opinion], labels, noise, weights)
            guess = combine_opinions([opinion], weights)
        posterior, _ = compute_log_posterior(guess, labels, noise)
        wrong = float((1 - np.exp(posterior[np.arange(n), labels])).sum())
        noise = spread_evenly((wrong + 0.5) / (n + 1), n_classes)
    return noise


def fit_rate(opinions: Sequence[Floats], labels: Labels, noise: Floats, *, steps: int = 8) -> float:
    """Return the share of wrong labels, in [0, 1], under which they are likeliest: they go wrong as T says, but more or less often.

    Opinions are weighed and T is scaled, I + a (T − I), in turns.

    Args:
        opinions: each (N, K) logarithms of out-of-sample probabilities.
        labels: (N,).
        noise: (K, K) T.
        steps: how many turns.
    """
    from scipy.optimize import minimize_scalar

    most, scaled = _MOST_WRONG / max(float(1 - noise.diagonal().min()), 1e-9), noise
    for _ in range(steps):
        guess = np.exp(combine_opinions(opinions, *fit_tilted(opinions, labels, scaled)))
        kept, moved = guess[np.arange(len(labels)), labels], (guess * (noise - np.eye(len(noise)))[:, labels].T).sum(axis=1)

        def measure(scale: float, kept: Floats = kept, moved: Floats = moved) -> float:
            return -float(np.log(np.maximum(kept + scale * moved, 1e-12)).mean())

        scale = float(minimize_scalar(measure, bounds=(min(_LEAST_SCALE, most), most), method="bounded").x)
        scaled = np.eye(len(noise)) + scale * (noise - np.eye(len(noise)))
    return float(guess.mean(axis=0) @ (1 - scaled.diagonal()))


def count_confident(log_guess: Floats, labels: Labels, *, share: float = _CONFIDENT_SHARE, sure: float = np.inf) -> Floats:
    """Return (K, K) counts of (guessed class, given label) over the surest guesses of each class, and all as sure as `sure`.

    Where a guess is sure it is taken for the truth (the anchor points of Patrini et al., 2017, sec. 4.1; a share of them here,
    as in C. Northcutt et al., "Confident Learning", 2021, since one point is at the mercy of chance).
    """
    n_classes = log_guess.shape[1]
    guessed, sureness = log_guess.argmax(axis=1), log_guess.max(axis=1)
    counts = np.zeros((n_classes, n_classes))
    order = np.lexsort((-sureness, guessed))
    edges = np.searchsorted(guessed[order], np.arange(n_classes + 1))
    for k in range(n_classes):
        rows = order[edges[k] : edges[k + 1]]
        n_sure = int((sureness[rows] >= np.log(sure)).sum())
        surest = rows[: max(_LEAST_CONFIDENT, int(np.ceil(share * len(rows))), n_sure)]
        counts[k] = np.bincount(labels[surest], minlength=n_classes)
    return counts


def measure_structure(counts: Floats) -> float:
    """Return how far the wrong labels in `counts` are from being spread evenly, in standard deviations of chance.

    Pearson's chi-squared of the off-diagonal counts, standardised: about 0 for symmetric noise, large if classes are taken for
    particular others.
    """
    n_classes = len(counts)
    off = counts * ~np.eye(n_classes, dtype=bool)
    totals = off.sum(axis=1, keepdims=True)
    freedom = (n_classes - 2) * int((totals > 0).sum())
    if freedom <= 0:
        return 0.0
    expected = np.where(~np.eye(n_classes, dtype=bool), totals / (n_classes - 1), 0)
    used = expected > 0
    chi = float(((off - expected)[used] ** 2 / expected[used]).sum())
    return (chi - freedom) / float(np.sqrt(2 * freedom))


def estimate_noise(log_guess: Floats, labels: Labels, symmetric: Floats) -> Floats:
    """Return T from the surest guesses, as far as they show a pattern; `symmetric` as far as they show none.

    A strong pattern is sharpened: what a class is mostly taken for gets more of its wrong labels, because a guesser who learnt
    from such labels blurs the pattern.
    """
    n_classes = log_guess.shape[1]
    counts = count_confident(log_guess, labels)
    structure = measure_structure(counts)
    trust = ramp(structure, _CHANCE, _CERTAIN)
    if trust == 0:
        return symmetric
    rate = (counts.sum() - np.trace(counts) + 0.5) / (counts.sum() + 1)
    seen = counts + _PRIOR_COUNT * spread_evenly(rate, n_classes)
    seen /= seen.sum(axis=1, keepdims=True)
    kept = np.diag(np.diag(seen))
    sharp = 1 + ramp(structure, _SHARP_FROM, _SHARP_AT)
    off = (seen - kept) ** sharp
    off *= (seen - kept).sum(axis=1, keepdims=True) / np.maximum(off.sum(axis=1, keepdims=True), 1e-300)
    pattern = (1 - _LEAK) * (kept + off) + _LEAK * spread_evenly(0.5, n_classes)
    return np.asarray((1 - trust) * symmetric + trust * pattern)


def soften_pattern(noise: Floats, log_guess: Floats) -> Floats:
    """Return T half way to symmetric noise of the same rate.

    A pattern that is read off guesses is in part what the guesser itself confuses: pairs can be told from that
    (`curation.scoring.pairs`), any other pattern is believed half.

    Args:
        noise: (K, K) T as it is known.
        log_guess: (N, K) logarithms of the probabilities of classes.
    """
    rate = float(np.exp(log_guess).mean(axis=0) @ (1 - np.diag(noise)))
    return np.asarray((1 - _DOUBTED) * noise + _DOUBTED * spread_evenly(rate, len(noise)))


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high`, and in between what lies in between."""
    return float(np.clip((value - low) / (high - low), 0, 1))
