"""One training for every small network; see `TrainingPlan` for how and `TrainingSession` for where.

Early stopping and validation by group, losses for unbalanced labels, masks for what nobody annotated, checkpoints, several devices:
the parts are the modules ``training_*`` beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.training_checkpoints import find_folder
from backends.training_devices import Team, choose_machine
from backends.training_loop import Regularised, Trainer
from backends.training_losses import UNLABELLED
from backends.training_plan import (
    Augment,
    OnEpoch,
    TrainingHistory,
    TrainingJob,
    TrainingPlan,
    TrainingSession,
    find_session,
    use_session,
)

__all__ = [
    "UNLABELLED",
    "Augment",
    "OnEpoch",
    "Regularised",
    "TrainingHistory",
    "TrainingPlan",
    "TrainingSession",
    "choose_validation",
    "isolate_random",
    "train_classifier",
    "use_session",
]


@contextmanager
def isolate_random(seed: int) -> Iterator[torch.Generator]:
    """Seed torch inside the block, use one thread there, and leave global random state and threads as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_available() else []):
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
    on_epoch: OnEpoch | None = None,
    annotated: Tensor | None = None,
    teacher: nn.Module | None = None,
) -> TrainingHistory:
    """Train `network` in place and leave it on the CPU, in evaluation mode, with the weights that the plan keeps.

    It runs where the session around says (`use_session`), by default on CUDA if present. With a folder for checkpoints it goes on
    from the newest one of the same training; epochs done before are not reported again.

    Args:
        network: maps (B, ...) inputs to (B, K) logits; may offer `compute_penalty` (L2).
        train: inputs and (N,) int64 targets; `UNLABELLED` = not annotated, counts for nothing.
        validation: the same, or None: then the training loss decides when to stop.
        plan: how long, how fast and against which loss.
        generator: order of the batches and augmentation.
        augment: is applied to every training batch.
        on_epoch: gets epoch (from 1), training loss and validation loss after each epoch, with the network in evaluation mode.
        annotated: (N, K) bool, the classes that whoever annotated the sample could have chosen; the others are neither learnt nor
            unlearnt from it. None = all.
        teacher: a trained network that gets the same batches and whose logits are learnt too (see `TrainingPlan.taught`).

    Returns:
        The losses.

    Raises:
        InvalidField: if the session asks for devices that are not there.
        StorageError: if a checkpoint cannot be written.
    """
    session = find_session()
    job = TrainingJob(
        network=network,
        train=train,
        validation=validation,
        plan=plan,
        generator=generator,
        augment=augment,
        annotated=annotated,
        teacher=teacher,
    )
    if session.n_devices > 1:
        from backends.training_team import run_together

        history = run_together(job, session, on_epoch)
    else:
        history = Trainer(job, choose_machine(session), Team(), find_folder(job, session)).run(on_epoch)
    session.histories.append(history)
    return history
