"""Temporal convolutional network over poses.

Residual blocks of dilated convolutions along time, after S. Bai, J. Z. Kolter, V. Koltun, "An Empirical Evaluation of Generic
Convolutional and Recurrent Networks for Sequence Modeling" (2018), fig. 1, here with both directions of time and without causality;
mean and largest value over time are pooled. Trained a fixed number of epochs with AdamW, one cycle of the learning rate (L. N.
Smith, N. Topin, "Super-Convergence", 2019) and augmented batches: no sample is spent on validation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backends.behaviour.network import NetworkModel, PoseNetwork
from backends.training import TrainingPlan

__all__ = ["PoseTcn", "Tcn"]

_Z_WEIGHT = 0.2
"""Depth from one camera is the noisiest coordinate: it counts a fifth."""
_STEP_WEIGHT = 5.0


class TimeConv(nn.Module):
    """Conv1D along time, same length, of (B, T, C), then batch norm; as one matrix product, which is several times faster here."""

    def __init__(self, n_in: int, n_out: int, *, width: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.reach, self.dilation = (width // 2) * dilation, dilation
        self.linear = nn.Linear(width * n_in, n_out, bias=False)
        self.norm = nn.BatchNorm1d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, n_out)."""
        if self.reach:
            padded = nn.functional.pad(x, (0, 0, self.reach, self.reach))
            x = torch.cat([padded[:, at : at + x.shape[1]] for at in range(0, 2 * self.reach + 1, self.dilation)], dim=2)
        y = self.linear(x)
        normed: Tensor = self.norm(y.flatten(0, 1)).view(y.shape)
        return normed


class DilatedBlock(nn.Module):
    """ReLU(x + conv(1)(dropout(ReLU(conv(3, dilated)(x))))) of (B, T, C)."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.wide = TimeConv(channels, channels, width=3, dilation=dilation)
        self.dropout = nn.Dropout(dropout)
        self.mix = TimeConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, C)."""
        return torch.relu(x + self.mix(self.dropout(torch.relu(self.wide(x)))))


class PoseTcn(PoseNetwork):
    """The network: (B, T, V, F) features, of which the first two are x and y and the last marks seen points, to (B, K) logits."""

    def __init__(self, *, n_nodes: int, n_features: int, n_classes: int, channels: int = 64, dropout: float = 0.4) -> None:
        super().__init__(n_features)
        n_inputs = n_nodes * (n_features + 2)
        self.enter = TimeConv(n_inputs, channels)
        self.blocks = nn.Sequential(*(DilatedBlock(channels, dilation, dropout) for dilation in (1, 2, 4)))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * channels, n_classes)
        self.n_embedded = 2 * channels

    def embed(self, features: Tensor) -> Tensor:
        """Return (B, 2 * channels): mean and largest value over time of what the blocks find."""
        seen = features[..., -1:]
        scaled = (features[..., :-1] - self.shift[:-1]) / self.scale[:-1] * seen
        step = torch.zeros_like(scaled[..., :2])
        step[:, 1:] = (scaled[:, 1:, :, :2] - scaled[:, :-1, :, :2]) * seen[:, 1:] * seen[:, :-1]
        rest = _Z_WEIGHT * scaled[..., 2:]
        stacked = torch.cat([scaled[..., :2], rest, 0.2 * seen, _STEP_WEIGHT * step], dim=-1)
        found = self.blocks(self.dropout(torch.relu(self.enter(stacked.flatten(2)))))
        return torch.cat([found.mean(dim=1), found.amax(dim=1)], dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.out(self.dropout(self.embed(features)))
        return logits


class Tcn(NetworkModel):
    """The registered model `tcn`."""

    name = "tcn"

    def __init__(self, *, mirror: bool = True, plan: TrainingPlan | None = None) -> None:
        super().__init__(
            mirror=mirror, plan=plan or TrainingPlan(schedule="one-cycle", epochs=40, lr=4e-3, decay=0.02, val_share=0.0)
        )

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseTcn:
        return PoseTcn(n_nodes=n_nodes, n_features=n_features, n_classes=n_classes)
