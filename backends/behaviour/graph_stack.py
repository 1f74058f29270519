"""Several trained graph networks asked at once: their weights side by side, batch norms folded in.

One tubelet costs a network many small operations whose price is the call, not the sum: two networks side by side take little more
than one (three quarters of the time of `default` at a batch of one were calls).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from backends.behaviour.graph import BONE_WEIGHT, LONG, MARK_WEIGHT, OTHER_WEIGHT, STEP_WEIGHT, PoseGraph
from backends.behaviour.tcn import DilatedBlock, TimeConv

__all__ = ["GraphStack"]

_Affine = tuple[Tensor, Tensor]
"""Weights (M, n_in, n_out) and what is added (M, 1, n_out)."""


class GraphStack:
    """M trained networks of one shape, in evaluation mode; later changes of theirs are not seen."""

    def __init__(self, members: Sequence[PoseGraph]) -> None:
        with torch.no_grad():
            self._read_entry(members)
            self.enter = _fold([member.enter for member in members])
            blocks = [[cast("DilatedBlock", block) for block in member.blocks] for member in members]
            self.blocks = [
                (same[0].wide.reach, _fold([block.wide for block in same]), _fold([block.mix for block in same]))
                for same in zip(*blocks, strict=True)
            ]
            self.out = _join([member.out for member in members])

    def ask(self, features: Tensor) -> Tensor:
        """Return the mean (B, K) of the networks' probabilities for (B, T, V, F) features."""
        logits = torch.baddbmm(self.out[1], self.embed(features), self.out[0])
        return torch.softmax(logits, dim=2).mean(dim=0)

    def embed(self, features: Tensor) -> Tensor:
        """Return (M, B, 2 C): mean and largest value over time, as `PoseGraph.embed` of each network."""
        n, n_frames = features.shape[:2]
        streams = self._split_streams(features)
        m, width = len(self.shift), self.mix[1].shape[-1]
        both = (streams.flatten(1, 3) @ self.mix[0]).view(m, n, n_frames, -1, 2 * width)
        mixed = torch.relu(both[..., :width] + self.near @ both[..., width:] + self.mix[1][:, None, None])
        read = torch.cat([streams.view(m, n * n_frames, -1), mixed.view(m, n * n_frames, -1)], dim=2)
        found = torch.relu(torch.baddbmm(self.enter[1], read, self.enter[0])).view(m * n, n_frames, -1)
        if n_frames >= LONG:
            found = nn.functional.max_pool1d(found.transpose(1, 2), 2, ceil_mode=True).transpose(1, 2)
        for reach, wide, mix in self.blocks:
            found = _pass_block(found, reach, wide, mix)
        return torch.cat([found.mean(dim=1), found.amax(dim=1)], dim=1).view(m, n, -1)

    def _read_entry(self, members: Sequence[PoseGraph]) -> None:
        """Take over what a network does to a frame: standardising, streams, mixing along the bones."""
        first, self.n_dims, self.parents = members[0], members[0].n_dims, members[0].parents
        self.shift = torch.stack([member.shift[:-1] for member in members])[:, None, None, None]
        weigh = torch.cat([first.weigh, torch.full((len(first.shift) - 1 - self.n_dims,), OTHER_WEIGHT)])
        self.factor = torch.stack([weigh / member.scale[:-1] for member in members])[:, None, None, None]
        self.near = torch.stack([member.spread + member.learned for member in members])[:, None, None]
        weight, bias = _join([member.mix for member in members])
        half = weight.shape[1] // 2
        self.mix = torch.cat([weight[:, :half], weight[:, half:]], dim=2), bias

    def _split_streams(self, features: Tensor) -> Tensor:
        """Return (M, B, T, V, S), as `PoseGraph.split_streams` of each network."""
        d, seen = self.n_dims, features[..., -1:]
        scaled = (features[..., :-1] - self.shift) * self.factor * seen
        joints = scaled[..., :d]
        bones = (joints - joints.index_select(3, self.parents)) * (BONE_WEIGHT * seen * seen.index_select(2, self.parents))
        step = (joints[:, :, 1:] - joints[:, :, :-1]) * (STEP_WEIGHT * seen[:, 1:] * seen[:, :-1])
        motions = nn.functional.pad(step, (0, 0, 0, 0, 1, 0))
        marks = (MARK_WEIGHT * seen).expand(len(scaled), *seen.shape)
        return torch.cat([joints, bones, motions, scaled[..., d:], marks], dim=-1)


def _pass_block(x: Tensor, reach: int, wide: _Affine, mix: _Affine) -> Tensor:
    """Return what `DilatedBlock` makes of (M * B, T, C)."""
    m, n_frames = len(wide[0]), x.shape[1]
    padded = nn.functional.pad(x, (0, 0, reach, reach))
    three = torch.cat([padded[:, at : at + n_frames] for at in (0, reach, 2 * reach)], dim=2).view(m, -1, 3 * x.shape[2])
    inner = torch.relu(torch.baddbmm(wide[1], three, wide[0]))
    return torch.relu(x + torch.baddbmm(mix[1], inner, mix[0]).view_as(x))


def _join(layers: Sequence[nn.Linear]) -> _Affine:
    return torch.stack([layer.weight.T for layer in layers]), torch.stack([layer.bias[None] for layer in layers])


def _fold(layers: Sequence[TimeConv]) -> _Affine:
    """Return convolutions with their batch norms, in evaluation mode, as one affine map each."""
    weights, biases = [], []
    for layer in layers:
        norm = layer.norm
        mean, var = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
        gain = norm.weight / torch.sqrt(var + norm.eps)
        weights.append((layer.linear.weight * gain[:, None]).T)
        biases.append((norm.bias - mean * gain)[None])
    return torch.stack(weights), torch.stack(biases)
