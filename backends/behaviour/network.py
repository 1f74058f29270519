"""What models that are networks over normalised poses share: training by seed, probabilities, embeddings, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.base import EpochReport, Progress
from backends.behaviour.common import check_training, encode_labels, fill_unseen
from backends.behaviour.normalise import check_poses, list_nodes, mirror_nodes, normalise_poses
from backends.training import TrainingHistory, TrainingPlan, choose_validation, isolate_random, train_classifier
from backends.weights import load_weights, save_weights
from schemas.errors import ModelError
from schemas.sequences import SequenceSet

__all__ = ["NetworkModel", "PoseNetwork", "augment_batch", "standardise"]

_CHUNK = 512


class PoseNetwork(nn.Module):
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

    def embed(self, features: Tensor) -> Tensor:
        """Return (B, n_embedded) features of the sequence."""
        raise NotImplementedError


class NetworkModel:
    """A registered model around a `PoseNetwork`; see `backends.base.BehaviourModel`. A subclass says which network and which plan.

    Works for any T >= 1, any V >= 1 (of MediaPipe's 33 points it reads 1 to 24) and C = 2, 3 or 4. With `mirror` left and right are
    swapped at random in training, for label sets in which the side does not matter (33-point skeleton only).
    """

    name: str

    def __init__(self, *, mirror: bool = False, plan: TrainingPlan | None = None) -> None:
        self.classes: tuple[str, ...] = ()
        self.mirror = mirror
        self.plan = plan or TrainingPlan()
        self.history: TrainingHistory | None = None
        self._network: PoseNetwork | None = None
        self._config: dict[str, Any] = {}

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train from scratch by the plan. See `BehaviourModel.fit`."""
        self.classes, usable = check_training(sequences, classes)
        pose = check_poses(sequences.pose)[usable]
        label, group = encode_labels(sequences.label[usable], self.classes), sequences.group[usable]
        features = torch.from_numpy(normalise_poses(pose)[:, :, list_nodes(pose.shape[2])])
        targets = torch.from_numpy(label)
        held = torch.from_numpy(choose_validation(label, group, share=self.plan.val_share, seed=seed))
        with isolate_random(seed) as generator:
            self._build(pose.shape[2], pose.shape[3])
            network = self._require_network()
            standardise(network, features[~held])
            self.history = train_classifier(
                network,
                (features[~held], targets[~held]),
                (features[held], targets[held]) if held.any() else None,
                plan=self.plan,
                generator=generator,
                augment=lambda batch, g: augment_batch(batch, g, mirror=self.mirror),
                on_epoch=None if progress is None else lambda e, t, v: progress(self._report(e, t, v)),
            )
        return self

    def predict_proba(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return (N, K) probabilities. See `BehaviourModel.predict_proba`."""
        network = self._require_network()
        poses = self._check(pose)
        with torch.no_grad():
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
        arrays = {name: tensor.numpy() for name, tensor in self._require_network().state_dict().items()}
        said = {"input": "pose (N, T, V, C): x, y[, z][, visibility], NaN for unseen; any unit", **card}
        save_weights(folder, arrays, {**said, "name": self.name, "classes": self.classes, "config": self._config})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. See `BehaviourModel.load`."""
        arrays, card = load_weights(folder, name=cls.name)
        model = cls()
        model.classes = card.classes
        try:
            model._build(int(card.config["n_nodes"]), int(card.config["n_channels"]))
            state = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
            model._require_network().load_state_dict(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise ModelError(Path(folder), f"the weights do not fit a {cls.name} as its card describes it ({reason})") from error
        return model

    def _build(self, n_nodes: int, n_channels: int) -> None:
        if not (1 <= n_nodes <= 4096 and n_channels in (2, 3, 4)):
            raise ValueError(f"{n_nodes} keypoints of {n_channels} channels")
        self._config = {"n_nodes": n_nodes, "n_channels": n_channels}
        n_read = len(list_nodes(n_nodes))
        self._network = self._make_network(n_read, n_channels + 1, len(self.classes)).eval()

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseNetwork:
        raise NotImplementedError

    def _require_network(self) -> PoseNetwork:
        if self._network is None:
            raise ModelError(self.name, "is not trained yet")
        return self._network

    def _check(self, pose: object) -> NDArray[np.float32]:
        return check_poses(pose, n_nodes=self._config["n_nodes"], n_channels=self._config["n_channels"])

    def _batches(self, poses: NDArray[np.float32]) -> list[Tensor]:
        nodes = list_nodes(poses.shape[2])
        return [torch.from_numpy(normalise_poses(poses[i : i + _CHUNK])[:, :, nodes]) for i in range(0, len(poses), _CHUNK)]

    def _report(self, epoch: int, train_loss: float, val_loss: float | None) -> EpochReport:
        return EpochReport(epoch=epoch, n_epochs=self.plan.epochs, train_loss=train_loss, val_loss=val_loss, model=self)


def augment_batch(batch: Tensor, generator: torch.Generator, *, mirror: bool = False) -> Tensor:
    """Return (B, T, V, F) features slightly scaled, turned, shifted in time and jittered, with a few points hidden."""
    n, n_frames, n_nodes, _ = batch.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    shift = torch.round((draw(n, 1) - 0.5) * n_frames / 4).long()
    index = (torch.arange(n_frames)[None] + shift).clamp(0, n_frames - 1)
    moved = batch[torch.arange(n)[:, None], index]
    if mirror:
        swapped = moved[:, :, list(mirror_nodes(n_nodes))] * torch.tensor([-1.0] + [1.0] * (moved.shape[-1] - 1))
        moved = torch.where(draw(n, 1, 1, 1) < 0.5, swapped, moved)
    angle, size = (draw(n) - 0.5) * 0.3, 0.9 + 0.2 * draw(n)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)
    points = torch.einsum("ntvc,ndc->ntvd", moved[..., :2], turn * size[:, None, None])
    points = points + 0.02 * torch.randn(points.shape, generator=generator)
    kept = (draw(n, 1, n_nodes, 1) > 0.03).float() * moved[..., -1:]
    return torch.cat([points, moved[..., 2:]], dim=-1) * kept


def standardise(network: PoseNetwork, features: Tensor) -> None:
    """Standardise each channel over what is seen in the training set; the mark itself stays 0 or 1."""
    rows = features[features[..., -1] > 0]
    network.shift[:-1] = rows[:, :-1].mean(dim=0)
    network.scale[:-1] = rows[:, :-1].std(dim=0, correction=0).clamp(min=1e-3)
