"""What the true classes are, from noisy labels alone: opinions, a noise matrix, and models taught again on both."""

from __future__ import annotations

from collections.abc import Sequence
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
    fit_rate,
    fit_symmetric,
    fit_tilted,
    fit_weights,
    soften_pattern,
)
from curation.scoring.pairs import Pairs, count_pairs, find_pairs
from curation.scoring.teach import FLOOR, TREES_TAUGHT, assign_rows, teach_apart, teach_both

__all__ = ["Refined", "refine_labels"]

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]

_REPEATS = 2
_FITTED = 20_000
_MOST_FOR_TREES = 20_000
_MOST_APART = 2_000
_SURE = 0.9


@frozen(kw_only=True, eq=False)
class Refined:
    """What is believed of N samples.

    `log_guess` (N, K): log P(true class), the sample's own label left out; `log_posterior` (N, K): with it; `noise` (K, K), see
    `curation.scoring.noise`; `votes` (M, N): what each of M models says on its own; `rate`: the share of wrong labels, in [0, 1],
    by models that heard nothing of the label they judge, None where there are none.
    """

    log_guess: Floats
    log_posterior: Floats
    noise: Floats
    votes: NDArray[np.int64]
    rate: float | None = None


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
    each (`curation.scoring.pairs`), which misleads the first look most, they are taught once more with that known; another pattern
    is believed half (`soften_pattern`). Up to 2 000 samples the rate is also measured by models that heard nothing of the label.

    Args:
        labels: (N,) columns.
        opinions: each (N, K) logarithms of out-of-sample probabilities.
        features: (N, D) for the trees, as they are.
        scaled: (N, D') for the ridge, see `curation.scoring.neighbours.scale_features`.
        groups: (N,): no model is taught on the group it judges.
        seed: decides folds and models.
    """
    opinions = [np.maximum(opinion, np.log(FLOOR)) for opinion in opinions]
    fitted = np.random.default_rng(seed).permutation(len(labels))[:_FITTED]
    mean = np.mean(opinions, axis=0) if len(opinions) > 1 else opinions[0]
    symmetric = fit_symmetric(mean[fitted], labels[fitted])
    first = _weigh(opinions, labels, symmetric, fitted, mean)
    if scaled is None:
        return first
    folds = [assign_rows(groups, len(labels), seed + k) for k in range(_REPEATS if len(labels) <= TREES_TAUGHT else 1)]
    if folds[0].max() == 0:
        return first
    flat = None
    if len(labels) <= _MOST_FOR_TREES:
        flat = scaled if features is None else np.asarray(features, np.float32).reshape(len(labels), -1)
    heard = [*opinions, *teach_both(first.log_posterior, folds, scaled, flat)]
    second = _weigh(heard, labels, symmetric, fitted, first.log_guess)
    can_part = flat is not None and len(labels) <= _MOST_APART and folds[0].max() > 1
    pairs = find_pairs(heard, labels, second.noise, count_confident(second.log_guess, labels))
    if pairs is None:
        believed = _believe(heard, labels, second.noise, fitted, tilted=True)
        noise = soften_pattern(second.noise, believed.log_guess)
        posterior, _ = compute_log_posterior(believed.log_guess, labels, noise)
        rate = None
        if flat is not None and can_part:
            rate = fit_rate([*opinions, *teach_apart(labels, noise, folds[0], scaled, flat)], labels, noise)
        return evolve(believed, noise=noise, log_posterior=posterior, rate=rate)
    once = _believe(opinions, labels, pairs.spread(second.noise), fitted, tilted=True)
    heard += teach_both(once.log_posterior, folds, scaled, flat)
    third = _believe(heard, labels, pairs.spread(second.noise), fitted, tilted=True)
    counts = count_confident(third.log_guess, labels)
    pairs = find_pairs(heard, labels, second.noise, counts, before=pairs) or pairs
    if flat is not None and can_part:
        apart = teach_apart(labels, pairs.spread(second.noise), folds[0], scaled, flat)
        pairs = _measure_rate([heard, [*opinions, *apart]], labels, pairs, second.noise, fitted)
    return _believe(heard, labels, pairs.spread(second.noise), fitted, tilted=True)


def _measure_rate(heard: Sequence[Sequence[Floats]], labels: Labels, pairs: Pairs, noise: Floats, fitted: NDArray[Any]) -> Pairs:
    """Return the pairs with the mean of the rates that several sets of opinions show.

    Those who heard an echo of the label agree with it too often; those who did not had less to learn from, and err more.
    """
    guesses = [_believe(opinions, labels, pairs.spread(noise), fitted, tilted=True).log_guess for opinions in heard]
    return evolve(pairs, rate=float(np.mean([count_pairs(count_confident(guess, labels, sure=_SURE), pairs) for guess in guesses])))


def _weigh(opinions: Sequence[Floats], labels: Labels, symmetric: Floats, fitted: NDArray[Any], before: Floats) -> Refined:
    """Estimate T from `before`, or from all opinions as one if they are several, then their weights, then T's posterior."""
    blend = before if len(opinions) == 1 else combine_opinions(opinions, np.ones(len(opinions)))
    noise = estimate_noise(blend, labels, symmetric)
    return _believe(opinions, labels, noise, fitted)


def _believe(opinions: Sequence[Floats], labels: Labels, noise: Floats, fitted: NDArray[Any], *, tilted: bool = False) -> Refined:
    """Fit the opinions' weights, and with `tilted` what is said too seldom of classes, under T, then T's posterior."""
    few, said = [opinion[fitted] for opinion in opinions], labels[fitted]
    weights, tilts = fit_tilted(few, said, noise) if tilted else (fit_weights(few, said, noise, np.ones(len(few))), 0.0)
    guess = combine_opinions(opinions, weights, tilts)
    posterior, _ = compute_log_posterior(guess, labels, noise)
    votes = np.stack([opinion.argmax(axis=1) for opinion in opinions])
    return Refined(log_guess=guess, log_posterior=posterior, noise=noise, votes=votes)
