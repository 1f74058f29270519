"""Models that are taught what true classes are believed to be, and say what they think of samples they were not taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.scoring.neighbours import Floats32
from curation.scoring.noise import combine_opinions, compute_log_posterior, fit_tilted

__all__ = ["FLOOR", "TREES_TAUGHT", "assign_rows", "teach_apart", "teach_both"]

Floats = NDArray[np.float64]
Folds = NDArray[np.int64]
Labels = NDArray[np.integer[Any]]

FLOOR = 1e-3
"""The smallest probability that an opinion may have."""
TREES_TAUGHT = 5_000
"""Rows that trees are taught on at most."""

_N_FOLDS = 5
_WAVES = 512
_RIDGE = 1.0
_STEEP = 6.0
_TAUGHT = 50_000
_CHUNK = 20_000
_TREES = 60
_LEAF = 3

Judge = Callable[[Floats32], Floats]
Fit = Callable[[Floats32, Floats, int], Judge]


def assign_rows(groups: NDArray[Any] | None, n: int, seed: int) -> NDArray[np.int64]:
    """Return (N,) fold numbers, at most 5, at random; a group lies in one."""
    names = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(names.max()) + 1
    return np.asarray((np.random.default_rng(seed).permutation(n_groups) % _N_FOLDS)[names], np.int64)


def teach_both(log_targets: Floats, folds: Sequence[Folds], scaled: Floats32, flat: Floats32 | None) -> list[Floats]:
    """Return what the ridge and, unless `flat` is None, the trees say that were taught on the targets, as logarithms (N, K).

    What they say of a sample does not rest on its group's targets. But those of other groups, if models said them that were taught
    on the sample's label, carry it: so far the sample is heard about itself (`teach_apart` does without).
    """
    targets = np.exp(log_targets)
    said = [_steepen(_teach(targets, folds, scaled, _fit_ridge, _TAUGHT))]
    if flat is not None:
        said.append(_take_log(_teach(targets, folds, flat, _fit_trees, TREES_TAUGHT)))
    return said


def teach_apart(labels: Labels, noise: Floats, fold: Folds, scaled: Floats32, flat: Floats32) -> list[Floats]:
    """Return what ridge and trees say, as logarithms (N, K), to whom the sample's fold was unknown all the way.

    They are taught on the posterior of models that were taught on labels without the row's own fold and without the sample's. This
    leaves them less to learn from, but what they say is no echo of the label.

    Args:
        labels: (N,).
        noise: (K, K) T.
        fold: (N,) at least three.
        scaled: (N, D') for the ridge.
        flat: (N, D) for the trees.
    """
    given = np.eye(len(noise))[labels]
    ridge, trees = _judge_apart(given, fold, scaled, _fit_ridge), _judge_apart(given, fold, flat, _fit_trees)
    said = [np.zeros_like(given), np.zeros_like(given)]
    for number in range(len(ridge)):
        held, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        opinions = [_steepen(ridge[number][rest]), _take_log(trees[number][rest])]
        guess = combine_opinions(opinions, *fit_tilted(opinions, labels[rest], noise))
        targets = np.exp(compute_log_posterior(guess, labels[rest], noise)[0])
        said[0][held] = _fit_ridge(scaled[rest], targets, number)(scaled[held])
        said[1][held] = _fit_trees(flat[rest], targets, number)(flat[held])
    return [_steepen(said[0]), _take_log(said[1])]


def _judge_apart(targets: Floats, fold: Folds, features: Floats32, fit: Fit) -> list[Floats]:
    """Return for each fold (N, K) what models say that knew neither it nor the row's own; zeros for the rows of the fold."""
    n_folds = int(fold.max()) + 1
    said = [np.zeros_like(targets) for _ in range(n_folds)]
    for first in range(n_folds):
        for second in range(first + 1, n_folds):
            rest = np.flatnonzero((fold != first) & (fold != second))
            judge = fit(features[rest], targets[rest], first * n_folds + second)
            for one, other in ((first, second), (second, first)):
                rows = np.flatnonzero(fold == other)
                said[one][rows] = judge(features[rows])
    return said


def _steepen(said: Floats) -> Floats:
    return _STEEP * said


def _take_log(said: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(said, FLOOR)))


def _teach(
    targets: Floats,
    folds: Sequence[Folds],
    features: Floats32,
    fit: Fit,
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
