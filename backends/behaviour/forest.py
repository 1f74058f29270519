"""Extremely randomised trees over what a sequence is in sum, as tensors: grown by scikit-learn, asked by torch."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["Forest", "choose_pairs", "count_summaries", "grow_forest", "summarise"]

_MAX_PAIRS = 120
_N_SHOWN = 8


def choose_pairs(n_nodes: int) -> NDArray[np.int64]:
    """Return (P, 2) at most 120 pairs of keypoints, spread evenly over all there are."""
    pairs = np.stack(np.triu_indices(n_nodes, 1), axis=1)
    at = np.unique(np.round(np.linspace(0, len(pairs) - 1, _MAX_PAIRS)).astype(np.int64)) if len(pairs) else np.zeros(0, np.int64)
    return pairs[at].astype(np.int64)


def summarise(features: Tensor, pairs: Tensor, n_dims: int) -> Tensor:
    """Return (B, S): mean, spread, least and largest value over time of every channel and of the differences of pairs of keypoints.

    Of the channels also the mean change from frame to frame and the change from the first frame to the last; only frames in which a
    point is seen count, 0 where it never is. Last the channels themselves in eight frames, evenly spaced from first to last.

    Args:
        features: (B, T, V, F), of which the first `n_dims` are x, y[, z] and the last marks seen points.
        pairs: (P, 2) keypoints.
        n_dims: 2 or 3.
    """
    seen, values = features[..., -1:], features[..., :-1]
    first, second = features.index_select(2, pairs[:, 0]), features.index_select(2, pairs[:, 1])
    apart = (first - second)[..., :n_dims]
    both = (first * second)[..., -1:]
    steps = (values[:, 1:] - values[:, :-1]).abs() * (seen[:, 1:] * seen[:, :-1])
    change = (steps.sum(dim=1) / max(features.shape[1] - 1, 1)).flatten(1)
    drift = ((values[:, -1] - values[:, 0]) * (seen[:, -1] * seen[:, 0])).flatten(1)
    described = _describe(
        torch.cat([values.flatten(2), apart.flatten(2)], dim=2),
        torch.cat([seen.expand_as(values).flatten(2), both.expand_as(apart).flatten(2)], dim=2),
    )
    n = change.shape[1]
    overall = [*(part[:, :n] for part in described), change, drift, *(part[:, n:] for part in described)]
    return torch.cat([*overall, _show_frames(values * seen)], dim=1)


def count_summaries(n_nodes: int, n_features: int, n_dims: int) -> int:
    """Return S, how many numbers `summarise` makes of V keypoints with F features."""
    return (6 + _N_SHOWN) * n_nodes * (n_features - 1) + 4 * len(choose_pairs(n_nodes)) * n_dims


def _show_frames(values: Tensor) -> Tensor:
    """Return (B, 8 V F) frames of (B, T, V, F) at eight evenly spaced times; in whole numbers, so that T can be traced."""
    gaps = _N_SHOWN - 1
    at = torch.div(2 * torch.arange(_N_SHOWN) * (values.shape[1] - 1) + gaps, 2 * gaps, rounding_mode="floor")
    return values.index_select(1, at).flatten(1)


def _describe(values: Tensor, seen: Tensor) -> list[Tensor]:
    """Return mean, standard deviation, minimum and maximum (B, S) over the frames of (B, T, S) that are seen."""
    count = seen.sum(dim=1).clamp(min=1)
    mean = (values * seen).sum(dim=1) / count
    filled = torch.where(seen > 0, values, mean[:, None])
    spread = (filled - mean[:, None]).square().sum(dim=1) / count
    low, high = torch.aminmax(filled, dim=1)
    return [mean, spread.sqrt(), low, high]


class Forest(nn.Module):
    """Trees as one list of nodes; `left` and `right` are the children (itself in a leaf), `feature` and `threshold` the question.

    `value` (nodes, K) holds the training shares of a leaf, `roots` where each tree starts, `depth` how long the longest way is.
    Whoever fills these calls `link`, which lays them out for the walk; loading weights does it.
    """

    left: Tensor
    right: Tensor
    feature: Tensor
    threshold: Tensor
    value: Tensor
    roots: Tensor
    start: Tensor
    child: Tensor
    asked: Tensor
    limit: Tensor

    def __init__(self, *, n_nodes: int, n_trees: int, depth: int, n_classes: int, n_inputs: int) -> None:
        super().__init__()
        self.depth, self.n_inputs = depth, n_inputs
        for name in ("left", "right", "feature"):
            self.register_buffer(name, torch.zeros(n_nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(n_nodes))
        self.register_buffer("value", torch.zeros(n_nodes, n_classes))
        self.register_buffer("roots", torch.zeros(n_trees, dtype=torch.int32))
        self.link()
        self.register_load_state_dict_post_hook(_link)  # type: ignore[no-untyped-call]

    def link(self) -> None:
        """Lay the nodes out for the walk: at place 2 i stands where the left child of node i is, at 2 i + 1 where the right one is.

        Raises:
            ValueError: if a node points outside the trees or asks for a feature that there is not.
        """
        n = len(self.left)
        for name, limit in {"left": n, "right": n, "feature": self.n_inputs, "roots": n}.items():
            array = getattr(self, name)
            if array.numel() == 0 or int(array.min()) < 0 or int(array.max()) >= limit:
                raise ValueError(f"{name} points outside the trees")
        places = {
            "start": 2 * self.roots.long(),
            "child": 2 * torch.stack([self.left, self.right], dim=1).flatten().long(),
            "asked": self.feature.long().repeat_interleave(2),
            "limit": self.threshold.repeat_interleave(2),
        }
        for name, tensor in places.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, flat: Tensor) -> Tensor:
        """Return (B, K) probabilities for (B, S) features."""
        n, n_trees = flat.shape[0], len(self.start)
        at, numbers = self.start.repeat(n), flat.flatten()
        child, asked, limit = self.child, self.asked, self.limit
        row = (torch.arange(n) * flat.shape[1]).repeat_interleave(n_trees)
        for level in range(self.depth):
            above = numbers.index_select(0, row + asked.index_select(0, at)) > limit.index_select(0, at)
            below = child.index_select(0, at + above)
            if level % 4 == 3 and not torch.onnx.is_in_onnx_export() and torch.equal(below, at):
                break
            at = below
        return self.value.index_select(0, at // 2).view(n, n_trees, -1).mean(dim=1)


def _link(forest: nn.Module, _: object) -> None:
    cast("Forest", forest).link()


def grow_forest(
    flat: NDArray[np.float32], label: NDArray[np.int64], *, n_classes: int, n_trees: int, seed: int
) -> tuple[Forest, dict[str, int]]:
    """Return a forest (P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees", 2006) and the sizes it is built from."""
    from sklearn.ensemble import ExtraTreesClassifier

    fitted = ExtraTreesClassifier(n_trees, min_samples_leaf=2, random_state=seed).fit(flat, label)
    trees = [estimator.tree_ for estimator in fitted.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    size = {"n_nodes": int(starts[-1]), "n_trees": n_trees, "depth": max(int(tree.max_depth) for tree in trees)}
    forest = Forest(**size, n_classes=n_classes, n_inputs=flat.shape[1])
    for tree, start in zip(trees, starts, strict=False):
        _copy_tree(forest, tree, int(start), fitted.classes_)
    forest.roots.copy_(torch.from_numpy(starts[:-1]))
    forest.link()
    return forest, size


def _copy_tree(forest: Forest, tree: Any, start: int, columns: NDArray[np.int64]) -> None:
    rows = slice(start, start + tree.node_count)
    leaf, own = tree.children_left < 0, start + np.arange(tree.node_count)
    forest.left[rows] = torch.from_numpy(np.where(leaf, own, start + tree.children_left).astype(np.int32))
    forest.right[rows] = torch.from_numpy(np.where(leaf, own, start + tree.children_right).astype(np.int32))
    forest.feature[rows] = torch.from_numpy(np.where(leaf, 0, tree.feature).astype(np.int32))
    forest.threshold[rows] = torch.from_numpy(tree.threshold.astype(np.float32))
    shares = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)
    block = np.zeros((tree.node_count, forest.value.shape[1]), np.float32)
    block[:, columns] = shares
    forest.value[rows] = torch.from_numpy(block)
