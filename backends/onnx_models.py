"""Pose networks as ONNX: written after a check that both answer alike, and run by ONNX Runtime on poses prepared the same way."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.base import BehaviourModel
from backends.behaviour import load_model
from backends.behaviour.common import fill_unseen
from backends.behaviour.network import NetworkModel
from backends.weights import MAX_WEIGHT_BYTES, read_capped
from schemas.errors import ModelError
from schemas.files import write_bytes, write_text

__all__ = ["ONNX_NAME", "OnnxExport", "OnnxModel", "export_onnx"]

ONNX_NAME = "model.onnx"
_FACTS_NAME = "onnx.json"
_OPSET = 17
_PARITY = 1e-5
"""More than this between the probabilities of both and nothing is exported; 1e-6 is what is usual."""


@frozen(kw_only=True)
class OnnxExport:
    """What was written, whether any number of frames may go in, and by how much the probabilities differ from torch's at most."""

    path: Path
    n_bytes: int
    sha256: str
    any_length: bool
    n_frames: int
    difference: float


class _Answer(nn.Module):
    """Features to probabilities, as `NetworkModel.predict_proba` makes them."""

    def __init__(self, model: NetworkModel) -> None:
        super().__init__()
        self.network = model._require_network()

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, K)."""
        return torch.softmax(self.network(features), dim=1)


def export_onnx(model: BehaviourModel, folder: str | Path, *, n_frames: int = 32) -> OnnxExport:
    """Write a trained model as a folder: ``model.onnx`` beside the weights and the card it came from.

    The graph maps "features" (N, T, V, F), float32, to "probabilities" (N, K) for any N; it is run on batches of 1 and 256 first,
    and the answers are compared with those of torch.

    Args:
        model: a network over poses.
        folder: where to.
        n_frames: T to trace with; the only one allowed if the network takes one length only.

    Raises:
        ModelError: if the model is no such network, cannot be traced, or answers otherwise than before.
        StorageError: if the folder cannot be written to.
    """
    if not isinstance(model, NetworkModel):
        raise ModelError(model.name, "is no network over poses; only those can be written as ONNX")
    path = Path(folder)
    data, any_length, difference = _trace_best(model, n_frames)
    if difference > _PARITY:
        raise ModelError(model.name, f"answers otherwise as ONNX (by {difference:.1e}); nothing was written")
    sha256 = hashlib.sha256(data).hexdigest()
    model.save(path, {"rebuild": f"curate models export of a {model.name}"})
    write_bytes(path / ONNX_NAME, data)
    facts = {"sha256": sha256, "any_length": any_length, "n_frames": n_frames, "opset": _OPSET, "difference": difference}
    write_text(path / _FACTS_NAME, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return OnnxExport(
        path=path / ONNX_NAME, n_bytes=len(data), sha256=sha256, any_length=any_length, n_frames=n_frames, difference=difference
    )


def _trace_best(model: NetworkModel, n_frames: int) -> tuple[bytes, bool, float]:
    """Return the graph with free length if the network allows it, else with fixed length; and the largest difference found."""
    sizes = [(1, n_frames), (256, n_frames)]
    lengths = [(3, 2 * n_frames), (2, max(n_frames // 2, 1))]
    reason = ""
    for free in (True, False):
        try:
            data = _trace(model, n_frames, free=free)
            difference = _compare(model, data, sizes + lengths if free else sizes)
        except Exception as error:  # noqa: BLE001  (tracer and runtime raise what they like)
            reason = " ".join(str(error).split())[:200]
            continue
        if difference <= _PARITY or not free:
            return data, free, difference
    raise ModelError(model.name, f"cannot be written as ONNX ({reason})")


def _trace(model: NetworkModel, n_frames: int, *, free: bool) -> bytes:
    buffer: Any = io.BytesIO()
    axes = {"features": {0: "n", 1: "t"} if free else {0: "n"}, "probabilities": {0: "n"}}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Answer(model).eval(),
            (model._prepare(_draw_poses(model, 2, n_frames, seed=0)),),
            buffer,
            dynamo=False,
            input_names=["features"],
            output_names=["probabilities"],
            dynamic_axes=axes,
            opset_version=_OPSET,
        )
    return bytes(buffer.getvalue())


def _compare(model: NetworkModel, data: bytes, sizes: list[tuple[int, int]]) -> float:
    """Return the largest difference of a probability over batches of (n, n_frames) drawn poses."""
    exported, largest = OnnxModel(model, _open_session(data), None), 0.0
    for seed, (n, n_frames) in enumerate(sizes, 1):
        poses = _draw_poses(model, n, n_frames, seed=seed)
        largest = max(largest, float(np.abs(exported.predict_proba(poses) - model.predict_proba(poses)).max()))
    return largest


def _draw_poses(model: NetworkModel, n: int, n_frames: int, *, seed: int) -> NDArray[np.float32]:
    """Return poses that move at random around a random posture, a tenth of the points unseen."""
    rng = np.random.default_rng(seed)
    n_nodes, n_channels = model._config["n_nodes"], model._config["n_channels"]
    posture = rng.normal(size=(n, 1, n_nodes, n_channels))
    poses = (posture + 0.1 * rng.normal(size=(n, n_frames, n_nodes, n_channels))).astype(np.float32)
    poses[rng.random(poses.shape[:3]) < 0.1] = np.nan
    return poses


def _open_session(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class OnnxModel:
    """An exported model: takes poses and gives probabilities as the model it came from, by ONNX Runtime on one core."""

    def __init__(self, model: NetworkModel, session: Any, n_frames: int | None) -> None:
        self.name, self.classes = model.name, model.classes
        self._model, self._session, self._n_frames = model, session, n_frames

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `export_onnx` wrote.

        Raises:
            ModelError: if a file is missing, changed or too large, or is no such export.
        """
        path = Path(folder)
        model = load_model(path)
        try:
            facts = json.loads(read_capped(path / _FACTS_NAME, 2**16))
            sha256, n_frames = str(facts["sha256"]), None if facts["any_length"] else int(facts["n_frames"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(path / _FACTS_NAME, f"does not describe an ONNX file ({error})") from error
        data = read_capped(path / ONNX_NAME, MAX_WEIGHT_BYTES)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ModelError(path / ONNX_NAME, f"was changed: its SHA-256 is not {sha256[:12]}…")
        if not isinstance(model, NetworkModel):
            raise ModelError(path, f"holds a {model.name}, which is no network over poses")
        try:
            return cls(model, _open_session(data), n_frames)
        except Exception as error:
            raise ModelError(path / ONNX_NAME, f"is not read by ONNX Runtime ({' '.join(str(error).split())[:160]})") from error

    def predict_proba(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return (N, K) probabilities for (N, T, V, C) poses. See `BehaviourModel.predict_proba`.

        Raises:
            ModelError: if the graph takes another number of frames.
        """
        poses = self._model._check(pose)
        if self._n_frames not in (None, poses.shape[1]):
            raise ModelError(self.name, f"was exported for {self._n_frames} frames, not {poses.shape[1]}")
        if not len(poses):
            return np.zeros((0, len(self.classes)))
        probs = self._session.run(None, {"features": self._model._prepare(poses).numpy()})[0]
        return fill_unseen(poses, probs)
