"""What models that are networks over normalised poses share: training by seed, probabilities, embeddings, files."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.base import EpochReport, Progress
from backends.behaviour.common import check_training, encode_labels, fill_unseen
from backends.behaviour.normalise import check_poses, choose_nodes, find_counterparts, has_depth
from backends.behaviour.reading import PoseInput
from backends.training import TrainingHistory, TrainingPlan, choose_validation, isolate_random, train_classifier
from backends.weights import ModelCard, load_network, save_network
from schemas.errors import ModelError
from schemas.sequences import SequenceSet

__all__ = ["NetworkModel", "PoseNetwork", "augment_batch", "standardise"]

_CHUNK = 512
_CONSTANT = 1e-3
"""A channel that spreads less, in body sizes or shares, is constant."""


class PoseNetwork(nn.Module, ABC):
    """A network from (B, T, V, F) features to (B, K) logits; the first two features are x and y, the last marks seen points.

    `shift` and `scale` (F,) standardise the features; they are set from the training set and saved with the weights.
    """

    shift: Tensor
    scale: Tensor
    n_embedded: int

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    @abstractmethod
    def embed(self, features: Tensor) -> Tensor:
        """Return (B, n_embedded) features of the sequence."""


class NetworkModel(ABC):
    """A registered model around a `PoseNetwork`; see `backends.base.BehaviourModel`. A subclass says which network and which plan.

    Works for any T >= 1, any V >= 1 and C = 2, 3 or 4; which keypoints are read is chosen from the training set. With `mirror` left
    and right are swapped at random in training (where each keypoint's counterpart is known), unless the names of the classes say
    that the side matters.
    """

    name: str

    def __init__(self, *, mirror: bool = False, plan: TrainingPlan | None = None) -> None:
        self.classes: tuple[str, ...] = ()
        self.mirror = mirror
        self.plan = plan or TrainingPlan()
        self.history: TrainingHistory | None = None
        self.teacher: PoseNetwork | None = None
        self._network: PoseNetwork | None = None
        self._config: dict[str, Any] = {}

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train from scratch by the plan. See `BehaviourModel.fit`."""
        return self._train(None, self.plan, sequences, classes, seed, progress)

    def _train(
        self,
        start: PoseNetwork | None,
        plan: TrainingPlan,
        sequences: SequenceSet,
        classes: Sequence[str] | None,
        seed: int,
        progress: Progress | None,
    ) -> Self:
        """Go on with the network `start`, or a new one, by `plan`."""
        self.classes, usable = check_training(sequences, classes)
        pose = check_poses(sequences.pose)[usable]
        label, group = encode_labels(sequences.label[usable], self.classes), sequences.group[usable]
        self._configure(pose)
        features, targets = self._prepare(pose), torch.from_numpy(label)
        mirrored = self._find_mirror()
        held = torch.from_numpy(choose_validation(label, group, share=plan.val_share, seed=seed))
        with isolate_random(seed) as generator:
            if start is None:
                self._build()
            else:
                self._network = start
            network = self._require_network()
            standardise(network, features[~held])
            self.history = train_classifier(
                network,
                (features[~held], targets[~held]),
                (features[held], targets[held]) if held.any() else None,
                plan=plan,
                generator=generator,
                augment=partial(self._augment, mirror=mirrored),
                on_epoch=None if progress is None else lambda e, t, v: progress(self._report(plan, e, t, v)),
                teacher=self.teacher,
            )
        return self

    def predict_proba(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return (N, K) probabilities. See `BehaviourModel.predict_proba`."""
        network = self._require_network()
        poses = self._check(pose)
        with torch.inference_mode():
            logits = [network(batch).double() for batch in self._batches(poses)]
        probs = torch.softmax(torch.cat(logits), dim=1).numpy() if logits else np.zeros((0, len(self.classes)))
        return fill_unseen(poses, probs)

    def embed(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return (N, D) features of each sequence. See `BehaviourModel.embed`."""
        network = self._require_network()
        with torch.no_grad():
            states = [network.embed(batch) for batch in self._batches(self._check(pose))]
        return torch.cat(states).numpy() if states else np.zeros((0, network.n_embedded), np.float32)

    def save(self, folder: str | Path, card: Mapping[str, Any]) -> None:
        """Write the model. See `BehaviourModel.save`."""
        said = {"input": "pose (N, T, V, C): x, y[, z][, visibility], NaN for unseen; any unit", **card}
        card = {**said, "name": self.name, "classes": self.classes, "config": self._config}
        save_network(folder, self._require_network(), card)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. See `BehaviourModel.load`."""
        model = cls()

        def build(card: ModelCard) -> PoseNetwork:
            model.classes = card.classes
            model._read_config(card.config)
            model._build()
            return model._require_network()

        load_network(folder, name=cls.name, build=build)
        return model

    def _configure(self, pose: NDArray[np.float32]) -> None:
        """Decide from the training set what is read of a pose."""
        self._config = {
            "n_nodes": pose.shape[2],
            "n_channels": pose.shape[3],
            "nodes": self._choose_nodes(pose),
            "depth": has_depth(pose),
        }

    def _choose_nodes(self, pose: NDArray[np.float32]) -> list[int]:
        return choose_nodes(pose)

    def _read_config(self, said: Mapping[str, Any]) -> None:
        """Take over a card's `config`; raises KeyError, TypeError or ValueError if it makes no sense."""
        read = PoseInput.of(said)
        self._config = {
            **said,
            "n_nodes": read.n_nodes,
            "n_channels": read.n_channels,
            "nodes": list(read.nodes),
            "depth": read.depth,
        }

    def _build(self) -> None:
        self._network = self._make_network(len(self._config["nodes"]), self._config["n_channels"] + 1, len(self.classes)).eval()

    def _prepare(self, poses: NDArray[np.float32]) -> Tensor:
        """Return (N, T, V', F) features of what is read of the poses."""
        return torch.from_numpy(PoseInput.of(self._config).prepare(poses))

    def _find_mirror(self) -> tuple[int, ...] | None:
        """Return the counterpart of every node that is read, or None where left and right are not to be swapped."""
        sided = any({"left", "right"} & set(re.split(r"[^a-z]+", name.lower())) for name in self.classes)
        return find_counterparts(self._config["nodes"], PoseInput.of(self._config).n_placed) if self.mirror and not sided else None

    def _augment(self, batch: Tensor, generator: torch.Generator, mirror: tuple[int, ...] | None) -> Tensor:
        """Return a training batch (B, T, V', F) as the network is to see it this time."""
        return augment_batch(batch, generator, mirror=mirror)

    @abstractmethod
    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseNetwork:
        """Return an untrained network for (B, T, n_nodes, n_features) features."""

    def _require_network(self) -> PoseNetwork:
        if self._network is None:
            raise ModelError(self.name, "is not trained yet")
        return self._network

    def _check(self, pose: object) -> NDArray[np.float32]:
        return PoseInput.of(self._config).check(pose)

    def _batches(self, poses: NDArray[np.float32]) -> list[Tensor]:
        return [self._prepare(poses[i : i + _CHUNK]) for i in range(0, len(poses), _CHUNK)]

    def _report(self, plan: TrainingPlan, epoch: int, train_loss: float, val_loss: float | None) -> EpochReport:
        return EpochReport(epoch=epoch, n_epochs=plan.epochs, train_loss=train_loss, val_loss=val_loss, model=self)


def augment_batch(batch: Tensor, generator: torch.Generator, *, mirror: Sequence[int] | None = None) -> Tensor:
    """Return (B, T, V, F) features slightly scaled, turned, shifted in time and jittered, with a few points hidden.

    `mirror` (V,) gives the counterpart of each node; every second sequence is then mirrored.
    """
    n, n_frames, n_nodes, _ = batch.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    shift = torch.round((draw(n, 1) - 0.5) * n_frames / 4).long()
    index = (torch.arange(n_frames)[None] + shift).clamp(0, n_frames - 1)
    moved = batch[torch.arange(n)[:, None], index]
    if mirror is not None:
        swapped = moved[:, :, list(mirror)] * torch.tensor([-1.0] + [1.0] * (moved.shape[-1] - 1))
        moved = torch.where(draw(n, 1, 1, 1) < 0.5, swapped, moved)
    angle, size = (draw(n) - 0.5) * 0.3, 0.9 + 0.2 * draw(n)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)
    points = torch.einsum("ntvc,ndc->ntvd", moved[..., :2], turn * size[:, None, None])
    points = points + 0.02 * torch.randn(points.shape, generator=generator)
    kept = (draw(n, 1, n_nodes, 1) > 0.03).float() * moved[..., -1:]
    return torch.cat([points, moved[..., 2:]], dim=-1) * kept


def standardise(network: PoseNetwork, features: Tensor) -> None:
    """Standardise each channel over what is seen in the training set; the mark itself stays 0 or 1.

    A channel that never changes there keeps its unit: what it says elsewhere, and noise, would else count a thousandfold.
    """
    rows = features[features[..., -1] > 0]
    spread = rows[:, :-1].std(dim=0, correction=0)
    network.shift[:-1] = rows[:, :-1].mean(dim=0)
    network.scale[:-1] = torch.where(spread > _CONSTANT, spread, 1.0)
