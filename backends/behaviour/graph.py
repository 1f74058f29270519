"""A graph network over tubelets of any skeleton: joints, bones and motions, mixed along the bones, then convolved along time.

Streams of joints, bones and their motions after L. Shi et al., "Two-Stream Adaptive Graph Convolutional Networks" (CVPR 2019), here
early and in one network; its adjacency is the tree of bones plus a learned part (sec. 4.1, A_k + B_k). Time is read by dilated
residual convolutions (`backends.behaviour.tcn`); mean and largest value over time are pooled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from backends.behaviour.bones import spread_over_bones
from backends.behaviour.network import PoseNetwork
from backends.behaviour.tcn import DilatedBlock, TimeConv

__all__ = ["BONE_WEIGHT", "LONG", "MARK_WEIGHT", "NOISY_DEPTH", "OTHER_WEIGHT", "STEP_WEIGHT", "PoseGraph"]

BONE_WEIGHT, OTHER_WEIGHT, MARK_WEIGHT = 2.0, 0.2, 0.2
STEP_WEIGHT = 5.0
"""Motions from frame to frame are small beside positions."""
NOISY_DEPTH = 0.2
"""Depth from one camera is the noisiest coordinate: it counts a fifth."""
LONG = 20
"""From so many frames on, every two are pooled."""


class PoseGraph(PoseNetwork):
    """The network: (B, T, V, F) features, of which the first `n_dims` are x, y[, z] and the last marks seen points, to (B, K)."""

    parents: Tensor
    spread: Tensor
    weigh: Tensor

    def __init__(
        self,
        *,
        parents: Sequence[int],
        n_features: int,
        n_dims: int,
        n_classes: int,
        channels: int = 64,
        per_node: int = 8,
        dropout: float = 0.4,
    ) -> None:
        super().__init__(n_features)
        n_nodes, self.n_dims = len(parents), n_dims
        self.register_buffer("parents", torch.tensor(list(parents)), persistent=False)
        self.register_buffer("spread", torch.from_numpy(spread_over_bones(np.array(parents))), persistent=False)
        weigh = torch.ones(n_dims)
        weigh[2:] = NOISY_DEPTH if n_features - 1 > n_dims else 1.0
        self.register_buffer("weigh", weigh, persistent=False)
        n_streams = 3 * n_dims + n_features - n_dims
        self.learned = nn.Parameter(torch.zeros(n_nodes, n_nodes))
        self.mix = nn.Linear(2 * n_streams, per_node)
        self.enter = TimeConv(n_nodes * (n_streams + per_node), channels)
        self.blocks = nn.Sequential(*(DilatedBlock(channels, dilation, dropout) for dilation in (1, 2, 4)))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * channels, n_classes)
        self.n_embedded = 2 * channels

    def split_streams(self, features: Tensor) -> Tensor:
        """Return (B, T, V, 3 D + F - D): joints, bones and motions, then the other channels and the seen mark."""
        d, seen = self.n_dims, features[..., -1:]
        joints = (features[..., :d] - self.shift[:d]) / self.scale[:d] * self.weigh * seen
        bones = (joints - joints[:, :, self.parents]) * seen * seen[:, :, self.parents]
        step = (joints[:, 1:] - joints[:, :-1]) * seen[:, 1:] * seen[:, :-1]
        motions = STEP_WEIGHT * nn.functional.pad(step, (0, 0, 0, 0, 1, 0))
        others = OTHER_WEIGHT * (features[..., d:-1] - self.shift[d:-1]) / self.scale[d:-1] * seen
        return torch.cat([joints, BONE_WEIGHT * bones, motions, others, MARK_WEIGHT * seen], dim=-1)

    def embed(self, features: Tensor) -> Tensor:
        """Return (B, 2 * channels): mean and largest value over time of what the blocks find."""
        streams = self.split_streams(features)
        near = torch.einsum("uv,btvf->btuf", self.spread + self.learned, streams)
        mixed = torch.relu(self.mix(torch.cat([streams, near], dim=-1)))
        found = self.dropout(torch.relu(self.enter(torch.cat([streams.flatten(2), mixed.flatten(2)], dim=2))))
        if found.shape[1] >= LONG:
            found = nn.functional.max_pool1d(found.transpose(1, 2), 2, ceil_mode=True).transpose(1, 2)
        found = self.blocks(found)
        return torch.cat([found.mean(dim=1), found.amax(dim=1)], dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.out(self.dropout(self.embed(features)))
        return logits
