"""What the two baselines read: normalised positions and velocities of a fixed number of frames, as one flat vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backends.base import EpochReport, Progress
from backends.behaviour.common import check_training, encode_labels, fill_unseen
from backends.behaviour.normalise import (
    add_velocities,
    check_poses,
    choose_nodes,
    has_depth,
    list_nodes,
    normalise_poses,
    resample_frames,
)
from backends.weights import load_weights, refuse_misfits, save_weights
from schemas.errors import ModelError
from schemas.sequences import SequenceSet

__all__ = ["FlatModel", "flatten_poses"]

MAX_FRAMES = 12
_CHUNK = 4096


def flatten_poses(
    pose: NDArray[np.float32], n_frames: int, *, nodes: Sequence[int] | None = None, depth: bool | None = None
) -> NDArray[np.float32]:
    """Return (N, n_frames * V' * (C + 3)) normalised positions, other channels, seen marks and velocities.

    `nodes` says which keypoints are read [default: `list_nodes`], `depth` as in `normalise_poses`.
    """
    read = list_nodes(pose.shape[2]) if nodes is None else list(nodes)
    features = resample_frames(normalise_poses(pose, depth=depth)[:, :, read], n_frames)
    return add_velocities(features).reshape(len(pose), -1)


class FlatModel(ABC):
    """A classifier on flat poses; a subclass fits, answers and keeps its parameters in `_arrays`. See `BehaviourModel`."""

    name = "flat"

    def __init__(self) -> None:
        self.classes: tuple[str, ...] = ()
        self._config: dict[str, Any] = {}
        self._arrays: dict[str, NDArray[Any]] = {}

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train from scratch. See `BehaviourModel.fit`."""
        self.classes, usable = check_training(sequences, classes)
        pose = check_poses(sequences.pose)[usable]
        self._config = {
            "n_nodes": pose.shape[2],
            "n_channels": pose.shape[3],
            "n_frames": min(pose.shape[1], MAX_FRAMES),
            "nodes": choose_nodes(pose),
            "depth": has_depth(pose),
        }
        label = encode_labels(sequences.label[usable], self.classes)
        self._arrays = self._fit_arrays(self._flatten(pose), label, seed)
        if progress is not None:
            loss = -np.log(np.maximum(self.predict_proba(pose)[np.arange(len(label)), label], 1e-12)).mean()
            progress(EpochReport(epoch=1, n_epochs=1, train_loss=float(loss), val_loss=None, model=self))
        return self

    def predict_proba(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return (N, K) probabilities. See `BehaviourModel.predict_proba`."""
        poses = self._check(pose)
        if not len(poses):
            return np.zeros((0, len(self.classes)))
        parts = [poses[i : i + _CHUNK] for i in range(0, len(poses), _CHUNK)]
        probs = [self._predict_flat(self._flatten(part)) for part in parts]
        return fill_unseen(poses, np.concatenate(probs))

    def embed(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return the flat features themselves."""
        return self._flatten(self._check(pose))

    def save(self, folder: str | Path, card: Mapping[str, Any]) -> None:
        """Write the model. See `BehaviourModel.save`."""
        self._require_arrays()
        said = {"input": "pose (N, T, V, C): x, y[, z][, visibility], NaN for unseen; any unit", **card}
        save_weights(folder, self._arrays, {**said, "name": self.name, "classes": self.classes, "config": self._config})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. See `BehaviourModel.load`."""
        arrays, card = load_weights(folder, name=cls.name)
        model = cls()
        model.classes, model._arrays = card.classes, arrays
        with refuse_misfits(folder, cls.name):
            model._config = {name: int(card.config[name]) for name in ("n_nodes", "n_channels", "n_frames")}
            model._config["nodes"] = [int(i) for i in card.config.get("nodes", list_nodes(model._config["n_nodes"]))]
            model._config["depth"] = bool(card.config.get("depth", model._config["n_channels"] == 4))
            probe = np.zeros((1, 1, model._config["n_nodes"], model._config["n_channels"]), np.float32)
            model._check_arrays(model._flatten(probe).shape[1])
        return model

    def _flatten(self, pose: NDArray[np.float32]) -> NDArray[np.float32]:
        return flatten_poses(pose, self._config["n_frames"], nodes=self._config["nodes"], depth=self._config["depth"])

    @abstractmethod
    def _fit_arrays(self, flat: NDArray[np.float32], label: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
        """Train on (N, S) features and (N,) columns; return what is saved."""

    @abstractmethod
    def _predict_flat(self, flat: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (N, K) probabilities for (N, S) features."""

    @abstractmethod
    def _check_arrays(self, n_features: int) -> None:
        """Raise ValueError, KeyError or IndexError if the arrays cannot answer for `n_features` and the classes."""

    def _require_arrays(self) -> None:
        if not self._arrays:
            raise ModelError(self.name, "is not trained yet")

    def _check(self, pose: object) -> NDArray[np.float32]:
        self._require_arrays()
        return check_poses(pose, n_nodes=self._config["n_nodes"], n_channels=self._config["n_channels"])
