"""Networks and trees of the model `default` as one network, and how they are weighed and calibrated on held-out groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, cast

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.behaviour.forest import Forest, summarise
from backends.behaviour.graph import PoseGraph
from backends.behaviour.graph_stack import GraphStack
from backends.behaviour.network import PoseNetwork
from backends.calibration import apply_temperature, fit_temperature

__all__ = ["PoseEnsemble", "Weighing", "weigh"]

_WEIGHTS = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of the networks in the average that are tried; the trees have the rest."""


class PoseEnsemble(PoseNetwork):
    """Networks and, once they are grown, trees: (B, T, V, F) features to (B, K) logarithms of calibrated probabilities."""

    pairs: Tensor
    weight: Tensor
    temperature: Tensor

    def __init__(self, members: Sequence[PoseGraph], forest: Forest | None, pairs: NDArray[np.int64]) -> None:
        super().__init__(0)
        self.members, self.forest = nn.ModuleList(members), forest
        self.n_dims = members[0].n_dims
        self.n_embedded = sum(member.n_embedded for member in members)
        self.register_buffer("pairs", torch.from_numpy(pairs), persistent=False)
        self.register_buffer("weight", torch.tensor(1.0 if forest is None else 0.6))
        self.register_buffer("temperature", torch.tensor(1.0))
        self._stack: GraphStack | None = None
        self.register_load_state_dict_post_hook(_freeze)  # type: ignore[no-untyped-call]

    def freeze(self) -> Self:
        """Lay the networks side by side: from now on they answer in less time, and do not see later changes of their weights."""
        self._stack = GraphStack([cast("PoseGraph", member) for member in self.members])
        return self

    def embed(self, features: Tensor) -> Tensor:
        """Return what the networks pool over time, side by side."""
        return torch.cat([cast("PoseGraph", member).embed(features) for member in self.members], dim=1)

    def ask_networks(self, features: Tensor) -> Tensor:
        """Return the mean (B, K) of the networks' probabilities."""
        if self._stack is not None:
            return self._stack.ask(features)
        return torch.stack([torch.softmax(member(features), dim=1) for member in self.members]).mean(dim=0)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits."""
        probs = self.ask_networks(features)
        if self.forest is not None:
            probs = self.weight * probs + (1 - self.weight) * self.forest(summarise(features, self.pairs, self.n_dims))
        return torch.log(probs.clamp(min=1e-6)) / self.temperature


def _freeze(network: nn.Module, _: object) -> None:
    cast("PoseEnsemble", network).freeze()


@frozen(kw_only=True, eq=False)
class Weighing:
    """The share of the networks in the average, its temperature, and what held-out samples lose (N,) with both: −log p, in nats."""

    weight: float
    temperature: float
    losses: NDArray[np.float64]

    def is_clearly_below(self, other: Weighing) -> bool:
        """Say whether the mean loss is below the other's by more than one standard error of the difference, sample by sample.

        L. Breiman et al., "Classification and Regression Trees" (1984), section 3.4.3, the rule of one standard error.
        """
        less = other.losses - self.losses
        return bool(less.mean() > less.std() / np.sqrt(len(less)))


def weigh(said: NDArray[np.float32], grown: NDArray[np.float32], label: NDArray[np.int64]) -> Weighing:
    """Choose the share with the least cross-entropy on held-out groups, then the temperature of that average.

    Args:
        said: (N, K) probabilities of networks.
        grown: (N, K) probabilities of trees.
        label: (N,) true columns.
    """
    rows = np.arange(len(label))

    def mix(weight: float) -> NDArray[np.float64]:
        probs = np.maximum(weight * said.astype(np.float64) + (1 - weight) * grown, 1e-6)
        mixed: NDArray[np.float64] = probs / probs.sum(axis=1, keepdims=True)
        return mixed

    best = _WEIGHTS[int(np.argmin([-np.log(mix(weight)[rows, label]).mean() for weight in _WEIGHTS]))]
    temperature = fit_temperature(mix(best), label)
    softened = np.maximum(apply_temperature(mix(best), temperature), 1e-6)
    return Weighing(weight=best, temperature=temperature, losses=-np.log(softened[rows, label]))
