"""The loop itself: epochs, schedules, early stopping, the best weights, and everything that a checkpoint must hold."""

from __future__ import annotations

import time
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import MultiStepLR, OneCycleLR, ReduceLROnPlateau

from backends.training_checkpoints import CheckpointFolder, State, copy_state
from backends.training_devices import Machine, Team
from backends.training_losses import UNLABELLED, Criterion, compute_teacher_loss
from backends.training_plan import OnEpoch, TrainingHistory, TrainingJob, TrainingPlan

__all__ = ["Regularised", "Trainer"]

_CHUNK = 1024
_BETTER = 1e-4
"""A validation loss counts as better when it is lower by this much."""


@runtime_checkable
class Regularised(Protocol):
    """A network with a part whose squared weights are added to the loss (L2)."""

    def compute_penalty(self) -> Tensor:
        """Return the sum of squares."""
        ...


class Trainer:
    """One training on one device, alone or as a member of a team; `run` ends it, from where `folder`'s checkpoint left it."""

    def __init__(self, job: TrainingJob, machine: Machine, team: Team, folder: CheckpointFolder | None = None) -> None:
        self.job, self.machine, self.team, self.folder = job, machine, team, folder
        self.network = job.network.to(machine.device)
        self.teacher = None if job.teacher is None else job.teacher.to(machine.device).eval()
        self.criterion = _choose_criterion(job, machine)
        self.optimiser, self.schedule = _choose_schedule(self.network, job.plan, _count_batches(job))
        self.seed = torch.initial_seed()
        self.epoch, self.done = 0, False
        self.train_loss: list[float] = []
        self.val_loss: list[float] = []
        self.best, self.best_epoch, self.best_state = float("inf"), 0, copy_state(self.network)
        self._saved = time.monotonic()

    def run(self, on_epoch: OnEpoch | None) -> TrainingHistory:
        """Train to the end, and leave the network on the CPU, in evaluation mode, with the weights that the plan keeps."""
        if self.folder is not None and (found := self.folder.load()) is not None:
            self._restore(found)
        while not self.done:
            self._advance()
            self._save()
            if on_epoch is not None:
                self.network.cpu()
                on_epoch(self.epoch, self.train_loss[-1], self.val_loss[-1] if self.val_loss else None)
                self.network.to(self.machine.device)
        if self.job.plan.schedule == "plateau":
            self.network.load_state_dict(self.best_state)
        self.network.cpu().eval()
        if self.teacher is not None:
            self.teacher.cpu()
        best = self.best_epoch if self.job.plan.schedule == "plateau" else self.job.plan.epochs
        return TrainingHistory(train_loss=tuple(self.train_loss), val_loss=tuple(self.val_loss), best=max(best, 1))

    def _advance(self) -> None:
        plan, self.epoch = self.job.plan, self.epoch + 1
        self.team.seed_epoch(self.seed, self.epoch)
        self.train_loss.append(self._run_epoch())
        if self.job.validation is not None:
            self.val_loss.append(self._compute_loss(self.job.validation))
        watched = self.val_loss[-1] if self.val_loss else self.train_loss[-1]
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(watched)
        elif isinstance(self.schedule, MultiStepLR):
            self.schedule.step()
        if watched < self.best - _BETTER:
            self.best, self.best_epoch, self.best_state = watched, self.epoch, copy_state(self.network)
        waited = self.epoch - self.best_epoch >= plan.patience and self.epoch >= plan.min_epochs
        self.done = self.epoch >= plan.epochs or (plan.schedule == "plateau" and waited)

    def _run_epoch(self) -> float:
        self.network.train()
        job, total = self.job, 0.0
        inputs, targets = job.train
        order = torch.cat([torch.randperm(len(targets), generator=job.generator) for _ in range(job.plan.passes)])
        batches = order.split(job.plan.batch_size)  # type: ignore[no-untyped-call]
        least = 2 * self.team.size
        for rows in batches if len(batches) == 1 else [rows for rows in batches if len(rows) >= least]:
            batch = inputs[rows] if job.augment is None else job.augment(inputs[rows], job.generator)
            total += self._step(batch, targets[rows], None if job.annotated is None else job.annotated[rows]) * len(rows)
        self.network.eval()
        self.team.average_buffers(self.network)
        return self.team.agree((total / len(order),))[0]

    def _step(self, batch: Tensor, targets: Tensor, annotated: Tensor | None) -> float:
        """Take one step and return this member's part of the batch's mean loss."""
        n_counted = int((targets != UNLABELLED).sum())
        shown = self._place(batch)
        with self.machine.autocast():
            logits = self.network(shown)
        known = None if annotated is None else self._place(annotated)
        loss = self.criterion.compute_sum(logits, self._place(targets), known)[0] / max(n_counted, 1)
        if self.teacher is not None:
            share = self.job.plan.taught
            loss = (1 - share) * loss + share * self._compute_teacher_loss(logits, shown)
        value = float(loss.detach())
        for penalty in self._compute_penalties():
            loss = loss + penalty / self.team.size
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.team.sum_gradients(self.network)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        if isinstance(self.schedule, OneCycleLR):
            self.schedule.step()
        return value

    def _compute_teacher_loss(self, logits: Tensor, shown: Tensor) -> Tensor:
        """Return this member's part of the mean distance from the teacher's answers."""
        with torch.no_grad(), self.machine.autocast():
            said = cast("nn.Module", self.teacher)(shown)
        return compute_teacher_loss(logits, said) / self.team.size

    def _place(self, part: Tensor) -> Tensor:
        return self.team.take_share(part).to(self.machine.device)

    def _compute_penalties(self) -> list[Tensor]:
        plan, penalties = self.job.plan, []
        if plan.l2 and isinstance(self.network, Regularised):
            penalties.append(plan.l2 * self.network.compute_penalty())
        if plan.gamma_l1:
            norms = [m for m in self.network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))]
            penalties += [plan.gamma_l1 * norm.weight.abs().sum() for norm in norms]
        return penalties

    def _compute_loss(self, data: tuple[Tensor, Tensor]) -> float:
        """Return the mean validation loss, in parts that fit into memory; every member of a team gets the same."""
        total, n_counted = 0.0, 0
        with torch.no_grad(), self.machine.autocast():
            for inputs, targets in zip(data[0].split(_CHUNK), data[1].split(_CHUNK), strict=True):  # type: ignore[no-untyped-call]
                logits = self.network(inputs.to(self.machine.device))
                part, n = self.criterion.compute_sum(logits, targets.to(self.machine.device))
                total, n_counted = total + float(part), n_counted + n
        return self.team.agree((total / max(n_counted, 1) / self.team.size,))[0]

    def _save(self) -> None:
        if self.folder is None or self.team.rank or not (self.done or time.monotonic() - self._saved >= self.folder.every_s):
            return
        self.folder.save(self._describe(), epoch=self.epoch)
        self._saved = time.monotonic()

    def _describe(self) -> State:
        optimiser = self.optimiser.state_dict()
        tensors = {
            **{f"network/{name}": tensor for name, tensor in copy_state(self.network).items()},
            **{f"best/{name}": tensor for name, tensor in self.best_state.items()},
            **{f"optimiser/{i}/{k}": v.detach().cpu() for i, one in optimiser["state"].items() for k, v in one.items()},
            "random/torch": torch.get_rng_state(),
            "random/order": self.job.generator.get_state(),
        }
        if self.machine.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.machine.device)
        plain = {name: getattr(self, name) for name in _PLAIN}
        schedule = {k: v for k, v in self.schedule.state_dict().items() if isinstance(v, (int, float, list, str))}
        return State(tensors=tensors, plain={**plain, "groups": optimiser["param_groups"], "schedule": schedule})

    def _restore(self, state: State) -> None:
        self.network.load_state_dict(state.take("network"))
        self.best_state = state.take("best")
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.take("optimiser").items():
            number, _, key = name.partition("/")
            moments.setdefault(int(number), {})[key] = tensor
        self.optimiser.load_state_dict({"state": moments, "param_groups": state.plain["groups"]})
        self.schedule.load_state_dict(state.plain["schedule"])
        for name in _PLAIN:
            setattr(self, name, state.plain[name])
        torch.set_rng_state(state.tensors["random/torch"])
        self.job.generator.set_state(state.tensors["random/order"])
        if self.machine.device.type == "cuda":
            torch.cuda.set_rng_state(state.tensors["random/cuda"], self.machine.device)


