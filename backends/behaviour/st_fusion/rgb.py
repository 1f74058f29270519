"""The two RGB branches of seed C: a 3-D convolutional network for where, an LSTM with attention for when."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AttentionLstm", "Cnn3d"]


class Cnn3d(nn.Module):
    """C2, S3 (2 × 2), C4, C6 of maps (B, 5, T, H, W) to (B, n_out, T, H / 4, W / 4); pyramid pooling stands in the place of S5.

    Departures from Ji et al., 2013: kernels of 5 and 3 pixels instead of 7 and 6, the first with a stride of 2, padded so that
    small pictures pass; one set of kernels for all five kinds of maps; batch norm.
    """

    def __init__(self, n_maps: int = 5, channels: tuple[int, int, int] = (12, 24, 48)) -> None:
        super().__init__()
        c2, c4, c6 = channels
        self.n_out = c6
        self.c2 = _Conv(n_maps, c2, kernel=5, stride=2)
        self.s3 = nn.MaxPool3d((1, 2, 2), ceil_mode=True)
        self.c4 = _Conv(c2, c4, kernel=3)
        self.c6 = _Conv(c4, c6, kernel=3)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the feature maps."""
        found: Tensor = self.c6(self.c4(self.s3(self.c2(maps))))
        return found


class _Conv(nn.Module):
    """Conv3d over 3 frames and `kernel`² pixels, batch norm, ReLU."""

    def __init__(self, n_in: int, n_out: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            n_in, n_out, (3, kernel, kernel), stride=(1, stride, stride), padding=(1, kernel // 2, kernel // 2), bias=False
        )
        self.norm = nn.BatchNorm3d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_out, T, H / stride, W / stride)."""
        return torch.relu(self.norm(self.conv(x)))


class AttentionLstm(nn.Module):
    """An LSTM whose every state looks back: s_τ = Σ_{k<τ} μ_k h_k, μ = softmax_k(h_τ W_s h_k), x' = softmax(W_out [s_τ ⊕ h_τ]).

    The first state has nothing behind it: s_1 = 0.
    """

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_in, hidden, batch_first=True)
        self.w_s = nn.Linear(hidden, hidden, bias=False)
        self.w_out = nn.Linear(2 * hidden, n_out)

    def forward(self, frames: Tensor) -> Tensor:
        """Return x' (B, T, n_out), each summing to 1, of frames (B, T, n_in)."""
        states, _ = self.lstm(frames)
        return torch.softmax(self.w_out(torch.cat([self.attend(states), states], dim=2)), dim=2)

    def attend(self, states: Tensor) -> Tensor:
        """Return s (B, T, hidden) of states h (B, T, hidden)."""
        n_frames = states.shape[1]
        scores = states @ self.w_s(states).transpose(1, 2)
        earlier = torch.ones(n_frames, n_frames, dtype=torch.bool, device=states.device).tril(-1)
        scores = torch.where(earlier, scores, torch.full_like(scores, -1e9))
        weights = torch.softmax(scores, dim=2) * earlier
        return weights @ states
