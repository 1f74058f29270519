"""Cross-feature fusion of seed C: channel attention (CFAM) beside channel and position attention (CFDAM).

The attentions are those of J. Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019, eq. 1 to 4. Both start as the
identity: what they add is scaled by a γ that is learned from 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Cfam", "Cfdam", "ChannelAttention", "CrossFusion", "PositionAttention"]


class ChannelAttention(nn.Module):
    """ξ = γ F'' + F of F (B, C, H, W): ρ = F Fᵀ (C × C) over all positions, O = softmax(ρ) along rows, F'' = O F."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        """Return ξ (B, C, H, W)."""
        rows = maps.flatten(2)
        weights = torch.softmax(rows @ rows.transpose(1, 2), dim=2)
        seen: Tensor = self.gamma * (weights @ rows).view(maps.shape) + maps
        return seen


class PositionAttention(nn.Module):
    """γ E + F of F (B, C, H, W): every position gets the sum of all, weighted by how alike 1 × 1 convolutions of them are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(channels // 8, 1)
        self.query, self.key = nn.Conv2d(channels, narrow, 1), nn.Conv2d(channels, narrow, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        query, key, value = (part(maps).flatten(2) for part in (self.query, self.key, self.value))
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)
        seen: Tensor = self.gamma * (value @ weights.transpose(1, 2)).view(maps.shape) + maps
        return seen


class _TwoConvs(nn.Sequential):
    """Two 3 × 3 convolutions, each with batch norm and ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        layers: list[nn.Module] = []
        for n in (n_in, n_out):
            layers += [nn.Conv2d(n, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
        super().__init__(*layers)


class Cfam(nn.Module):
    """Two convolutions to G, channel attention to ξ, two convolutions to ε."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.enter, self.channel, self.leave = _TwoConvs(n_in, n_out), ChannelAttention(), _TwoConvs(n_out, n_out)

    def forward(self, maps: Tensor) -> Tensor:
        """Return ε (B, n_out, H, W) of the stacked features (B, n_in, H, W)."""
        fused: Tensor = self.leave(self.channel(self.enter(maps)))
        return fused


class Cfdam(nn.Module):
    """The dual branch: the same with position attention added to the channel attention."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.enter, self.leave = _TwoConvs(n_in, n_out), _TwoConvs(n_out, n_out)
        self.channel, self.position = ChannelAttention(), PositionAttention(n_out)

    def forward(self, maps: Tensor) -> Tensor:
        """Return ε (B, n_out, H, W) of the stacked features (B, n_in, H, W)."""
        entered = self.enter(maps)
        fused: Tensor = self.leave((self.channel(entered) + self.position(entered)) / 2)
        return fused


class CrossFusion(nn.Module):
    """CFAM ∥ CFDAM: both see the same stack, their outputs stand side by side."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.cfam, self.cfdam = Cfam(n_in, n_out), Cfdam(n_in, n_out)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, 2 n_out, H, W)."""
        return torch.cat([self.cfam(maps), self.cfdam(maps)], dim=1)
