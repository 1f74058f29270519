"""Training where batches of several kinds alternate, which `backends.training.train_classifier` does not know: AdamW, one cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from backends.expression.base import OnEpoch
from schemas.faces import check_faces

__all__ = ["FitPlan", "as_inputs", "change_faces", "fit_by_batches"]

_CHUNK = 256

MakeLosses = Callable[[], Iterable[Tensor]]
"""Gives the losses of one epoch's batches, one after the other: the network changes between them."""


@frozen(kw_only=True)
class FitPlan:
    """How long and how fast: `lr` is reached and left in one cycle over all `epochs`, with weight decay `decay`."""

    epochs: int = 20
    batch_size: int = 12
    lr: float = 6e-3
    decay: float = 0.02


def fit_by_batches(
    network: nn.Module, make_losses: MakeLosses, n_batches: int, plan: FitPlan, on_epoch: OnEpoch | None = None
) -> None:
    """Train `network` in place by the losses of its batches, and leave it in evaluation mode.

    Args:
        network: what is trained.
        make_losses: an epoch's batches; called once an epoch.
        n_batches: how many batches an epoch has, or somewhat more.
        plan: how long and how fast.
        on_epoch: is called after every epoch.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.lr, weight_decay=plan.decay)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.lr, total_steps=plan.epochs * n_batches + 1)
    for epoch in range(1, plan.epochs + 1):
        network.train()
        losses = []
        for loss in make_losses():
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            cycle.step()
            losses.append(float(loss.detach()))
        network.eval()
        if on_epoch is not None:
            on_epoch(epoch, float(np.mean(losses)))


def as_inputs(image: object) -> list[Tensor]:
    """Return pictures (N, H, W, 3) uint8 as batches (B, 3, H, W) in [-1, 1] (min-max of the pixels' range)."""
    array = check_faces(image)
    parts = [array[i : i + _CHUNK] for i in range(0, len(array), _CHUNK)]
    return [torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2).float() / 127.5 - 1 for part in parts]


def change_faces(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Return faces (B, 3, H, W) mirrored, shifted by up to 2 px, lighter or darker, at random."""
    n, _, height, width = batch.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    mirrored = torch.where(draw(n, 1, 1, 1) < 0.5, batch.flip(3), batch)
    padded = nn.functional.pad(mirrored, (2, 2, 2, 2), mode="replicate")
    top, left = (int(torch.randint(0, 5, (1,), generator=generator)) for _ in range(2))
    shifted = padded[:, :, top : top + height, left : left + width]
    changed: Tensor = (shifted + 1) * (0.7 + 0.5 * draw(n, 1, 1, 1)) - 1 + 0.1 * (draw(n, 3, 1, 1) - 0.5)
    return changed
