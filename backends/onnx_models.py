"""Exported pose networks, run by ONNX Runtime on poses prepared as torch's are; torch itself is not imported for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backends.behaviour.common import fill_unseen
from backends.behaviour.reading import PoseInput
from backends.weights import MAX_WEIGHT_BYTES, read_capped, read_card
from schemas.errors import ModelError

__all__ = ["FACTS_NAME", "ONNX_NAME", "OnnxModel", "open_session"]

ONNX_NAME = "model.onnx"
FACTS_NAME = "onnx.json"


def open_session(data: bytes) -> Any:
    """Return an ONNX Runtime session on one core of this machine. What is no such graph raises what the runtime likes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class OnnxModel:
    """An exported model: takes poses and gives probabilities as the model it came from, by ONNX Runtime on one core.

    Args:
        name: of the architecture it came from.
        classes: its classes, in the order of the columns.
        reads: what it reads of a pose.
        session: the graph.
        n_frames: the number of frames that it takes; None = any.
        folder: where the weights are from which it was exported, for `embed`.
    """

    def __init__(
        self,
        name: str,
        classes: tuple[str, ...],
        reads: PoseInput,
        session: Any,
        n_frames: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name, self.classes, self.n_frames = name, classes, n_frames
        self._reads, self._session, self._folder = reads, session, folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `backends.onnx_export.export_onnx` wrote.

        Raises:
            ModelError: if a file is missing, changed or too large, or is no such export, or not of the weights beside it.
        """
        path = Path(folder)
        card = read_card(path)
        try:
            facts = json.loads(read_capped(path / FACTS_NAME, 2**16))
            sha256, of = str(facts["sha256"]), str(facts["weights_sha256"])
            n_frames = None if facts["any_length"] else int(facts["n_frames"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(path / FACTS_NAME, f"does not describe an ONNX file ({error})") from error
        if of != card.sha256:
            raise ModelError(path / ONNX_NAME, f"was exported from other weights ({of[:12]}…) than those beside it")
        data = read_capped(path / ONNX_NAME, MAX_WEIGHT_BYTES)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ModelError(path / ONNX_NAME, f"was changed: its SHA-256 is not {sha256[:12]}…")
        try:
            reads = PoseInput.of(card.config)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(path, f"holds a {card.name}, whose card does not say what it reads of poses ({error})") from error
        try:
            session = open_session(data)
        except Exception as error:
            raise ModelError(path / ONNX_NAME, f"is not read by ONNX Runtime ({' '.join(str(error).split())[:160]})") from error
        return cls(card.name, card.classes, reads, session, n_frames, path)

    def predict_proba(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return (N, K) probabilities for (N, T, V, C) poses. See `PoseReader.predict_proba`.

        Raises:
            ModelError: if the graph takes another number of frames.
        """
        poses = self._reads.check(pose)
        if self.n_frames not in (None, poses.shape[1]):
            raise ModelError(self.name, f"was exported for {self.n_frames} frames, not {poses.shape[1]}")
        if not len(poses):
            return np.zeros((0, len(self.classes)))
        return fill_unseen(poses, self._session.run(None, {"features": self._reads.prepare(poses)})[0])

    def embed(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return (N, D) features, by the weights beside the graph (with torch). See `PoseReader.embed`.

        Raises:
            ModelError: if those are missing or were changed.
        """
        from backends.behaviour import load_model

        if self._folder is None:
            raise ModelError(self.name, "has no weights beside it")
        return load_model(self._folder).embed(pose)
