"""Calibration: do predicted probabilities come true as often as they say? Pure array code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas.checks import check_array, check_probabilities, check_range
from schemas.errors import InvalidField, NotEnoughData

__all__ = ["apply_temperature", "compute_ece", "compute_reliability", "fit_temperature"]

_LOG_RANGE = (-3.0, 3.0)
"""Temperatures from 0.05 to 20 are tried."""
_GOLDEN = (5**0.5 - 1) / 2


def apply_temperature(probs: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Return softmax(log p / T), (N, K): T > 1 makes probabilities more careful, T < 1 bolder; the order of the classes stays.

    The same as dividing logits by T, since softmax forgets what is added to all of them.

    Args:
        probs: (N, K), rows summing to 1.
        temperature: T > 0.

    Raises:
        InvalidField: if a row is no distribution or `temperature` is not above 0.
    """
    checked = check_probabilities("probs", probs)
    return _soften(np.log(np.maximum(checked, 1e-300)), check_range("temperature", temperature, 1e-6, 1e6))


def fit_temperature(probs: ArrayLike, label: ArrayLike, *, prior: float = 0.0) -> float:
    """Return the temperature in [0.05, 20] with the least cross-entropy of held-out samples.

    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2. The
    cross-entropy is convex in 1 / T, so a golden-section search over log T finds its only minimum.

    Args:
        probs: (N, K) probabilities of samples (whole groups) that were not trained on.
        label: (N,) int, their true classes.
        prior: for so many samples more their class is taken to be any, as likely as the others, so that a few samples that are
            all right do not make one sure of everything (J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999,
            section 2.2).

    Raises:
        NotEnoughData: if N = 0.
        InvalidField: if a row is no distribution, a label is no column, or `prior` is below 0.
    """
    checked, truth = _check(probs, label)
    check_range("prior", prior, 0, 1e9)
    n, n_classes = checked.shape
    logs = np.log(np.maximum(checked, 1e-300))
    wanted = (n * np.eye(n_classes)[truth] + prior / n_classes) / (n + prior)

    def compute_loss(log_t: float) -> float:
        return float(-(wanted * np.log(np.maximum(_soften(logs, float(np.exp(log_t))), 1e-300))).sum(axis=1).mean())

    low, high = _LOG_RANGE
    for _ in range(60):
        span = _GOLDEN * (high - low)
        if compute_loss(high - span) <= compute_loss(low + span):
            high = low + span
        else:
            low = high - span
    return float(np.exp((low + high) / 2))


def compute_reliability(probs: ArrayLike, label: ArrayLike, *, n_bins: int = 15) -> NDArray[np.float64]:
    """Return (n_bins, 3): samples, mean confidence and accuracy of the samples whose highest probability lies in each equal bin.

    Bin m of M holds ((m − 1) / M, m / M]; an empty one has 0, NaN, NaN. Raises as `compute_ece` does.
    """
    checked, truth = _check(probs, label)
    confidence, right = checked.max(axis=1), checked.argmax(axis=1) == truth
    at = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    count = np.bincount(at, minlength=n_bins).astype(np.float64)
    sums = [np.bincount(at, weights=w, minlength=n_bins) for w in (confidence, right.astype(np.float64))]
    with np.errstate(invalid="ignore"):
        return np.stack([count, *(total / np.where(count > 0, count, np.nan) for total in sums)], axis=1)


def compute_ece(probs: ArrayLike, label: ArrayLike, *, n_bins: int = 15) -> float:
    """Return the expected calibration error in [0, 1], 0 = probabilities come true as often as they say.

    Guo et al. (2017), eq. 3: Σ_m |B_m| / N · |accuracy(B_m) − confidence(B_m)| over equal bins of the highest probability.

    Args:
        probs: (N, K).
        label: (N,) int, the true classes.
        n_bins: how many bins.

    Raises:
        NotEnoughData: if N = 0.
        InvalidField: if a row is no distribution, or a label is no column.
    """
    count, confidence, accuracy = compute_reliability(probs, label, n_bins=n_bins).T
    return float(np.nansum(count * np.abs(accuracy - confidence)) / count.sum())


def _soften(logs: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    scaled = logs / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    softened: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return softened


def _check(probs: ArrayLike, label: ArrayLike) -> tuple[NDArray[np.float64], NDArray[Any]]:
    checked = check_probabilities("probs", probs)
    truth = check_array("label", label, (len(checked),))
    if not len(checked):
        raise NotEnoughData("samples to calibrate on", 1, 0)
    if truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= checked.shape[1]:
        raise InvalidField("label", f"columns from 0 to {checked.shape[1] - 1}", truth)
    return checked, truth
