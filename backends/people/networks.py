"""Networks through LiteRT, on one thread each unless told otherwise, and BlazePose's landmark network.

Source: Bazarevsky et al., BlazePose: On-device Real-time Body Pose Tracking, 2020 (arXiv 2006.10204); heatmap refinement as in
MediaPipe's pose graphs.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.people.bundles import find_bundle, quiet_native
from schemas.errors import ModelError, UnknownName

__all__ = ["POSE_NETWORKS", "THREADS", "LandmarkNetwork", "LiteNetwork", "compute_sigmoid"]

THREADS: ContextVar[int] = ContextVar("THREADS", default=1)
"""How many threads a detector that is made now computes on: more than one where cores would be idle otherwise."""

POSE_NETWORKS = {"full": "pose-landmarks", "heavy": "pose-landmarks-heavy"}
"""Size of the landmark network → its bundle. `heavy` takes nearly four times as long, and sees small people better."""

_N_LANDMARKS = 39
_HEAT_SIDE = 64
_HEAT_REACH = 3
_HEAT_LEAST = 0.5


class LiteNetwork:
    """A bare ``.tflite`` network, a file or its content. Not thread-safe; `close` frees it.

    Its outputs do not depend on the number of threads that it computes on.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        try:
            with quiet_native():
                self._interpreter: Any = Interpreter(**source, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            name = "network" if isinstance(model, bytes) else model
            raise ModelError(name, f"does not load: {str(error).splitlines()[0]}") from error
        entry = self._interpreter.get_input_details()[0]
        self._input = entry["index"]
        self.side = int(entry["shape"][1])
        self._outputs = {tuple(int(n) for n in o["shape"]): o["index"] for o in self._interpreter.get_output_details()}

    def run(self, image: NDArray[np.float32]) -> dict[tuple[int, ...], NDArray[np.float32]]:
        """Return the outputs by their shape, for one normalised image (height, width, 3)."""
        if self._interpreter is None:
            raise ModelError("network", "is closed")
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return {shape: self._interpreter.get_tensor(index)[0] for shape, index in self._outputs.items()}

    def close(self) -> None:
        """Free the network."""
        self._interpreter = None


class LandmarkNetwork:
    """BlazePose's landmark network: one body in one upright crop.

    Args:
        size: an entry of `POSE_NETWORKS`.

    Raises:
        UnknownName: if there is no such size.
        ModelError: if its file is not there.
    """

    def __init__(self, size: str = "full") -> None:
        if size not in POSE_NETWORKS:
            raise UnknownName("pose network", size, POSE_NETWORKS)
        self._network = LiteNetwork(find_bundle(POSE_NETWORKS[size]))
        self.side = self._network.side

    def find(self, crop_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
        """Return landmarks (39, 4) = x, y, z in px of the crop, visibility; the score that a body is there, both in [0, 1]; world.

        The first 33 are the skeleton, 33 is the middle of the hips, 34 a point on the circle around the body. World (39, 3) are the
        same in metres around the middle of the hips, along the axes of the crop: x right, y down, z away from the camera.
        """
        outputs = self._network.run(crop_rgb.astype(np.float32) / np.float32(255))
        values = outputs[1, _N_LANDMARKS * 5].reshape(_N_LANDMARKS, 5).astype(np.float64)
        landmarks = np.column_stack([values[:, :3], compute_sigmoid(values[:, 3])])
        heat = outputs[1, _HEAT_SIDE, _HEAT_SIDE, _N_LANDMARKS]
        landmarks[:, :2] = _refine(landmarks[:, :2] / self.side, heat) * self.side
        world = outputs[1, _N_LANDMARKS * 3].reshape(_N_LANDMARKS, 3).astype(np.float64)
        return landmarks, float(outputs[1, 1][0]), world

    def close(self) -> None:
        """Free the network."""
        self._network.close()


def compute_sigmoid(values: NDArray[Any]) -> NDArray[Any]:
    """Return 1 / (1 + exp(-values)), without overflow."""
    result: NDArray[Any] = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    return result


def _refine(points: NDArray[np.float64], heat: NDArray[np.float32]) -> NDArray[np.float64]:
    """Move points (39, 2) in [0, 1] to the centre of mass of their heatmap close by, where the heatmap is sure."""
    start = (points * _HEAT_SIDE).astype(int)
    inside = ((start >= 0) & (start < _HEAT_SIDE)).all(axis=1)
    cells = start[:, None] + np.arange(-_HEAT_REACH, _HEAT_REACH + 1)[:, None]
    there = (cells >= 0) & (cells < _HEAT_SIDE)
    columns, rows = np.moveaxis(cells.clip(0, _HEAT_SIDE - 1), 2, 0)
    close_by = heat[rows[:, :, None], columns[:, None, :], np.arange(len(points))[:, None, None]]
    weights = np.where(there[:, :, None, 1] & there[:, None, :, 0], compute_sigmoid(close_by), 0)
    total = weights.sum(axis=(1, 2))
    centre = np.stack([(weights.sum(axis=1) * columns).sum(axis=1), (weights.sum(axis=2) * rows).sum(axis=1)], axis=1)
    sure = inside & (weights.max(axis=(1, 2)) >= _HEAT_LEAST)
    return np.where(sure[:, None], centre / np.maximum(total, 1e-9)[:, None] / _HEAT_SIDE, points)
