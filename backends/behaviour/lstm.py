"""Baseline of seed A: a long short-term memory alone.

After Z. Xuan, "DRN-LSTM: A Deep Residual Network Based On Long Short-term Memory Network For Students Behaviour Recognition In
Education" (2022/23), which measures LSTM(32), the residual network and both together (`backends.behaviour.drn_lstm`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backends.behaviour.frames import FramesNetwork
from backends.behaviour.network import NetworkModel
from backends.training import TrainingPlan

__all__ = ["SEED_A", "Lstm", "PoseLstm"]

SEED_A = TrainingPlan(schedule="one-cycle", epochs=40, lr=3e-3, decay=0.02, val_share=0.0)
"""How the three networks of seed A are trained; the paper gives no recipe for them, so all have the same."""


class PoseLstm(FramesNetwork):
    """LSTM(32) over the frames, its last state through Dense(64) with ReLU to (B, K) logits."""

    def __init__(self, *, n_nodes: int, n_features: int, n_classes: int, hidden: int = 32, dense: int = 64) -> None:
        super().__init__(n_nodes=n_nodes, n_features=n_features)
        self.lstm = nn.LSTM(self.n_inputs, hidden, batch_first=True)
        self.dense = nn.Linear(hidden, dense)
        self.out = nn.Linear(dense, n_classes)
        self.n_embedded = dense

    def embed(self, features: Tensor) -> Tensor:
        """Return the (B, 64) dense layer."""
        _, (last, _) = self.lstm(self.flatten_frames(features))
        return torch.relu(self.dense(last[-1]))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.out(self.embed(features))
        return logits


class Lstm(NetworkModel):
    """The registered model `lstm`."""

    name = "lstm"

    def __init__(self, *, mirror: bool = True, plan: TrainingPlan | None = None) -> None:
        super().__init__(mirror=mirror, plan=plan or SEED_A)

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseLstm:
        return PoseLstm(n_nodes=n_nodes, n_features=n_features, n_classes=n_classes)
