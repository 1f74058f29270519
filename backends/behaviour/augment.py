"""Strong augmentation of pose sequences: other tempo and moment, other view and build, noise, points and moments unseen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["augment_strongly"]


def augment_strongly(
    batch: Tensor, generator: torch.Generator, *, n_dims: int, turn: float = 0.0, mirror: Sequence[int] | None = None
) -> Tensor:
    """Return (B, T, V, F) features as another take, another camera and another person might have given them.

    Time runs faster or slower by up to a quarter and starts up to an eighth earlier or later; positions are tilted by up to 0.2
    rad, turned about the vertical axis by up to `turn` rad, stretched along each axis by up to a tenth, shaken by noise that
    stays over the sequence and noise of each frame; every eighth point and some stretches of time are unseen.

    Args:
        batch: the first `n_dims` features are x, y[, z] in body sizes, the last marks seen points.
        generator: all draws come from it.
        n_dims: 2 or 3.
        turn: for true depth only.
        mirror: (V,) the counterpart of each node; every second sequence is then mirrored.
    """
    n, _, n_nodes, _ = batch.shape
    moved = _warp_time(batch, generator)
    seen, points = moved[..., -1:], moved[..., :n_dims]
    if mirror is not None:
        flip = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
        moved = torch.where(flip, moved[:, :, list(mirror)], moved)
        seen, points = moved[..., -1:], moved[..., :n_dims] * torch.where(flip, _axis(n_dims, -1.0), _axis(n_dims, 1.0))
    size = (0.9 + 0.2 * torch.rand(n, 1, 1, generator=generator)) * (0.92 + 0.16 * torch.rand(n, 1, n_dims, generator=generator))
    turned = torch.einsum("ntvc,ndc->ntvd", points, _draw_turns(n, n_dims, turn, generator) * size.transpose(1, 2))
    still = 0.03 * torch.randn(n, 1, n_nodes, n_dims, generator=generator)
    points = turned + still + 0.02 * torch.randn(turned.shape, generator=generator)
    kept = seen * _keep(n, batch.shape[1], n_nodes, generator)
    return torch.cat([points, moved[..., n_dims:]], dim=-1) * kept


def _axis(n_dims: int, first: float) -> Tensor:
    return torch.tensor([first, *[1.0] * (n_dims - 1)])


def _warp_time(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Read each sequence at other moments, between two frames as their mean; a point is seen where the nearer frame sees it."""
    n, n_frames = batch.shape[:2]
    time = torch.arange(n_frames, dtype=torch.float32)[None] - (n_frames - 1) / 2
    tempo = torch.exp((torch.rand(n, 1, generator=generator) - 0.5) * 0.5)
    shift = (torch.rand(n, 1, generator=generator) - 0.5) * n_frames / 4
    at = (time * tempo + shift + (n_frames - 1) / 2).clamp(0, n_frames - 1)
    low = at.floor().long().clamp(max=max(n_frames - 2, 0))
    rows = torch.arange(n)[:, None]
    a, b = batch[rows, low], batch[rows, (low + 1).clamp(max=n_frames - 1)]
    part = (at - low)[..., None, None]
    weight_a, weight_b = (1 - part) * a[..., -1:], part * b[..., -1:]
    mixed = (a * weight_a + b * weight_b) / (weight_a + weight_b).clamp(min=1e-6)
    return torch.cat([mixed[..., :-1], torch.where(part < 0.5, a[..., -1:], b[..., -1:])], dim=-1)


def _draw_turns(n: int, n_dims: int, turn: float, generator: torch.Generator) -> Tensor:
    """Return (B, D, D) rotations: a tilt in the picture, and a turn about the vertical axis."""
    tilt = (torch.rand(n, generator=generator) - 0.5) * 0.4
    out = torch.eye(n_dims).repeat(n, 1, 1)
    out[:, 0, 0], out[:, 0, 1], out[:, 1, 0], out[:, 1, 1] = tilt.cos(), -tilt.sin(), tilt.sin(), tilt.cos()
    if n_dims == 2 or turn == 0:
        return out
    yaw = (torch.rand(n, generator=generator) - 0.5) * 2 * turn
    about = torch.eye(3).repeat(n, 1, 1)
    about[:, 0, 0], about[:, 0, 2], about[:, 2, 0], about[:, 2, 2] = yaw.cos(), yaw.sin(), -yaw.sin(), yaw.cos()
    return out @ about


def _keep(n: int, n_frames: int, n_nodes: int, generator: torch.Generator) -> Tensor:
    """Return (B, T, V, 1), 1 = stays seen: half of the sequences lose a few points, a third a stretch of time."""
    some = torch.rand(n, 1, 1, generator=generator) < 0.5
    points = (torch.rand(n, 1, n_nodes, generator=generator) > 0.12) | ~some
    start = torch.rand(n, 1, 1, generator=generator) * 3 * n_frames
    time = torch.arange(n_frames)[None, :, None]
    stretch = (time < start) | (time >= start + n_frames / 6)
    return (points & stretch).float()[..., None]
