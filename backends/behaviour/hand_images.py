"""The hand branch of seed A: what one or two hands in a small picture hold: a phone, a pen, or nothing.

After Z. Xuan, "DRN-LSTM …" (2022/23): hand regions are found (here by the wrists of the pose, see `hand_regions`) and classified
as phone, writing or empty-handed. The paper does not describe the network; here it is a small convolutional one with batch norm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from attrs import evolve
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.behaviour.hand_regions import SIDE
from backends.compress import slim_to
from backends.training import TrainingPlan, isolate_random, train_classifier
from backends.weights import ModelCard, load_network, save_network
from schemas.checks import check_array
from schemas.errors import InvalidField, ModelError, NotEnoughData

__all__ = ["HANDS", "SEED_HAND", "HandModel", "HandNetwork"]

HANDS = ("empty-handed", "phone", "writing")
"""The hand classes of the taxonomy `drn-lstm`."""
SEED_HAND = TrainingPlan(schedule="steps", optimiser="sgd", lr=1e-4, epochs=200, batch_size=128, val_share=0.0)
"""The paper's recipe: SGD, learning rate 1e-4, 200 epochs, batches of 128; the rate falls at 0.7 and 0.9 of the cycle."""
QUICK = TrainingPlan(
    schedule="one-cycle", lr=4e-3, decay=0.02, epochs=12, batch_size=64, val_share=0.0, loss="logit-adjusted", tau=0.5
)
"""Enough from some thousand pictures, in a small part of the time; most hands are empty, which counts half (see `tau`)."""
SPARSE = evolve(QUICK, epochs=4, schedule="steps", lr=1e-3, gamma_l1=1e-3)
FINE = QUICK
"""How a slimmed branch is trained on: with sparse scales, then what is left."""
WIDTHS = (32, 64, 96, 128)
_LAYERS, _WIDEST = 5, 1024
_CHUNK = 512
_TURN, _SCALE, _SHIFT, _CONTRAST, _TINT = 0.15, 0.15, 0.12, 0.35, 0.15
"""How far pictures are changed in training: radians, log, half sides, log, log and thirds of brightness."""


