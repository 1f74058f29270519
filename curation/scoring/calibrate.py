"""How far the posterior probability of being wrong can be believed, from what is estimated of the noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.scoring.noise import ramp

__all__ = ["calibrate_wrong"]

Floats = NDArray[np.float64]

_SHORT, _FAR_SHORT = 0.15, 0.40
_DRAWN = 0.5
_EDGE = 1e-9
"""Shares of the rate, and what follows from them: chosen on rendered and real poses and digits, seeds from 100 on alone."""


def calibrate_wrong(wrong: Floats, log_guess: Floats, noise: Floats, measured: float | None = None) -> Floats:
    """Return (N,) probabilities of being wrong in the order of `wrong`, as far as the noise lets them be believed.

    Their mean is at least the rate of wrong labels that the noise itself says. A mean of `wrong` that falls far short of it shows
    that guesses echo the labels, as where what is labelled wrong also looks like what it is taken for: guesses that agree with
    labels are not as sure as they seem then, and the log-odds are drawn together, by half at most. If models that heard no echo
    find more wrong, the mean is raised half way to that: they had less to learn from, and err more themselves.

    Args:
        wrong: (N,) posterior probabilities.
        log_guess: (N, K) logarithms of the probabilities of classes, the label left out of account.
        noise: (K, K), see `curation.scoring.noise`.
        measured: the share of wrong labels by models that heard nothing of the label they judge, in [0, 1]; None = not known.
    """
    rate = float(np.exp(log_guess).mean(axis=0) @ (1 - np.diag(noise)))
    said = float(wrong.mean())
    mean = max(said, min(rate, 1 - _EDGE))
    mean = mean if measured is None else max(mean, (mean + min(measured, 1 - _EDGE)) / 2)
    drawn = _DRAWN * ramp(1 - said / max(rate, _EDGE), _SHORT, _FAR_SHORT)
    if drawn == 0 and mean <= said + 1e-4:
        return wrong
    safe = np.clip(wrong, _EDGE, 1 - _EDGE)
    return _shift_to((1 - drawn) * (np.log(safe) - np.log1p(-safe)), mean)


def _shift_to(odds: NDArray[Any], mean: float) -> Floats:
    """Return the probabilities of these log-odds, all moved by as much as gives them that mean."""
    from scipy.optimize import brentq
    from scipy.special import expit

    if not 0 < mean < 1:
        return np.asarray(expit(odds))
    moved = brentq(lambda by: float(expit(odds + by).mean()) - mean, -60.0, 60.0, xtol=1e-4)
    return np.asarray(expit(odds + moved))
