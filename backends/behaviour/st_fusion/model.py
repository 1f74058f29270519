"""The registered model `st-fusion` of seed C: pictures and skeletons of a student together.

After "A Spatio-Temporal Feature Representation of Multimodal Surveillance Images …" (2024). A tubelet says where its student is,
so the model answers for the tubelet as a whole; the seed's detection head is `backends.behaviour.st_fusion.anchors`. Trained a
fixed number of epochs with AdamW and one cycle of the learning rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.base import EpochReport, Progress
from backends.behaviour.common import check_training, encode_labels, fill_unseen
from backends.behaviour.network import augment_batch
from backends.behaviour.normalise import check_poses, list_nodes, mirror_nodes, normalise_poses
from backends.behaviour.st_fusion.hardwired import convert_to_grey
from backends.behaviour.st_fusion.network import HALVES, Half, StFusionNetwork
from backends.behaviour.st_fusion.so3 import Parts, choose_parts
from backends.training import TrainingHistory, TrainingPlan, choose_validation, isolate_random, train_classifier
from backends.weights import ModelCard, load_network, save_network
from schemas.checks import check_array
from schemas.errors import InvalidField, ModelError
from schemas.sequences import SequenceSet

__all__ = ["PLAN", "StFusion"]

PLAN = TrainingPlan(schedule="one-cycle", epochs=10, lr=3e-3, decay=0.02, val_share=0.0, batch_size=32)
_CHUNK = 64
_LEAST_PX = 8
_MIRRORED = 33
"""Only of this skeleton it is known which keypoint is which one's mirror image."""


