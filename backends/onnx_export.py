"""Pose networks written as ONNX, after a check that ONNX Runtime answers as torch does (`backends.onnx_models` reads them)."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.base import BehaviourModel
from backends.behaviour.network import NetworkModel
from backends.behaviour.reading import PoseInput
from backends.onnx_models import FACTS_NAME, ONNX_NAME, OnnxModel, open_session
from backends.weights import read_card
from schemas.errors import ModelError
from schemas.files import write_bytes, write_text

__all__ = ["OnnxExport", "export_onnx"]

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


def export_onnx(
    model: BehaviourModel, folder: str | Path, *, n_frames: int = 32, card: Mapping[str, Any] | None = None
) -> OnnxExport:
    """Write a trained model as a folder: ``model.onnx`` beside the weights and the card it came from.

    The graph maps "features" (N, T, V, F), float32, to "probabilities" (N, K) for any N; it is run on batches of 1 and 256 first,
    and the answers are compared with those of torch.

    Args:
        model: a network over poses.
        folder: where to.
        n_frames: T to trace with; the only one allowed if the network takes one length only.
        card: what the card is to say of the model besides what it says itself.

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
    model.save(path, {"rebuild": f"curate models export of a {model.name}", **(card or {})})
    write_bytes(path / ONNX_NAME, data)
    facts = {
        "sha256": sha256,
        "weights_sha256": read_card(path).sha256,
        "any_length": any_length,
        "n_frames": n_frames,
        "opset": _OPSET,
        "difference": difference,
    }
    write_text(path / FACTS_NAME, json.dumps(facts, indent=1, sort_keys=True) + "\n")
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
    exported = OnnxModel(model.name, model.classes, PoseInput.of(model._config), open_session(data))
    largest = 0.0
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
