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

_SHARES = np.linspace(0, 1, 11)
"""Shares of the networks in the average that may be; the trees have the rest."""
_LIKELY = 1 - _SHARES
"""How likely each is before anything was held out: the simpler trees have about two thirds where nothing is against it."""
_PRIOR = 1.0
"""See `fit_temperature`: where all that is held out is right, something else may still be wrong."""


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
    """Return the share that held-out groups expect, and the temperature of that average.

    Each share counts by the likelihood of the labels under its own best temperature (before calibration the trees, which hedge,
    look worse than they are). A mean and no choice: where few samples are held out, and all shares do well, it is about a third.

    Args:
        said: (N, K) probabilities of networks.
        grown: (N, K) probabilities of trees.
        label: (N,) true columns.
    """
    found = [_calibrate(share * said.astype(np.float64) + (1 - share) * grown, label) for share in _SHARES]
    likely = -np.array([losses.sum() for _, losses in found])
    chances = np.exp(likely - likely.max()) * _LIKELY
    expected = float(chances @ _SHARES / chances.sum())
    temperature, losses = _calibrate(expected * said.astype(np.float64) + (1 - expected) * grown, label)
    return Weighing(weight=expected, temperature=temperature, losses=losses)


def _calibrate(probs: NDArray[np.float64], label: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return the best temperature, and what the samples lose (N,) with it, in nats."""
    safe = np.maximum(probs, 1e-6)
    safe /= safe.sum(axis=1, keepdims=True)
    temperature = fit_temperature(safe, label, prior=_PRIOR)
    softened = np.maximum(apply_temperature(safe, temperature), 1e-6)
    return temperature, -np.log(softened[np.arange(len(label)), label])
