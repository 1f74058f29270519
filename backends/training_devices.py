"""Where a training runs: the device, its precision, and how several devices share a batch.

Plain torch. Lightning Fabric 2.6 was tried: importing it takes as long again as importing torch (2.7 s of CPU, at every start), and
what is needed of it here is a device, an autocast and one sum over gradients.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from attrs import frozen
from torch import Tensor, nn

from backends.training_plan import TrainingSession
from schemas.errors import InvalidField

__all__ = ["Machine", "Team", "choose_machine", "join_team"]


@frozen(kw_only=True)
class Machine:
    """One device and whether forward passes there run in bf16."""

    device: torch.device
    bf16: bool

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context for the forward pass; weights, gradients and losses stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()


def choose_machine(session: TrainingSession, rank: int = 0) -> Machine:
    """Choose device number `rank` of the kind that the session asks for.

    Raises:
        InvalidField: if CUDA is asked for, or more devices of it, than there are.
    """
    n_cuda = torch.cuda.device_count() if session.device != "cpu" and torch.cuda.is_available() else 0
    if session.device == "cuda" and not n_cuda:
        raise InvalidField("device", "cpu or auto: torch finds no CUDA device here", "cuda")
    if n_cuda and session.n_devices > n_cuda:
        raise InvalidField("devices", f"at most {n_cuda}, the CUDA devices here", session.n_devices)
    device = torch.device("cuda", rank) if n_cuda else torch.device("cpu")
    able = bool(n_cuda) and torch.cuda.is_bf16_supported(including_emulation=False)
    return Machine(device=device, bf16=session.precision == "bf16" or (session.precision == "auto" and able))


class Team:
    """The processes that train one network together, each on its share of every batch; by default a single one."""

    rank = 0
    size = 1

    def take_share(self, rows: Tensor) -> Tensor:
        """Return this member's part of a batch."""
        return rows[self.rank :: self.size]

    def sum_gradients(self, network: nn.Module) -> None:
        """Give every member the sum of all members' gradients."""

    def average_buffers(self, network: nn.Module) -> None:
        """Give every member the mean of all members' running statistics."""

    def agree(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Return the sum of all members' values, the same bits to each."""
        return values

    def seed_epoch(self, seed: int, epoch: int) -> None:
        """Give each member random numbers of its own, that depend on the epoch alone."""


class ProcessTeam(Team):
    """A member of a `torch.distributed` process group."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def sum_gradients(self, network: nn.Module) -> None:
        """Sum over the members; see `Team`."""
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        torch.distributed.all_reduce(flat)
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()

    def average_buffers(self, network: nn.Module) -> None:
        """Average over the members; see `Team`."""
        for buffer in network.buffers():
            if buffer.is_floating_point():
                torch.distributed.all_reduce(buffer)
                buffer /= self.size

    def agree(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Sum over the members; see `Team`."""
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        total = torch.tensor(values, dtype=torch.float64, device=device)
        torch.distributed.all_reduce(total)
        return tuple(total.tolist())

    def seed_epoch(self, seed: int, epoch: int) -> None:
        """Seed torch; see `Team`."""
        torch.manual_seed((seed + 1_000_003 * epoch + self.rank) % 2**63)


def join_team(rank: int, size: int, meeting: str, machine: Machine) -> ProcessTeam:
    """Meet the other members over the loopback interface; `meeting` is a file that does not exist yet."""
    os.environ.update(GLOO_SOCKET_IFNAME="lo", NCCL_SOCKET_IFNAME="lo")
    cuda = machine.device.type == "cuda"
    if cuda:
        torch.cuda.set_device(machine.device)
    torch.distributed.init_process_group("nccl" if cuda else "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    return ProcessTeam(rank, size)
