"""How far the posterior probability of being wrong can be believed, from what is estimated of the noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibrate_wrong", "measure_confusability"]

Floats = NDArray[np.float64]

_PLAIN, _PATTERNED = 0.10, 0.24
_SURE, _UNSURE = 0.06, 0.12
_TEMPER = 0.8
_EDGE = 1e-9
"""Confusabilities, doubts, and what follows from them: chosen on rendered and real poses and digits, seeds 100 to 103 alone."""


def measure_confusability(noise: Floats) -> float:
    """Return the mean over labels y of max T[s, y] / T[y, y]: the odds of the one other class that makes y likeliest.

    Near 0: a wrong label can come from any class, and models are not misled for long; near 1: it mostly comes from one, and models
    taught on such labels take the one for the other themselves.

    Args:
        noise: (K, K), see `curation.scoring.noise`.
    """
    odds = noise / np.maximum(np.diag(noise), _EDGE)[None]
    return float((odds - np.diag(np.diag(odds))).max(axis=0).mean())


def calibrate_wrong(wrong: Floats, log_guess: Floats, noise: Floats) -> Floats:
    """Return (N,) probabilities of being wrong in the order of `wrong`, as far as the noise lets them be believed.

    Their mean is at least the rate of wrong labels that the noise itself says. The more labels are confused with one other class
    (`measure_confusability`) and the less sure the guesses are, the more the log-odds are drawn together.

    Args:
        wrong: (N,) posterior probabilities.
        log_guess: (N, K) logarithms of the probabilities of classes, the label left out of account.
        noise: (K, K).
    """
    guess = np.exp(log_guess)
    rate = float(guess.mean(axis=0) @ (1 - np.diag(noise)))
    confusable, doubt = measure_confusability(noise), float(1 - guess.max(axis=1).mean())
    mean = max(float(wrong.mean()), min(rate, 1 - _EDGE))
    drawn = (1 - _TEMPER) * _ramp(confusable, _PLAIN, _PATTERNED) * _ramp(doubt, _SURE, _UNSURE)
    if drawn == 0 and mean <= wrong.mean() + 1e-4:
        return wrong
    safe = np.clip(wrong, _EDGE, 1 - _EDGE)
    return _shift_to((1 - drawn) * (np.log(safe) - np.log1p(-safe)), mean)


def _ramp(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))


def _shift_to(odds: NDArray[Any], mean: float) -> Floats:
    """Return the probabilities of these log-odds, all moved by as much as gives them that mean."""
    from scipy.optimize import brentq
    from scipy.special import expit

    if not 0 < mean < 1:
        return np.asarray(expit(odds))
    moved = brentq(lambda by: float(expit(odds + by).mean()) - mean, -60.0, 60.0, xtol=1e-4)
    return np.asarray(expit(odds + moved))
