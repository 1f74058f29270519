"""Baseline of seed A: the residual network alone.

After Z. Xuan, "DRN-LSTM …" (2022/23): `drn-lstm` without its LSTM. The improved residual block is the paper's X' = f(W_s X + F(X,
W)): W_s is the identity where the shapes agree and linear where they differ, f is ReLU, and dropout of 0.25 lies inside F. F is
two convolutions of width 3, as in K. He et al., "Deep Residual Learning for Image Recognition" (2016), fig. 2; the paper says
neither how wide its blocks are (here 32, 64, 128) nor that batch norm follows each convolution, as it does here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from backends.behaviour.frames import FramesNetwork
from backends.behaviour.lstm import SEED_A
from backends.behaviour.network import NetworkModel
from backends.training import TrainingPlan

__all__ = ["BLOCKS", "PoseResNet1d", "ResNet1d", "ResidualBlock", "make_entry"]

BLOCKS = (32, 64, 128)
"""Channels of the three residual blocks."""


class ResidualBlock(nn.Module):
    """X' = ReLU(W_s X + F(X, W)) of (B, C, T), F = conv(3), norm, ReLU, dropout, conv(3), norm."""

    def __init__(self, n_in: int, n_out: int, *, dropout: float = 0.25) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv1d(n_in, n_out, 3, padding=1, bias=False),
            nn.BatchNorm1d(n_out),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv1d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm1d(n_out),
        )
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv1d(n_in, n_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_out, T)."""
        return torch.relu(self.shortcut(x) + self.inner(x))


def make_entry(n_in: int, channels: int) -> nn.Sequential:
    """Return Conv1D(32, 3), Conv1D(32, 3), MaxPool(3) over (B, n_in, T); the length becomes ceil(T / 3)."""
    return nn.Sequential(
        nn.Conv1d(n_in, channels, 3, padding=1, bias=False),
        nn.BatchNorm1d(channels),
        nn.ReLU(),
        nn.Conv1d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm1d(channels),
        nn.ReLU(),
        nn.MaxPool1d(3, ceil_mode=True),
    )


def _convolve_frames(frames: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution (B, T, C) over time of frames (B, T, I) with weights (C, I, 3), zeros beyond both ends.

    As one product of matrices: frames stay as they lie in memory, and what it takes is in proportion to C.
    """
    parts = frames @ weight.permute(1, 2, 0).flatten(1)
    before, here, after = parts.chunk(3, dim=2)
    pad = nn.functional.pad
    return here + pad(before, (0, 0, 1, 0))[:, :-1] + pad(after, (0, 0, 0, 1))[:, 1:]


class PoseResNet1d(FramesNetwork):
    """Two convolutions, pooling, three residual blocks, a convolution, the mean over time, Dense(64) with ReLU, (B, K) logits."""

    def __init__(
        self,
        *,
        n_nodes: int,
        n_features: int,
        n_classes: int,
        channels: int = 32,
        blocks: tuple[int, ...] = BLOCKS,
        dense: int = 64,
    ) -> None:
        super().__init__(n_nodes=n_nodes, n_features=n_features)
        self.entry = make_entry(self.n_inputs, channels)
        widths = (channels, *blocks)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b) for a, b in pairwise(widths)))
        self.leave = nn.Sequential(
            nn.Conv1d(widths[-1], widths[-1], 3, padding=1, bias=False), nn.BatchNorm1d(widths[-1]), nn.ReLU()
        )
        self.dense = nn.Linear(widths[-1], dense)
        self.out = nn.Linear(dense, n_classes)
        self.n_embedded = dense

    def remember(self, found: Tensor) -> Tensor:
        """Return (B, C, T) as it is: `drn-lstm` puts its LSTM here."""
        return found

    def embed(self, features: Tensor) -> Tensor:
        """Return the (B, 64) dense layer."""
        found = self.remember(self.enter(features))
        return torch.relu(self.dense(self.leave(self.blocks(found)).mean(dim=2)))

    def enter(self, features: Tensor) -> Tensor:
        """Return what the first two convolutions make of standardised frames, (B, 32, ceil(T / 3))."""
        if torch.is_grad_enabled():
            found: Tensor = self.entry(self.flatten_frames(features).transpose(1, 2))
        else:
            weight = self.fold_standard(cast("nn.Conv1d", self.entry[0]).weight)
            found = self.entry[1:](_convolve_frames(features.flatten(2), weight).transpose(1, 2))
        return found

    def forward(self, features: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.out(self.embed(features))
        return logits


class ResNet1d(NetworkModel):
    """The registered model `resnet1d`."""

    name = "resnet1d"

    def __init__(self, *, mirror: bool = True, plan: TrainingPlan | None = None) -> None:
        super().__init__(mirror=mirror, plan=plan or SEED_A)

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseResNet1d:
        return PoseResNet1d(n_nodes=n_nodes, n_features=n_features, n_classes=n_classes)
