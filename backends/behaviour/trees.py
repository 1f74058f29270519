"""Baseline: extremely randomised trees (Geurts, Ernst, Wehenkel, 2006) on flat normalised poses and velocities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.behaviour.flat import FlatModel

__all__ = ["ExtraTrees"]


class ExtraTrees(FlatModel):
    """The registered model `extra-trees`.

    Trained by scikit-learn, kept as plain arrays: the nodes of all trees in one list, `left` and `right` giving a node's children
    (itself in a leaf), `feature` and `threshold` its question, `value` (nodes, K) the training shares, `roots` where each tree
    starts.
    """

    name = "extra-trees"
    n_trees = 300

    def _fit_arrays(self, flat: NDArray[np.float32], label: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
        from sklearn.ensemble import ExtraTreesClassifier

        fitted = ExtraTreesClassifier(self.n_trees, min_samples_leaf=2, random_state=seed).fit(flat, label)
        trees = [estimator.tree_ for estimator in fitted.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        value = np.zeros((int(starts[-1]), len(self.classes)), np.float32)
        parts: dict[str, list[NDArray[Any]]] = {"left": [], "right": [], "feature": [], "threshold": []}
        for tree, start in zip(trees, starts, strict=False):
            leaf, own = tree.children_left < 0, start + np.arange(tree.node_count)
            parts["left"].append(np.where(leaf, own, start + tree.children_left))
            parts["right"].append(np.where(leaf, own, start + tree.children_right))
            parts["feature"].append(np.where(leaf, 0, tree.feature))
            parts["threshold"].append(tree.threshold)
            shares = tree.value[:, 0]
            value[start : start + tree.node_count, fitted.classes_] = shares / shares.sum(axis=1, keepdims=True)
        whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        return {
            **{name: whole[name].astype(np.int32) for name in ("left", "right", "feature")},
            "threshold": whole["threshold"].astype(np.float64),
            "value": value,
            "roots": starts[:-1].astype(np.int32),
        }

    def _predict_flat(self, flat: NDArray[np.float32]) -> NDArray[np.float64]:
        arrays = self._arrays
        rows = np.arange(len(flat))[:, None]
        node = np.broadcast_to(arrays["roots"][None], (len(flat), len(arrays["roots"])))
        while True:
            below = flat[rows, arrays["feature"][node]] <= arrays["threshold"][node]
            child = np.where(below, arrays["left"][node], arrays["right"][node])
            if np.array_equal(child, node):
                break
            node = child
        probs: NDArray[np.float64] = np.mean([arrays["value"][node[:, i]] for i in range(node.shape[1])], axis=0, dtype=np.float64)
        return probs

    def _check_arrays(self, n_features: int) -> None:
        arrays = self._arrays
        n = len(arrays["threshold"])
        if arrays["value"].shape != (n, len(self.classes)):
            raise ValueError(f"value has shape {arrays['value'].shape}, not {(n, len(self.classes))}")
        own = np.arange(n)
        for name, low, high in (("left", own, n), ("right", own, n), ("feature", 0, n_features), ("roots", 0, n)):
            array = arrays[name]
            if array.dtype.kind not in "iu" or array.size == 0 or (array < low).any() or (array >= high).any():
                raise ValueError(f"{name} points outside the tree")
