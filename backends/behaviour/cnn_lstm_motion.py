"""Pose CNN-LSTM of seed D (see `backends.behaviour.cnn_lstm`), grown: the network of the proposer that ships with the tool.

Beyond what the paper gives, the input also holds z where there is one, a mark for unseen points and velocities; batch norm follows
each convolution; batches are lightly augmented; the LSTM's states are pooled over time (mean and last).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.behaviour.network import NetworkModel, PoseNetwork
from backends.behaviour.normalise import list_nodes

__all__ = ["CnnLstmMotion", "PoseCnnLstmMotion"]


class KeypointConv(nn.Module):
    """Conv1D(3, same) along the keypoints of (B, V, F), batch norm, ReLU, MaxPool1D(2); as one matrix product, which is faster."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * n_in, n_out, bias=False)
        self.norm = nn.BatchNorm1d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, ceil(V / 2), n_out)."""
        padded = nn.functional.pad(x, (0, 0, 1, 1))
        y = self.linear(torch.cat([padded[:, :-2], x, padded[:, 2:]], dim=2))
        y = self.norm(y.flatten(0, 1)).view(y.shape)
        if y.shape[1] % 2:
            y = nn.functional.pad(y, (0, 0, 0, 1))
        even, odd = y[:, 0::2], y[:, 1::2]
        return torch.relu(odd + torch.relu(even - odd))


class PoseCnnLstmMotion(PoseNetwork):
    """The network: (B, T, V, F) features, of which the first two are x and y and the last marks seen points, to (B, K) logits."""

    def __init__(
        self, *, n_nodes: int, n_features: int, n_classes: int, channels: tuple[int, int] = (32, 32), hidden: int = 128
    ) -> None:
        super().__init__(n_features)
        first, second = channels
        self.frame = nn.Sequential(KeypointConv(n_features + 2, first), KeypointConv(first, second))
        n_left = (n_nodes + 3) // 4
        self.lstm = nn.LSTM(second * n_left, hidden, batch_first=True)
        self.n_embedded = 2 * hidden
        self.dense = nn.Linear(2 * hidden, 64)
        self.dropout = nn.Dropout(0.6)
        self.out = nn.Linear(64, n_classes)

    def embed(self, features: Tensor) -> Tensor:
        """Return the (B, 2 * hidden) mean and last state of the LSTM."""
        n, n_frames, n_nodes, _ = features.shape
        seen = features[..., -1:]
        scaled = (features - self.shift) / self.scale * seen
        step = torch.zeros_like(scaled[..., :2])
        step[:, 1:] = (scaled[:, 1:, :, :2] - scaled[:, :-1, :, :2]) * seen[:, 1:] * seen[:, :-1]
        stacked = torch.cat([scaled[..., :-1], seen, 3 * step], dim=-1).reshape(n * n_frames, n_nodes, -1)
        states, (last, _) = self.lstm(self.frame(stacked).reshape(n, n_frames, -1))
        return torch.cat([states.mean(dim=1), last[-1]], dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.out(self.dropout(torch.relu(self.dense(self.embed(features)))))
        return logits

    def compute_penalty(self) -> Tensor:
        """Return the sum of squares of the dense layer's weights."""
        return (self.dense.weight**2).sum()


class CnnLstmMotion(NetworkModel):
    """The registered model `cnn-lstm-motion`: whole groups (about 15 % of the sequences) decide when to stop."""

    name = "cnn-lstm-motion"

    def _choose_nodes(self, pose: NDArray[np.float32]) -> list[int]:
        return list_nodes(pose.shape[2])

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseCnnLstmMotion:
        return PoseCnnLstmMotion(n_nodes=n_nodes, n_features=n_features, n_classes=n_classes)
