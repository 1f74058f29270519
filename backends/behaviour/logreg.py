"""Baseline: multinomial logistic regression on flat normalised poses and velocities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.behaviour.flat import FlatModel

__all__ = ["LogisticModel"]


class LogisticModel(FlatModel):
    """The registered model `logreg`: scikit-learn's L2-regularised logistic regression on standardised features."""

    name = "logreg"

    def _fit_arrays(self, flat: NDArray[np.float32], label: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
        from sklearn.linear_model import LogisticRegression

        shift, scale = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-3)
        fitted = LogisticRegression(C=0.01, max_iter=200, tol=1e-3).fit((flat - shift) / scale, label)
        weight = np.zeros((len(self.classes), flat.shape[1]))
        bias = np.full(len(self.classes), -30.0)
        rows = fitted.classes_
        if len(rows) == 2:
            weight[rows[1]], bias[rows[0]], bias[rows[1]] = fitted.coef_[0], 0.0, fitted.intercept_[0]
        else:
            weight[rows], bias[rows] = fitted.coef_, fitted.intercept_
        return {"shift": shift, "scale": scale, "weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}

    def _predict_flat(self, flat: NDArray[np.float32]) -> NDArray[np.float64]:
        arrays = self._arrays
        logits = ((flat - arrays["shift"]) / arrays["scale"]).astype(np.float64) @ arrays["weight"].T + arrays["bias"]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return probs

    def _check_arrays(self, n_features: int) -> None:
        n = len(self.classes)
        for name, shape in {"shift": (n_features,), "scale": (n_features,), "weight": (n, n_features), "bias": (n,)}.items():
            if self._arrays[name].shape != shape:
                raise ValueError(f"{name} has shape {self._arrays[name].shape}, not {shape}")
