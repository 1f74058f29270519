"""How long, how fast and against which loss a network is trained; what came of it; and where trainings run (the session)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

import torch
from attrs import Factory, define, field, frozen, validators
from torch import Tensor, nn

from backends.training_losses import LossName

__all__ = ["Augment", "OnEpoch", "TrainingHistory", "TrainingJob", "TrainingPlan", "TrainingSession", "find_session", "use_session"]

Augment = Callable[[Tensor, torch.Generator], Tensor]
OnEpoch = Callable[[int, float, float | None], None]


@frozen(kw_only=True)
class TrainingPlan:
    """Cross-entropy with Adam; defaults are seed D's (S. N. Iskandarova, X. U. Jurayev, 2025).

    Schedule "plateau": the learning rate is multiplied by `lr_factor` after `lr_patience` epochs without a better validation loss,
    down to `lr_floor`; training stops after `patience` such epochs, not before `min_epochs`, and the best epoch's weights are kept.
    Schedule "one-cycle": AdamW with weight decay `decay`, `lr` reached and left in one cycle over all `epochs`; the last weights
    are kept. Schedule "steps": the learning rate is multiplied by 0.1 after 0.7 and 0.9 of the `epochs`; the last weights are kept.
    `val_share` of the sequences, as whole groups, validate; 0 = none.

    `loss`, `beta`, `tau` and `smoothing`: see `backends.training_losses`. `gamma_l1` is the weight of Σ|γ| over all batch norms (Z.
    Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017, eq. 1). `optimiser` "sgd" has
    momentum 0.9. With a teacher, its answers have the share `taught` of the loss and the labels the rest. An epoch goes through the
    training set `passes` times, each time with other draws of the augmentation.
    """

    epochs: int = 100
    batch_size: int = 32
    passes: int = 1
    lr: float = 1e-3
    lr_factor: float = 0.5
    lr_patience: int = 2
    lr_floor: float = 1e-6
    patience: int = 3
    min_epochs: int = 1
    l2: float = 1e-4
    schedule: Literal["plateau", "one-cycle", "steps"] = "plateau"
    decay: float = 0.0
    val_share: float = 0.15
    loss: LossName = "cross-entropy"
    beta: float = 0.999
    tau: float = 1.0
    smoothing: float = 0.0
    gamma_l1: float = 0.0
    taught: float = 0.5
    optimiser: Literal["adam", "sgd"] = "adam"


@frozen(kw_only=True)
class TrainingHistory:
    """Mean loss (nats) after each epoch; `best` counts from 1."""

    train_loss: tuple[float, ...]
    val_loss: tuple[float, ...] = field(default=())
    best: int = 1


@frozen(kw_only=True, eq=False)
class TrainingJob:
    """What `train_classifier` was asked for; see there."""

    network: nn.Module
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor] | None
    plan: TrainingPlan
    generator: torch.Generator
    augment: Augment | None
    annotated: Tensor | None
    teacher: nn.Module | None = None


@define(kw_only=True)
class TrainingSession:
    """Where the trainings of a block run, and what they leave.

    Attributes:
        device: "auto" = CUDA if present.
        precision: of the forward pass; "auto" = bf16 (autocast) on a CUDA device that has it, float32 elsewhere.
        n_devices: how many devices (CUDA), or processes (CPU), share each batch.
        checkpoints: folder to write checkpoints to and to go on from; None = neither.
        every_s: seconds between checkpoints; 0 = one after every epoch.
        histories: the losses of the trainings that ended, in their order.
    """

    device: Literal["auto", "cpu", "cuda"] = field(default="auto", validator=validators.in_(("auto", "cpu", "cuda")))
    precision: Literal["auto", "float32", "bf16"] = field(default="auto", validator=validators.in_(("auto", "float32", "bf16")))
    n_devices: int = field(default=1, validator=validators.ge(1))
    checkpoints: Path | None = None
    every_s: float = 10.0
    histories: list[TrainingHistory] = Factory(list)


_SESSION: ContextVar[TrainingSession | None] = ContextVar("training session", default=None)


def find_session() -> TrainingSession:
    """Return the session around the caller, or one of defaults."""
    return _SESSION.get() or TrainingSession()


@contextmanager
def use_session(session: TrainingSession) -> Iterator[TrainingSession]:
    """Let every training inside the block, of whatever model, run as `session` says."""
    token = _SESSION.set(session)
    try:
        yield session
    finally:
        _SESSION.reset(token)
