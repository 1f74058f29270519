"""Checkpoints that survive being killed: each is one file that appears whole or not at all, with its hash in its name.

A checkpoint belongs to one training: its folder is named by a fingerprint of data, plan, first weights and random numbers. Going on
from it ends with the same weights, bit for bit, as a training that was never interrupted (same machine and versions).
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from backends.training_plan import TrainingJob, TrainingSession
from schemas.files import write_bytes

__all__ = ["MAX_CHECKPOINT_BYTES", "CheckpointFolder", "State", "copy_state", "find_folder", "pack_state", "unpack_state"]

MAX_CHECKPOINT_BYTES = 2 * 2**30
_KEPT = 2
_SUFFIX = ".safetensors"


@frozen(kw_only=True, eq=False)
class State:
    """What a training needs to go on: tensors by "part/name", and plain JSON values."""

    tensors: Mapping[str, Tensor]
    plain: Mapping[str, Any]

    def take(self, part: str) -> dict[str, Tensor]:
        """Return the tensors of one part, by name."""
        return {name[len(part) + 1 :]: tensor for name, tensor in self.tensors.items() if name.startswith(f"{part}/")}


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's weights and buffers, on the CPU."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in network.state_dict().items()}


def pack_state(state: State) -> bytes:
    """Return `state` as a safetensors file, the plain values in its header."""
    from safetensors.torch import save

    return save({name: tensor.contiguous() for name, tensor in state.tensors.items()}, {"state": json.dumps(dict(state.plain))})


def unpack_state(data: bytes) -> State:
    """Return what `pack_state` packed.

    Raises:
        ValueError: if it is anything else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return State(tensors=tensors, plain=json.loads(header["__metadata__"]["state"]))
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"no checkpoint: {error}") from error


@frozen(kw_only=True)
class CheckpointFolder:
    """The checkpoints of one training, ``<epoch>-<hash>.safetensors``; the newest two are kept."""

    path: Path
    every_s: float

    def save(self, state: State, *, epoch: int) -> None:
        """Write a checkpoint, then remove older ones.

        Raises:
            StorageError: if the disk is full, or the folder cannot be written to; the checkpoints before are kept.
        """
        data = pack_state(state)
        write_bytes(self.path / f"{epoch:06d}-{hashlib.sha256(data).hexdigest()}{_SUFFIX}", data)
        for old in self._list()[_KEPT:]:
            old.unlink(missing_ok=True)

    def load(self) -> State | None:
        """Return the newest checkpoint that is whole; None if there is none. What is damaged is passed over."""
        for path in self._list():
            if path.stat().st_size > MAX_CHECKPOINT_BYTES:
                continue
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == path.stem.partition("-")[2]:
                return unpack_state(data)
        return None

    def _list(self) -> list[Path]:
        return sorted((p for p in self.path.glob(f"*{_SUFFIX}") if p.is_file() and not p.is_symlink()), reverse=True)


def find_folder(job: TrainingJob, session: TrainingSession) -> CheckpointFolder | None:
    """Return where a training's checkpoints are, None if the session keeps none."""
    if session.checkpoints is None:
        return None
    return CheckpointFolder(path=session.checkpoints / _compute_fingerprint(job, session), every_s=session.every_s)


def _compute_fingerprint(job: TrainingJob, session: TrainingSession) -> str:
    where = (session.device, session.precision, session.n_devices, torch.__version__, platform.machine())
    digest = hashlib.sha256(f"{job.plan!r} {where}".encode())
    tensors = [*job.train, *(job.validation or ()), job.generator.get_state(), torch.get_rng_state()]
    tensors += [] if job.annotated is None else [job.annotated]
    networks = [job.network] if job.teacher is None else [job.network, job.teacher]
    for tensor in (*tensors, *(weights for network in networks for weights in copy_state(network).values())):
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().numpy()).cast("B") if tensor.numel() else b"")
    return digest.hexdigest()[:16]
