"""What the true classes are, from noisy labels alone: opinions, a noise matrix, and models taught again on both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from curation.scoring.neighbours import Floats32
from curation.scoring.noise import (
    combine_opinions,
    compute_log_posterior,
    count_confident,
    estimate_noise,
    fit_symmetric,
    fit_weights,
    sharpen_pairs,
    soften_pattern,
)

__all__ = ["Refined", "assign_rows", "refine_labels"]

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]

_N_FOLDS = 5
_REPEATS = 2
_FITTED = 20_000
_FLOOR = 1e-3

_WAVES = 512
_RIDGE = 1.0
_STEEP = 6.0
_TAUGHT = 50_000
_CHUNK = 20_000

_TREES = 60
_LEAF = 3
_MOST_FOR_TREES = 20_000
_TREES_TAUGHT = 5_000


@frozen(kw_only=True, eq=False)
class Refined:
    """What is believed of N samples.

    `log_guess` (N, K): log P(true class), the sample's own label left out; `log_posterior` (N, K): with it; `noise` (K, K), see
    `curation.scoring.noise`; `votes` (M, N): what each of M models says on its own.
    """

    log_guess: Floats
    log_posterior: Floats
    noise: Floats
    votes: NDArray[np.int64]


def refine_labels(
    labels: Labels,
    opinions: Sequence[Floats],
    *,
    features: NDArray[Any] | None = None,
    scaled: Floats32 | None = None,
    groups: NDArray[Any] | None = None,
    seed: int = 0,
) -> Refined:
    """Estimate true classes and the noise of the labels.

    First from the opinions alone. With features, two families of models (a ridge on random Fourier features: A. Rahimi, B. Recht,
    2007; extremely randomised trees, up to 20 000 samples) are then taught, out of fold and by group, on the posterior instead of
    the labels: what the first look found wrong no longer misleads them. If their guesses show that classes are taken for one other
    each (`curation.scoring.noise.sharpen_pairs`), which misleads the first look most, they are taught once more with that known;
    another pattern is believed half (`soften_pattern`).

    Args:
        labels: (N,) columns.
        opinions: each (N, K) logarithms of out-of-sample probabilities.
        features: (N, D) for the trees, as they are.
        scaled: (N, D') for the ridge, see `curation.scoring.neighbours.scale_features`.
        groups: (N,): no model is taught on the group it judges.
        seed: decides folds and models.
    """
    opinions = [np.maximum(opinion, np.log(_FLOOR)) for opinion in opinions]
    fitted = np.random.default_rng(seed).permutation(len(labels))[:_FITTED]
    mean = np.mean(opinions, axis=0) if len(opinions) > 1 else opinions[0]
    symmetric = fit_symmetric(mean[fitted], labels[fitted])
    first = _weigh(opinions, labels, symmetric, fitted, mean)
    if scaled is None:
        return first
    folds = [assign_rows(groups, len(labels), seed + k) for k in range(_REPEATS if len(labels) <= _TREES_TAUGHT else 1)]
    if folds[0].max() == 0:
        return first
    flat = None
    if len(labels) <= _MOST_FOR_TREES:
        flat = scaled if features is None else np.asarray(features, np.float32).reshape(len(labels), -1)
    heard = [*opinions, *_teach_both(first.log_posterior, folds, scaled, flat)]
    second = _weigh(heard, labels, symmetric, fitted, first.log_guess)
    noise = sharpen_pairs(second.noise, count_confident(second.log_guess, labels))
    if noise is second.noise:
        noise = soften_pattern(noise, second.log_guess)
        posterior, _ = compute_log_posterior(second.log_guess, labels, noise)
        return evolve(second, noise=noise, log_posterior=posterior)
    posterior, _ = compute_log_posterior(first.log_guess, labels, noise)
    heard += _teach_both(posterior, folds, scaled, flat)
    return _believe(heard, labels, noise, fitted)


def assign_rows(groups: NDArray[Any] | None, n: int, seed: int) -> NDArray[np.int64]:
    """Return (N,) fold numbers, at most 5, at random; a group lies in one."""
    names = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(names.max()) + 1
    return np.asarray((np.random.default_rng(seed).permutation(n_groups) % _N_FOLDS)[names], np.int64)


def _weigh(opinions: Sequence[Floats], labels: Labels, symmetric: Floats, fitted: NDArray[Any], before: Floats) -> Refined:
    """Estimate T from `before`, or from all opinions as one if they are several, then their weights, then T's posterior."""
    blend = before if len(opinions) == 1 else combine_opinions(opinions, np.ones(len(opinions)))
    noise = estimate_noise(blend, labels, symmetric)
    return _believe(opinions, labels, noise, fitted)


def _believe(opinions: Sequence[Floats], labels: Labels, noise: Floats, fitted: NDArray[Any]) -> Refined:
    """Fit the opinions' weights under T, then T's posterior."""
    weights = fit_weights([opinion[fitted] for opinion in opinions], labels[fitted], noise, np.ones(len(opinions)))
    guess = combine_opinions(opinions, weights)
    posterior, _ = compute_log_posterior(guess, labels, noise)
    votes = np.stack([opinion.argmax(axis=1) for opinion in opinions])
    return Refined(log_guess=guess, log_posterior=posterior, noise=noise, votes=votes)


Judge = Callable[[Floats32], Floats]


def _teach_both(log_targets: Floats, folds: Sequence[NDArray[np.int64]], scaled: Floats32, flat: Floats32 | None) -> list[Floats]:
    """Return what the ridge and, unless `flat` is None, the trees say that were taught on the targets, as logarithms (N, K)."""
    targets = np.exp(log_targets)
    said = [_STEEP * _teach(targets, folds, scaled, _fit_ridge, _TAUGHT)]
    if flat is not None:
        said.append(np.log(np.maximum(_teach(targets, folds, flat, _fit_trees, _TREES_TAUGHT), _FLOOR)))
    return said


def _teach(
    targets: Floats,
    folds: Sequence[NDArray[np.int64]],
    features: Floats32,
    fit: Callable[[Floats32, Floats, int], Judge],
    most: int,
) -> Floats:
    """Return (N, K) what models taught on the `targets` of the other folds say, the mean of several divisions into folds.

    Each model is taught on `most` rows at most.
    """
    said = np.zeros_like(targets)
    for repeat, fold in enumerate(folds):
        rng = np.random.default_rng(repeat)
        for number in range(int(fold.max()) + 1):
            held, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            rows = rest if len(rest) <= most else np.sort(rng.choice(rest, most, replace=False))
            judge = fit(features[rows], targets[rows], repeat * _N_FOLDS + number)
            for start in range(0, len(held), _CHUNK):
                part = held[start : start + _CHUNK]
                said[part] += judge(features[part]) / len(folds)
    return said


def _fit_ridge(features: Floats32, targets: Floats, seed: int) -> Judge:
    """Ridge regression on cosines of random directions, of the width of half the median distance; the mean is not shrunk."""
    rng = np.random.default_rng(seed // _N_FOLDS)
    few = features[rng.permutation(len(features))[:500]]
    squares = (few**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * few @ few.T, 0))
    width = max(0.5 * float(np.median(apart)), 1e-6)
    direction = (rng.normal(size=(features.shape[1], _WAVES)) / width).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, _WAVES).astype(np.float32)

    def wave(rows: Floats32) -> Floats32:
        return np.asarray(np.cos(rows @ direction + phase) * np.float32(np.sqrt(2 / _WAVES)))

    mean = targets.mean(axis=0)
    gram, pull = np.zeros((_WAVES, _WAVES)), np.zeros((_WAVES, targets.shape[1]))
    for start in range(0, len(features), _CHUNK):
        part = wave(features[start : start + _CHUNK])
        gram += part.T @ part
        pull += part.T @ (targets[start : start + _CHUNK] - mean)
    gram.flat[:: _WAVES + 1] += _RIDGE
    weight = np.linalg.solve(gram, pull).astype(np.float32)
    return lambda rows: (wave(rows) @ weight + mean).astype(np.float64)


def _fit_trees(features: Floats32, targets: Floats, seed: int) -> Judge:
    from sklearn.ensemble import ExtraTreesRegressor

    trees = ExtraTreesRegressor(_TREES, min_samples_leaf=_LEAF, max_features="sqrt", random_state=seed).fit(features, targets)
    return lambda rows: np.asarray(trees.predict(rows), np.float64).reshape(len(rows), -1)
