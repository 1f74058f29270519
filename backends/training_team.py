"""Training on several devices: one process a device, every one with the whole data and its share of each batch.

All members draw the same batches and the same augmentation; gradients are summed and running statistics of batch norms averaged, so
that without batch norm and dropout the weights are those of one device, up to the rounding of sums. The processes meet on loopback.
"""

from __future__ import annotations

import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from attrs import asdict
from torch.multiprocessing.spawn import spawn

from backends.training_checkpoints import State, copy_state, find_folder, pack_state, unpack_state
from backends.training_devices import choose_machine, join_team
from backends.training_loop import Trainer
from backends.training_plan import OnEpoch, TrainingHistory, TrainingJob, TrainingSession
from schemas.errors import InvalidField

__all__ = ["run_together"]


def run_together(job: TrainingJob, session: TrainingSession, on_epoch: OnEpoch | None) -> TrainingHistory:
    """Train `job.network` in `session.n_devices` processes and leave it, and its random numbers, as one process would.

    Network and `augment` are sent to new processes and must be picklable (no lambda). `on_epoch` is called here, with the network
    at the weights of that epoch.

    Raises:
        InvalidField: if a batch has fewer than two samples for each process, or something cannot be sent.
    """
    if job.plan.batch_size < 2 * session.n_devices:
        raise InvalidField("devices", f"at most {job.plan.batch_size // 2} for batches of {job.plan.batch_size}", session.n_devices)
    choose_machine(session)
    news = torch.multiprocessing.get_context("spawn").SimpleQueue()
    parts = (job.network, job.train, job.validation, job.plan, job.augment, job.annotated, job.teacher)
    random = (job.generator.get_state(), torch.get_rng_state(), torch.initial_seed())
    with tempfile.TemporaryDirectory(prefix="curate-team-") as folder:
        args = (str(Path(folder) / "meeting"), parts, random, session, news)
        try:
            members: Any = spawn(_run_member, args, session.n_devices, join=False)  # type: ignore[no-untyped-call]
        except (AttributeError, TypeError) as error:
            raise InvalidField("devices", "1: this model cannot be sent to other processes", str(error)) from error
        ended = _follow(job, members, news, on_epoch)
    job.generator.set_state(ended.tensors["random/order"])
    job.network.eval()
    said = ended.plain["history"]
    return TrainingHistory(train_loss=tuple(said["train_loss"]), val_loss=tuple(said["val_loss"]), best=said["best"])


def _follow(job: TrainingJob, members: Any, news: Any, on_epoch: OnEpoch | None) -> State:
    """Tell of each epoch until all members have ended; return what the first one said last."""
    state: State | None = None
    ended = False
    while not ended or not news.empty():
        ended = ended or members.join(timeout=0.05)
        if news.empty():
            continue
        state = unpack_state(news.get())
        job.network.load_state_dict(state.take("network"))
        if on_epoch is not None and "history" not in state.plain:
            job.network.eval()
            on_epoch(*state.plain["losses"])
    if state is None or "history" not in state.plain:
        raise RuntimeError("the processes ended without an end of the training")
    return state


def _run_member(
    rank: int, meeting: str, parts: tuple[Any, ...], random: tuple[Any, ...], session: TrainingSession, news: Any
) -> None:
    """Be member `rank`: train, and if first, say so after each epoch and at the end."""
    shared, train, validation, plan, augment, annotated, teacher = parts
    network = deepcopy(shared)  # what was sent lies in memory that all members share
    order, state, seed = random
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    torch.set_rng_state(state)
    generator = torch.Generator()
    generator.set_state(order)
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
    folder = find_folder(job, session)
    machine = choose_machine(session, rank)
    trainer = Trainer(job, machine, join_team(rank, session.n_devices, meeting, machine), folder)

    def tell(*losses: Any) -> None:
        news.put(pack_state(State(tensors=_name_weights(network), plain={"losses": losses})))

    history = trainer.run(tell if rank == 0 else None)
    torch.distributed.barrier()
    if rank == 0:
        tensors = {**_name_weights(network), "random/order": generator.get_state()}
        news.put(pack_state(State(tensors=tensors, plain={"history": asdict(history)})))
    torch.distributed.destroy_process_group()


def _name_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {f"network/{name}": tensor for name, tensor in copy_state(network).items()}