class StFusion:
    """See `backends.base.BehaviourModel`; `predict_proba` and `embed` also take pictures (N, F, H, W, 3) uint8.

    Works for any number of frames and any size of picture from 8 px on, which may be another one than in training. Trained on
    sequences without pictures it is its own skeleton half; asked without them, the skeleton alone answers.

    Args:
        half: "both", "rgb" or "skeleton".
        mirror: whether left and right are swapped at random in training.
        plan: how it is trained.
    """

    name = "st-fusion"
    reads_crops = True

    def __init__(self, *, half: Half = "both", mirror: bool = True, plan: TrainingPlan = PLAN) -> None:
        if half not in HALVES:
            raise InvalidField("half", ", ".join(HALVES), half)
        self.classes: tuple[str, ...] = ()
        self.half, self.mirror, self.plan = half, mirror, plan
        self.history: TrainingHistory | None = None
        self._network: StFusionNetwork | None = None
        self._config: dict[str, Any] = {}

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train from scratch by the plan: the skeleton first, which is cheap, then both together. See `BehaviourModel.fit`.

        Raises:
            InvalidField: also if the RGB half is to be trained and there are no pictures.
        """
        self.classes, usable = check_training(sequences, classes)
        pose = check_poses(sequences.pose)[usable]
        grey = None if sequences.crops is None or self.half == "skeleton" else _take_grey(sequences.crops[usable])
        if self.half == "rgb" and grey is None:
            raise InvalidField("crops", "pictures beside the poses, for the RGB half", "none")
        half: Half = self.half if grey is not None else "skeleton"
        label = encode_labels(sequences.label[usable], self.classes)
        held = choose_validation(label, sequences.group[usable], share=self.plan.val_share, seed=seed)
        rows, targets = torch.arange(len(label)), torch.from_numpy(label)
        with isolate_random(seed) as generator:
            self._build(pose.shape[2:], half, choose_parts(pose.shape[2], _as_edges(sequences.skeleton)))
            features = torch.from_numpy(normalise_poses(pose))
            for shown in (None, grey) if half == "both" else (grey,):
                data = _Rows(self._require(), shown, features, generator, mirror=self.mirror)
                self.history = train_classifier(
                    data,
                    (rows[~held], targets[~held]),
                    (rows[held], targets[held]) if held.any() else None,
                    plan=self.plan,
                    generator=generator,
                    on_epoch=None if progress is None or shown is not grey else lambda e, t, v: progress(self._report(e, t, v)),
                )
        return self

    def predict_proba(self, pose: NDArray[np.floating[Any]], crops: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
        """Return (N, K) probabilities. See `BehaviourModel.predict_proba`.

        Raises:
            InvalidField: also if `crops` are not N clips, or the RGB half is asked without any.
        """
        network = self._require()
        poses = self._check(pose)
        with torch.no_grad():
            logits = [network(grey, part).double() for grey, part in self._batches(poses, crops)]
        probs = torch.softmax(torch.cat(logits), dim=1).numpy() if logits else np.zeros((0, len(self.classes)))
        return fill_unseen(poses, probs) if crops is None or network.rgb is None else probs

    def embed(self, pose: NDArray[np.floating[Any]], crops: NDArray[np.uint8] | None = None) -> NDArray[np.float32]:
        """Return (N, D) features: fused, or of the half that is read. See `BehaviourModel.embed`."""
        network = self._require()
        found = []
        with torch.no_grad():
            for grey, part in self._batches(self._check(pose), crops):
                picture, body, fused = network.look(grey, part)
                known = [x for x in (fused, body, picture) if x is not None]
                found.append(known[0])
        return torch.cat(found).numpy() if found else np.zeros((0, network.n_embedded), np.float32)

    def count_parameters(self) -> int:
        """Return how many numbers were learnt."""
        return sum(parameter.numel() for parameter in self._require().parameters())

    def save(self, folder: str | Path, card: Mapping[str, Any]) -> None:
        """Write the model. See `BehaviourModel.save`."""
        said = {"input": "pose (N, T, V, C) in any unit, and pictures (N, F, H, W, 3) uint8 of the same time", **card}
        save_network(folder, self._require(), {**said, "name": self.name, "classes": self.classes, "config": self._config})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. See `BehaviourModel.load`."""
        model = cls()

        def build(card: ModelCard) -> StFusionNetwork:
            model.classes, told = card.classes, card.config
            model.half = told["half"]
            pairs = tuple((int(a), int(b)) for a, b in told["parts"])
            model._build((int(told["n_nodes"]), int(told["n_channels"])), told["half"], Parts(pairs=pairs))
            return model._require()

        load_network(folder, name=cls.name, build=build)
        return model

    def _build(self, shape: Sequence[int], half: Half, parts: Parts) -> None:
        n_nodes, n_channels = shape
        fits = 1 <= n_nodes <= 4096 and n_channels in (2, 3, 4) and half in HALVES
        if not fits or any(not 0 <= node < n_nodes for pair in parts.pairs for node in pair):
            raise ValueError(f"{n_nodes} keypoints of {n_channels} channels, half {half}")
        self._config = {"n_nodes": n_nodes, "n_channels": n_channels, "half": half, "parts": [list(pair) for pair in parts.pairs]}
        nodes = tuple(list_nodes(n_nodes))
        network = StFusionNetwork(n_classes=len(self.classes), n_features=n_channels + 1, nodes=nodes, parts=parts, half=half)
        self._network = network.eval()

    def _require(self) -> StFusionNetwork:
        if self._network is None:
            raise ModelError(self.name, "is not trained yet")
        return self._network

    def _check(self, pose: object) -> NDArray[np.float32]:
        return check_poses(pose, n_nodes=self._config["n_nodes"], n_channels=self._config["n_channels"])

    def _batches(self, poses: NDArray[np.float32], crops: NDArray[np.uint8] | None) -> list[tuple[Tensor | None, Tensor]]:
        network = self._require()
        if network.reads == "rgb" and crops is None:
            raise InvalidField("crops", "pictures, as the RGB half reads nothing else", "none")
        grey = None if crops is None or network.rgb is None else _take_grey(crops, n=len(poses))
        starts = range(0, len(poses), _CHUNK)
        return [
            (None if grey is None else grey[i : i + _CHUNK], torch.from_numpy(normalise_poses(poses[i : i + _CHUNK])))
            for i in starts
        ]

    def _report(self, epoch: int, train_loss: float, val_loss: float | None) -> EpochReport:
        return EpochReport(epoch=epoch, n_epochs=self.plan.epochs, train_loss=train_loss, val_loss=val_loss, model=self)