class HandNetwork(nn.Module):
    """(B, 3, 48, 48) pictures in [0, 1] to (B, K) logits: four convolutions with batch norm, the first in steps of two, pooled."""

    def __init__(self, *, n_classes: int, widths: tuple[int, ...] = WIDTHS, dropout: float = 0.3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(zip((3, *widths), widths, strict=False)):
            layers += [nn.Conv2d(a, b, 3, padding=1, stride=1 if number else 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if number < len(widths) - 1 else []
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(widths[-1], n_classes)

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of each convolution."""
        return tuple(layer.out_channels for layer in self.layers if isinstance(layer, nn.Conv2d))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits."""
        found = self.layers(pictures)
        logits: Tensor = self.out(self.dropout(found.mean(dim=(2, 3))))
        return logits


class HandModel:
    """The hand branch as a model: pictures in, probabilities of hand classes out; saved like every other model.

    `prior` (3,) is how frequent its probabilities take each class to be; `weigh_evidence` takes it out of them.
    """

    name = "hand-branch"

    def __init__(self, *, plan: TrainingPlan = QUICK) -> None:
        self.plan = plan
        self.classes: tuple[str, ...] = HANDS
        self.prior: tuple[float, ...] = (1 / len(HANDS),) * len(HANDS)
        self._network: HandNetwork | None = None

    def fit(self, pictures: NDArray[np.uint8], label: Sequence[str] | NDArray[np.str_], *, seed: int = 0) -> Self:
        """Train from scratch on (N, H, W, 3) uint8 RGB pictures of hands and their labels (N,).

        Raises:
            InvalidField: if a picture is no such picture or a label is not one of `classes`.
            NotEnoughData: if fewer than two classes occur.
        """
        data = self._prepare(pictures, label)
        self.prior = _compute_prior(data[1], len(self.classes), self.plan)
        with isolate_random(seed) as generator:
            self._network = HandNetwork(n_classes=len(self.classes))
            train_classifier(self._network, data, None, plan=self.plan, generator=generator, augment=augment_pictures)
        return self

    def slim(
        self, pictures: NDArray[np.uint8], label: Sequence[str] | NDArray[np.str_], *, gone: float = 0.84, seed: int = 0
    ) -> HandModel:
        """Return a model with at least the share `gone` of the parameters less, by network slimming (see `backends.compress`).

        A copy of the network goes on by `SPARSE`, loses its least important channels and is fine-tuned by `FINE`; this model
        teaches both. On rendered lessons (`bench models --part compress`, seeds 0 to 2) 84.5 % of the parameters and 55 % of the
        time gone change macro-F1 by +1.9, -0.5 and -0.6 points, from .871 to .874 on average.

        Raises:
            ModelError: if the model is not trained.
            InvalidField: as `fit` does, or if so many parameters cannot go.
        """
        whole, data = self._require_network(), self._prepare(pictures, label)
        slim = type(self)(plan=self.plan)
        slim.classes, slim.prior, network = self.classes, self.prior, deepcopy(whole)
        for plan in (SPARSE, FINE):
            with isolate_random(seed) as generator:
                train_classifier(network, data, None, plan=plan, generator=generator, augment=augment_pictures, teacher=whole)
            network = slim_to(network, data[0][:2], gone=gone) if plan is SPARSE else network
        slim._network = network
        return slim

    def _prepare(self, pictures: NDArray[np.uint8], label: Sequence[str] | NDArray[np.str_]) -> tuple[Tensor, Tensor]:
        names = np.asarray(label, np.str_)
        unknown = sorted(set(names.tolist()) - set(self.classes))
        if unknown:
            raise InvalidField("label", f"one of {', '.join(self.classes)}", unknown[0])
        if len(set(names.tolist())) < 2:
            raise NotEnoughData("hand classes to train on", 2, len(set(names.tolist())))
        inputs = prepare_pictures(pictures)
        check_array("label", names, (len(inputs),))
        return inputs, torch.from_numpy(np.searchsorted(np.array(self.classes), names).astype(np.int64))

    def predict_proba(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (N, 3) probabilities of `classes` for (N, H, W, 3) uint8 RGB pictures.

        Raises:
            ModelError: if the model is not trained.
            InvalidField: if a picture is no such picture.
        """
        network = self._require_network()
        with torch.no_grad():
            batches: list[Tensor] = list(prepare_pictures(pictures).split(_CHUNK))  # type: ignore[no-untyped-call]
            parts = [torch.softmax(network(batch).double(), dim=1) for batch in batches if len(batch)]
        return torch.cat(parts).numpy() if parts else np.zeros((0, len(self.classes)))

    def weigh_evidence(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (N, 3) probabilities as if all classes were as frequent: what the picture alone says.

        They are divided by `prior` (A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, eq. 9). See
        `predict_proba`.
        """
        weighed = self.predict_proba(pictures) / np.array(self.prior)
        return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))

    def save(self, folder: str | Path, card: Mapping[str, Any]) -> None:
        """Write weights and card."""
        network = self._require_network()
        said = {
            "input": "hands, RGB",
            **card,
            "name": self.name,
            "classes": self.classes,
            "config": {"widths": list(network.widths), "side": SIDE, "prior": list(self.prior)},
        }
        save_network(folder, network, said)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ModelError: if a file is missing, changed, too large, or of another architecture.
        """
        model = cls()

        def build(card: ModelCard) -> HandNetwork:
            model.classes = card.classes
            widths = tuple(int(n) for n in card.config.get("widths", WIDTHS))
            if not 1 <= len(widths) <= _LAYERS or not all(1 <= n <= _WIDEST for n in widths):
                raise ValueError(f"layers of {widths} channels")
            if card.config.get("side") != SIDE:
                raise ValueError(f"pictures of {card.config.get('side')} px")
            model.prior = tuple(float(p) for p in card.config["prior"])
            if len(model.prior) != len(card.classes) or not all(0 < p <= 1 for p in model.prior):
                raise ValueError(f"a prior of {model.prior}")
            model._network = HandNetwork(n_classes=len(card.classes), widths=widths)
            return model._network

        load_network(folder, name=cls.name, build=build)
        return model

    def _require_network(self) -> HandNetwork:
        if self._network is None:
            raise ModelError(self.name, "is not trained yet")
        return self._network


def _compute_prior(targets: Tensor, n_classes: int, plan: TrainingPlan) -> tuple[float, ...]:
    """Return how frequent a network trained on these targets (N,) takes each class to be; as one sample if it does not occur."""
    counts = torch.bincount(targets, minlength=n_classes).clamp(min=1).double()
    left = {"cross-entropy": 1.0, "class-balanced": 0.0, "logit-adjusted": 1.0 - plan.tau}[plan.loss]
    prior = (counts / counts.sum()) ** left
    return tuple((prior / prior.sum()).tolist())


def prepare_pictures(pictures: NDArray[Any]) -> Tensor:
    """Return (N, 3, 48, 48) float32 in [0, 1], each picture's mean brightness moved to the middle.

    Raises:
        InvalidField: if the array is not uint8 (N, H, W, 3).
    """
    array = check_array("pictures", pictures, (None, None, None, 3))
    if array.dtype != np.uint8 or 0 in array.shape[1:]:
        raise InvalidField("pictures", "uint8 RGB pictures (N, H, W, 3)", f"{array.dtype} of shape {array.shape}")
    inputs = torch.from_numpy(np.array(array)).permute(0, 3, 1, 2).float() / 255
    if array.shape[1:3] != (SIDE, SIDE) and len(array):
        inputs = nn.functional.interpolate(inputs, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return inputs - inputs.mean(dim=(1, 2, 3), keepdim=True) + 0.5


def augment_pictures(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Return (B, 3, H, W) pictures mirrored, turned, scaled and moved at random, in another contrast and tint, with noise."""

    def draw(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator) - 1

    n = len(batch)
    angle, scale, mirror = _TURN * draw(n), torch.exp(_SCALE * draw(n)), torch.sign(draw(n))
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    across = torch.stack([cos * mirror, -sin, _SHIFT * draw(n)], dim=1)
    down = torch.stack([sin * mirror, cos, _SHIFT * draw(n)], dim=1)
    grid = nn.functional.affine_grid(torch.stack([across, down], dim=1), list(batch.shape), align_corners=False)
    moved = nn.functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    contrast = torch.exp(_CONTRAST * draw(n, 1, 1, 1) + _TINT * draw(n, 3, 1, 1))
    tinted = (moved - 0.5) * contrast + 0.5 + _TINT / 3 * draw(n, 3, 1, 1)
    noise = 0.03 * torch.rand(n, 1, 1, 1, generator=generator)
    return tinted + noise * torch.randn(moved.shape, generator=generator)