_PLAIN = ("epoch", "done", "train_loss", "val_loss", "best", "best_epoch")
_Schedule = ReduceLROnPlateau | OneCycleLR | MultiStepLR


def _choose_schedule(network: nn.Module, plan: TrainingPlan, n_batches: int) -> tuple[torch.optim.Optimizer, _Schedule]:
    optimiser: torch.optim.Optimizer
    if plan.optimiser == "sgd":
        optimiser = torch.optim.SGD(network.parameters(), lr=plan.lr, momentum=0.9, weight_decay=plan.decay)
    elif plan.schedule == "one-cycle":
        optimiser = torch.optim.AdamW(network.parameters(), lr=plan.lr, weight_decay=plan.decay, fused=True)
    else:
        optimiser = torch.optim.Adam(network.parameters(), lr=plan.lr, fused=True)
    if plan.schedule == "one-cycle":
        return optimiser, OneCycleLR(optimiser, plan.lr, total_steps=plan.epochs * n_batches + 1)
    if plan.schedule == "steps":
        return optimiser, MultiStepLR(optimiser, [round(0.7 * plan.epochs), round(0.9 * plan.epochs)])
    return optimiser, ReduceLROnPlateau(
        optimiser, factor=plan.lr_factor, patience=plan.lr_patience - 1, min_lr=plan.lr_floor, threshold=_BETTER
    )


def _count_batches(job: TrainingJob) -> int:
    return -(-len(job.train[1]) * job.plan.passes // job.plan.batch_size)


def _choose_criterion(job: TrainingJob, machine: Machine) -> Criterion:
    """Choose the plan's loss; how many classes there are the network tells on one sample."""
    plan, (inputs, targets) = job.plan, job.train
    if plan.loss == "cross-entropy":
        return Criterion(smoothing=plan.smoothing)
    job.network.eval()
    with torch.no_grad():
        n_classes = job.network(inputs[:1].to(machine.device)).shape[1]
    return Criterion.choose(plan.loss, targets, n_classes, beta=plan.beta, tau=plan.tau, smoothing=plan.smoothing)
