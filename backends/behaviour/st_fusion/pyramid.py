"""Spatio-temporal pyramid pooling: maps of any size to vectors of one length.

Seed C: level P(p_t, p_s) takes the largest value of cubes of ⌊T / p_t⌋ × ⌊W / p_s⌋ × ⌊H / p_s⌋, with p_s = 4, 2, 1 and p_t = 1.
Where a side is no multiple of p, cubes of that size would not cover it or come out too many; there they are one pixel longer and
overlap, as in K. He, X. Zhang, S. Ren, J. Sun, "Spatial Pyramid Pooling in Deep Convolutional Networks", ECCV 2014, sec. 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["PyramidPool"]


class PyramidPool(nn.Module):
    """(B, C, T, H, W) to (B, C · Σ p_t · p_s²), whatever T, H and W are (at least 1)."""

    def __init__(self, space: Sequence[int] = (4, 2, 1), time: Sequence[int] = (1,)) -> None:
        super().__init__()
        self.levels = tuple((p_t, p_s) for p_t in time for p_s in space)

    @property
    def n_bins(self) -> int:
        """How many values a channel gives."""
        return sum(p_t * p_s * p_s for p_t, p_s in self.levels)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the pooled maps, level by level: in each all channels, each with its bins in the order of time, height, width."""
        return torch.cat([pool_bins(maps, (p_t, p_s, p_s)).flatten(1) for p_t, p_s in self.levels], dim=1)

    def pool_grid(self, maps: Tensor) -> Tensor:
        """Return the same values on the finest grid: (B, C · levels, p_s, p_s), coarser levels repeated, the largest over time."""
        finest = max(p_s for _, p_s in self.levels)
        grids = [pool_bins(maps, (p_t, p_s, p_s)).amax(dim=2) for p_t, p_s in self.levels]
        return torch.cat([nn.functional.interpolate(grid, size=(finest, finest), mode="nearest") for grid in grids], dim=1)


def pool_bins(maps: Tensor, bins: tuple[int, int, int]) -> Tensor:
    """Return the largest values (B, C, *bins) of maps (B, C, T, H, W): `adaptive_max_pool3d`, of parts that ONNX knows."""
    pooled = maps
    for axis, n in zip((2, 3, 4), bins, strict=True):
        size = pooled.shape[axis]
        edges = [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        pooled = torch.stack([pooled.narrow(axis, a, b - a).amax(dim=axis) for a, b in edges], dim=axis)
    return pooled
