"""The network `st-fusion`: RGB in space, RGB in time and the skeleton, stacked on one grid, fused, and read out.

Each half also answers by itself, and the answers are added: what one half cannot see, or was not given, leaves the other's answer
as it is. In training one half of a sample is left out now and then, so that each learns to stand alone.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from backends.behaviour.st_fusion.fusion import CrossFusion
from backends.behaviour.st_fusion.hardwired import HardWired
from backends.behaviour.st_fusion.pyramid import PyramidPool
from backends.behaviour.st_fusion.rgb import AttentionLstm, Cnn3d
from backends.behaviour.st_fusion.so3 import Parts, compute_pair_rotations
from backends.behaviour.tcn import DilatedBlock, TimeConv

__all__ = ["HALVES", "Half", "StFusionNetwork"]

Half = Literal["both", "rgb", "skeleton"]
HALVES: tuple[Half, ...] = ("both", "rgb", "skeleton")

_WIDTH = 48
_LEFT_OUT = 0.2
"""How often each half of a training sample is left out."""
_DEPTH = 0.2
"""Depth from one camera is the noisiest coordinate: it counts a fifth."""
_STEP = 5.0


class RgbBranch(nn.Module):
    """Grey clips (B, T, H, W) to a grid (B, 2 · width, 4, 4): space from the pyramid, time repeated over the cells."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.hardwired, self.cnn, self.pool = HardWired(), Cnn3d(), PyramidPool()
        n = self.cnn.n_out
        self.space = nn.Sequential(nn.Dropout(dropout), nn.Linear(n * self.pool.n_bins, width), nn.ReLU())
        self.cells = nn.Sequential(nn.Conv2d(n * 3, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.time = AttentionLstm(2 * n, width, width)
        self.n_out, self.n_vector = 2 * width, 2 * width

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        """Return the grid, and what is known of the whole clip (B, 2 · width)."""
        found = self.cnn(self.hardwired(grey))
        frames = torch.cat([found.mean(dim=(3, 4)), found.amax(dim=(3, 4))], dim=1).transpose(1, 2)
        looked = self.time(frames)
        when = looked.mean(dim=1) * looked.shape[2]
        cells = self.cells(self.pool.pool_grid(found))
        grid = torch.cat([cells, when[:, :, None, None].expand(-1, -1, *cells.shape[2:])], dim=1)
        return grid, torch.cat([self.space(self.pool(found)), when], dim=1)


class SkeletonBranch(nn.Module):
    """Poses (B, T, V, F) to (B, 2 · width): rotations between body parts and places of keypoints, over time.

    The rotations are the seed's; the places (and their changes) are a departure: rotations alone do not tell lying from sitting.
    """

    def __init__(self, nodes: tuple[int, ...], n_features: int, parts: Parts, width: int, dropout: float) -> None:
        super().__init__()
        self.nodes, self.parts, self.has_depth = list(nodes), parts, n_features == 5
        self.enter = TimeConv(parts.n_features + len(nodes) * (n_features + 2), width)
        self.blocks = nn.Sequential(*(DilatedBlock(width, dilation, dropout) for dilation in (1, 2, 4)))
        self.dropout = nn.Dropout(dropout)
        self.n_out = 2 * width

    def forward(self, features: Tensor) -> Tensor:
        """Return what is known of the whole sequence."""
        points = torch.zeros_like(features[..., :3])
        points[..., :2] = features[..., :2]
        if self.has_depth:
            points[..., 2] = _DEPTH * features[..., 2]
        turns = compute_pair_rotations(points, features[..., -1], self.parts).flatten(2)
        places = features[:, :, self.nodes]
        seen = places[..., -1:]
        step = torch.zeros_like(places[..., :2])
        step[:, 1:] = (places[:, 1:, :, :2] - places[:, :-1, :, :2]) * seen[:, 1:] * seen[:, :-1]
        rest = _DEPTH * places[..., 2:]
        stacked = torch.cat([places[..., :2], rest, _STEP * step], dim=-1).flatten(2)
        found = self.blocks(self.dropout(torch.relu(self.enter(torch.cat([0.3 * turns, stacked], dim=2)))))
        return torch.cat([found.mean(dim=1), found.amax(dim=1)], dim=1)


class StFusionNetwork(nn.Module):
    """Grey clips and poses to (B, K) logits; `half` says which of them are read.

    Args:
        n_classes: K.
        n_features: F of the poses (see `normalise_poses`).
        nodes: the keypoints whose places are read.
        parts: of the body, for the rotations.
        half: what is read.
        width: of every branch.
        dropout: share of values.
    """

    def __init__(
        self, *, n_classes: int, n_features: int, nodes: tuple[int, ...], parts: Parts, half: Half = "both",
        width: int = _WIDTH, dropout: float = 0.4,
    ) -> None:  # fmt: skip
        super().__init__()
        self.reads = half
        self.rgb = RgbBranch(width, dropout / 2) if half != "skeleton" else None
        self.skeleton = SkeletonBranch(nodes, n_features, parts, width, dropout) if half != "rgb" else None
        self.dropout = nn.Dropout(dropout)
        self.rgb_out = nn.Linear(2 * width, n_classes) if self.rgb is not None else None
        self.skeleton_out = nn.Linear(2 * width, n_classes) if self.skeleton is not None else None
        self.fusion = CrossFusion(4 * width, width) if half == "both" else None
        self.fusion_out = nn.Linear(4 * width, n_classes) if self.fusion is not None else None
        self.n_embedded = 4 * width if half == "both" else 2 * width

    def forward(self, grey: Tensor | None, features: Tensor) -> Tensor:
        """Return logits; without `grey` (B, T, H, W) the skeleton alone answers."""
        return self.answer(*self.look(grey, features))

    def look(self, grey: Tensor | None, features: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return what each half knows, (B, 2 · width) each, and the fused features (B, 4 · width); None where not read."""
        pictured = self.rgb is not None and grey is not None
        grid, picture = self.rgb(grey) if pictured and self.rgb is not None else (None, None)
        body = None
        if self.skeleton is not None:
            body = self.skeleton(features) * features[..., -1].amax(dim=(1, 2))[:, None]
        if self.fusion is None:
            return picture, body, None
        if body is not None and picture is None:
            width = body.shape[1] // 2
            grid, picture = body.new_zeros(len(body), 2 * width, 4, 4), torch.zeros_like(body)
        if grid is None or picture is None or body is None:
            raise ValueError("neither half is given")
        if self.training and pictured:
            grid, picture, body = _leave_out(grid, picture, body)
        stacked = torch.cat([grid, body[:, :, None, None].expand(-1, -1, *grid.shape[2:])], dim=1)
        fused = self.fusion(stacked)
        return picture, body, torch.cat([fused.mean(dim=(2, 3)), fused.amax(dim=(2, 3))], dim=1)

    def answer(self, picture: Tensor | None, body: Tensor | None, fused: Tensor | None) -> Tensor:
        """Return logits (B, K): the sum of what each half and the fusion say."""
        pairs = ((self.rgb_out, picture), (self.skeleton_out, body), (self.fusion_out, fused))
        said = [layer(self.dropout(found)) for layer, found in pairs if layer is not None and found is not None]
        logits: Tensor = torch.stack(said).sum(dim=0)
        return logits


def _leave_out(grid: Tensor, picture: Tensor, body: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Set one half of some samples to 0, never both."""
    draw = torch.rand(len(body), 1, device=body.device)
    rgb, skeleton = (draw > _LEFT_OUT).float(), (draw < 1 - _LEFT_OUT).float()
    return grid * rgb[:, :, None, None], picture * rgb, body * skeleton