class _Rows(nn.Module):
    """Row numbers (B,) to logits: the training module hands out rows, the clips and poses stay where they are.

    `data` says which they are, so that a checkpoint belongs to them.
    """

    def __init__(
        self, network: StFusionNetwork, grey: Tensor | None, features: Tensor, generator: torch.Generator, *, mirror: bool
    ) -> None:
        super().__init__()
        self.network = network
        self._grey, self._features, self._generator, self._mirror = grey, features, generator, mirror
        self.register_buffer("data", _digest(grey, features))

    def forward(self, rows: Tensor) -> Tensor:
        """Return logits (B, K), of changed copies while training."""
        parts = [rows] if self.training else list(rows.split(_CHUNK))  # type: ignore[no-untyped-call]
        return torch.cat([self._answer(part) for part in parts])

    def _answer(self, rows: Tensor) -> Tensor:
        device, rows = rows.device, rows.cpu()
        grey = None if self._grey is None else self._grey[rows]
        features = self._features[rows]
        if self.training:
            flip = (self._mirror and features.shape[2] == _MIRRORED) & (torch.rand(len(rows), generator=self._generator) < 0.5)
            features = augment_batch(_flip_poses(features, flip), self._generator)
            grey = None if grey is None else _change_clips(grey, flip, self._generator)
        logits: Tensor = self.network(None if grey is None else grey.to(device), features.to(device))
        return logits


def _digest(grey: Tensor | None, features: Tensor) -> Tensor:
    """Return 32 numbers that other data would hardly give."""
    digest = hashlib.sha256()
    for tensor in (features,) if grey is None else (features, grey):
        digest.update(tensor.contiguous().numpy().tobytes())
    return torch.tensor(list(digest.digest()), dtype=torch.float64)


def _as_edges(skeleton: NDArray[Any] | None) -> list[list[int]] | None:
    return None if skeleton is None else skeleton.tolist()


def _take_grey(crops: object, n: int | None = None) -> Tensor:
    """Return grey clips (N, F, H, W) in [0, 1].

    Raises:
        InvalidField: if they are not (N, F, H, W, 3) uint8 of at least 8 px.
    """
    array = check_array("crops", crops, (n, None, None, None, 3))
    if array.dtype != np.uint8 or not array.shape[1] or min(array.shape[2:4]) < _LEAST_PX:
        raise InvalidField("crops", f"uint8 pictures of at least {_LEAST_PX} px", f"{array.dtype} of shape {array.shape}")
    if not len(array):
        return torch.zeros(array.shape[:4])
    parts = [convert_to_grey(torch.from_numpy(np.ascontiguousarray(array[i : i + _CHUNK]))) for i in range(0, len(array), _CHUNK)]
    return torch.cat(parts)


def _flip_poses(features: Tensor, flip: Tensor) -> Tensor:
    """Mirror the poses (B, T, 33, F) that `flip` (B,) names."""
    if not flip.any():
        return features
    upper = list_nodes(_MIRRORED)
    order = list(range(_MIRRORED))
    for node, other in zip(upper, mirror_nodes(len(upper)), strict=True):
        order[node] = upper[other]
    swapped = features[:, :, order].clone()
    swapped[..., 0] *= -1
    return torch.where(flip[:, None, None, None], swapped, features)


def _change_clips(grey: Tensor, flip: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror, shift, darken and lighten clips (B, T, H, W), and add the noise of a sensor in low light."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    n, _, height, width = grey.shape
    changed = torch.where(flip[:, None, None, None], grey.flip(3), grey)
    reach = max(height, width) // 16
    top, left = (int(torch.randint(0, 2 * reach + 1, (1,), generator=generator)) for _ in range(2))
    padded = nn.functional.pad(changed, (reach, reach, reach, reach), mode="replicate")
    changed = padded[:, :, top : top + height, left : left + width]
    gain, power = 0.3 + 0.9 * draw(n, 1, 1, 1), torch.exp(0.6 * (draw(n, 1, 1, 1) - 0.5))
    noise = 0.03 * draw(n, 1, 1, 1) * torch.randn(changed.shape, generator=generator)
    return (gain * changed.clamp(min=1e-4) ** power + noise).clamp(0, 1)
