"""One training loop for every small network: Adam, cross-entropy, early stopping, and validation by group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["Augment", "TrainingHistory", "TrainingPlan", "choose_validation", "isolate_random", "train_classifier"]

Augment = Callable[[Tensor, torch.Generator], Tensor]


@frozen(kw_only=True)
class TrainingPlan:
    """Cross-entropy with Adam; defaults are seed D's (S. N. Iskandarova, X. U. Jurayev, 2025).

    Schedule "plateau": the learning rate is multiplied by `lr_factor` after `lr_patience` epochs without a better validation loss,
    down to `lr_floor`; training stops after `patience` such epochs, not before `min_epochs`, and the best epoch's weights are kept.
    Schedule "one-cycle": AdamW with weight decay `decay`, `lr` reached and left in one cycle over all `epochs`; the last weights
    are kept. `val_share` of the sequences, as whole groups, validate; 0 = none.
    """

    epochs: int = 100
    batch_size: int = 32
    lr: float = 1e-3
    lr_factor: float = 0.5
    lr_patience: int = 2
    lr_floor: float = 1e-6
    patience: int = 3
    min_epochs: int = 1
    l2: float = 1e-4
    schedule: Literal["plateau", "one-cycle"] = "plateau"
    decay: float = 0.0
    val_share: float = 0.15


@frozen(kw_only=True)
class TrainingHistory:
    """Mean cross-entropy (nats) after each epoch; `best` counts from 1."""

    train_loss: tuple[float, ...]
    val_loss: tuple[float, ...] = field(default=())
    best: int = 1


@runtime_checkable
class Regularised(Protocol):
    """A network with a part whose squared weights are added to the loss (L2)."""

    def compute_penalty(self) -> Tensor:
        """Return the sum of squares."""
        ...


@contextmanager
def isolate_random(seed: int) -> Iterator[torch.Generator]:
    """Seed torch inside the block, use one thread there, and leave global random state and threads as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield torch.Generator().manual_seed(seed + 1)
        finally:
            torch.set_num_threads(threads)


def choose_validation(label: NDArray[Any], group: NDArray[Any], *, share: float, seed: int) -> NDArray[np.bool_]:
    """Choose which samples validate: whole groups of about `share` of all, of which every class keeps training samples.

    With one group (or none that can be spared) single samples are taken, class by class; with fewer than 20 samples none are, and
    training has to do without early stopping.

    Returns:
        (N,) mask, True = validation.
    """
    rng = np.random.default_rng(seed)
    n = len(label)
    chosen = np.zeros(n, bool)
    if n < 20 or share <= 0:
        return chosen
    wanted = share * n
    names = np.unique(group)
    for name in names[rng.permutation(len(names))] if len(names) > 2 else []:
        trial = chosen | (group == name)
        if trial.sum() <= 2 * wanted and set(label[~trial]) == set(label):
            chosen = trial
        if chosen.sum() >= wanted:
            break
    return chosen if chosen.sum() >= wanted / 2 else _choose_samples(label, share, rng)


def _choose_samples(label: NDArray[Any], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    chosen = np.zeros(len(label), bool)
    for value in np.unique(label):
        rows = rng.permutation(np.flatnonzero(label == value))
        chosen[rows[: round(share * len(rows))]] = True
    return chosen


def train_classifier(
    network: nn.Module,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor] | None,
    *,
    plan: TrainingPlan,
    generator: torch.Generator,
    augment: Augment | None = None,
    on_epoch: Callable[[int, float, float | None], None] | None = None,
) -> TrainingHistory:
    """Train `network` in place and leave it in evaluation mode with its best weights.

    Args:
        network: maps (B, ...) inputs to (B, K) logits; may offer `compute_penalty` (L2).
        train: inputs and (N,) int64 targets.
        validation: the same, or None: then the training loss decides when to stop.
        plan: how long and how fast.
        generator: order of the batches and augmentation.
        augment: is applied to every training batch.
        on_epoch: gets epoch (from 1), training loss and validation loss after each epoch, with the network in evaluation mode.

    Returns:
        The losses.
    """
    if plan.schedule == "one-cycle":
        return _train_one_cycle(network, train, validation, plan, generator, augment, on_epoch)
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.lr)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=plan.lr_factor, patience=plan.lr_patience - 1, min_lr=plan.lr_floor, threshold=1e-4
    )
    train_losses: list[float] = []
    val_losses: list[float] = []
    best, best_epoch, best_state = float("inf"), 0, _copy_state(network)
    for epoch in range(1, plan.epochs + 1):
        train_losses.append(_run_epoch(network, train, optimiser, plan, generator, augment))
        val_loss = None if validation is None else _compute_loss(network, validation)
        if val_loss is not None:
            val_losses.append(val_loss)
        watched = train_losses[-1] if val_loss is None else val_loss
        schedule.step(watched)
        if watched < best - 1e-4:
            best, best_epoch, best_state = watched, epoch, _copy_state(network)
        if on_epoch is not None:
            on_epoch(epoch, train_losses[-1], val_loss)
        if epoch - best_epoch >= plan.patience and epoch >= plan.min_epochs:
            break
    network.load_state_dict(best_state)
    network.eval()
    return TrainingHistory(train_loss=tuple(train_losses), val_loss=tuple(val_losses), best=max(best_epoch, 1))


def _train_one_cycle(
    network: nn.Module,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor] | None,
    plan: TrainingPlan,
    generator: torch.Generator,
    augment: Augment | None,
    on_epoch: Callable[[int, float, float | None], None] | None,
) -> TrainingHistory:
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.lr, weight_decay=plan.decay)
    n_batches = -(-len(train[1]) // plan.batch_size)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.lr, total_steps=plan.epochs * n_batches + 1)
    optimiser.register_step_post_hook(lambda *_: cycle.step())
    train_losses: list[float] = []
    val_losses: list[float] = []
    for epoch in range(1, plan.epochs + 1):
        train_losses.append(_run_epoch(network, train, optimiser, plan, generator, augment))
        val_losses += [] if validation is None else [_compute_loss(network, validation)]
        if on_epoch is not None:
            on_epoch(epoch, train_losses[-1], val_losses[-1] if val_losses else None)
    return TrainingHistory(train_loss=tuple(train_losses), val_loss=tuple(val_losses), best=plan.epochs)


def _run_epoch(
    network: nn.Module,
    train: tuple[Tensor, Tensor],
    optimiser: torch.optim.Optimizer,
    plan: TrainingPlan,
    generator: torch.Generator,
    augment: Augment | None,
) -> float:
    network.train()
    inputs, targets = train
    total = 0.0
    batches = torch.randperm(len(targets), generator=generator).split(plan.batch_size)  # type: ignore[no-untyped-call]
    for rows in batches if len(batches) == 1 else [rows for rows in batches if len(rows) > 1]:
        batch = inputs[rows] if augment is None else augment(inputs[rows], generator)
        loss = nn.functional.cross_entropy(network(batch), targets[rows])
        total += float(loss.detach()) * len(rows)
        if plan.l2 and isinstance(network, Regularised):
            loss = loss + plan.l2 * network.compute_penalty()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
    network.eval()
    return total / len(targets)


def _compute_loss(network: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(network(data[0]), data[1]))


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
