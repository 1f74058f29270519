"""One trunk for face attributes and expressions.

Seed B, J. Lu, "Research on classroom behavior analysis and optimization strategies based on convolutional neural network in smart
learning environment" (2023): k batches of attributes, then one of expressions, with l = −Σ_C t_i log s_i − Σ_E t_k log
softmax(o)_k. The outcomes C are "has it" and "has it not" of every attribute, s their probabilities: without the second, s = 1
would be the answer to everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.expression import TRUNKS
from backends.expression.base import OnEpoch
from backends.expression.fitting import FitPlan, as_inputs, change_faces, fit_by_batches
from backends.training import isolate_random
from backends.weights import ModelCard, load_network, save_network
from schemas.errors import ModelError, NotEnoughData
from schemas.faces import FaceSet

__all__ = [
    "MobileNetMultiTask",
    "MultiTask",
    "MultiTaskNetwork",
    "ResNetMultiTask",
    "ShuffleNetMultiTask",
    "compute_attribute_loss",
    "compute_expression_loss",
    "measure_top",
]


class MultiTaskNetwork(nn.Module):
    """(B, 3, H, W) to expression logits (B, K) and attribute logits (B, A)."""

    def __init__(self, trunk: str, n_classes: int, n_attributes: int) -> None:
        super().__init__()
        self.trunk = TRUNKS.load(trunk)()
        self.expression = nn.Sequential(nn.Dropout(0.2), nn.Linear(self.trunk.n_out, n_classes))
        self.attribute = nn.Linear(self.trunk.n_out, n_attributes)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return both."""
        found = self.trunk(pictures)
        return self.expression(found), self.attribute(found)


def compute_attribute_loss(logits: Tensor, marks: Tensor) -> Tensor:
    """Return −Σ_C t_i log s_i (mean over faces) of logits (B, A); marks (B, A) 1, 0 or −1 = not annotated, counts for nothing."""
    known = (marks >= 0).float()
    each = nn.functional.binary_cross_entropy_with_logits(logits, marks.clamp(min=0).float(), reduction="none")
    return (each * known).sum() / len(logits)


def compute_expression_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return −Σ_E t_k log softmax(o)_k (mean over faces) of logits (B, K) and targets (B,)."""
    return nn.functional.cross_entropy(logits, targets)


def measure_top(probs: NDArray[Any], truth: NDArray[Any], k: int) -> float:
    """Return the share of rows whose true column (N,) is among the `k` likeliest of `probs` (N, K)."""
    best = np.argsort(-np.asarray(probs), axis=1, kind="stable")[:, :k]
    return float((best == np.asarray(truth)[:, None]).any(axis=1).mean())


class MultiTask:
    """See `backends.expression.base.ExpressionModel`; a subclass says which trunk.

    Args:
        plan: how long and how fast.
        attribute_batches: k, how many batches of attributes come before each batch of expressions.
    """

    name: str
    trunk: str

    def __init__(self, *, plan: FitPlan | None = None, attribute_batches: int = 1) -> None:
        self.classes: tuple[str, ...] = ()
        self.attributes: tuple[str, ...] = ()
        self.plan = plan or FitPlan()
        self.attribute_batches = attribute_batches
        self._network: MultiTaskNetwork | None = None

    @property
    def network(self) -> MultiTaskNetwork:
        """The network itself, in evaluation mode: (B, 3, H, W) in [-1, 1] to logits of expressions and attributes.

        Raises:
            ModelError: if the model is not trained.
        """
        if self._network is None:
            raise ModelError(self.name, "is not trained yet")
        return self._network

    def fit(self, faces: FaceSet, *, seed: int = 0, on_epoch: OnEpoch | None = None) -> Self:
        """Train from scratch. See `ExpressionModel.fit`."""
        if len(faces.classes) < 2:
            raise NotEnoughData("expressions to tell apart", 2, len(faces.classes))
        self.classes, self.attributes = faces.classes, faces.attributes
        place = {name: i for i, name in enumerate(self.classes)}
        targets = torch.tensor([place.get(name, -1) for name in faces.expression.tolist()])
        marks = torch.from_numpy(faces.attribute.astype(np.int64))
        pictures = torch.cat(as_inputs(faces.image))
        with isolate_random(seed) as generator:
            network = self._build()
            shown = _Pictures(pictures, self.plan.batch_size, generator)
            said, marked = torch.nonzero(targets >= 0)[:, 0], torch.nonzero((marks >= 0).any(dim=1))[:, 0]
            k = self.attribute_batches if len(marked) and self.attributes else 0

            def make_losses() -> Iterator[Tensor]:
                others = shown.draw_forever(marked) if k else iter(())
                for rows in shown.draw(said):
                    for _, more in zip(range(k), others, strict=False):
                        yield compute_attribute_loss(network(shown.show(more))[1], marks[more])
                    yield compute_expression_loss(network(shown.show(rows))[0], targets[rows])

            fit_by_batches(network, make_losses, (1 + k) * -(-len(said) // self.plan.batch_size), self.plan, on_epoch)
        return self

    def predict_proba(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (N, K) probabilities. See `ExpressionModel.predict_proba`."""
        return self._answer(image)[0]

    def predict_attributes(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (N, A) probabilities. See `ExpressionModel.predict_attributes`."""
        return self._answer(image)[1]

    def save(self, folder: str | Path, card: Mapping[str, Any]) -> None:
        """Write the model. See `ExpressionModel.save`."""
        said = {"input": "faces (N, H, W, 3) uint8 RGB", "axis": "expression", **card}
        config = {"attributes": list(self.attributes)}
        save_network(folder, self.network, {**said, "name": self.name, "classes": self.classes, "config": config})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. See `ExpressionModel.load`."""
        model = cls()

        def build(card: ModelCard) -> MultiTaskNetwork:
            model.classes, model.attributes = card.classes, tuple(str(name) for name in card.config.get("attributes", ()))
            return model._build()

        load_network(folder, name=cls.name, build=build)
        return model

    def _build(self) -> MultiTaskNetwork:
        self._network = MultiTaskNetwork(self.trunk, len(self.classes), len(self.attributes)).eval()
        return self._network

    def _answer(self, image: object) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        network = self.network
        with torch.no_grad():
            said = [network(batch) for batch in as_inputs(image)]
        if not said:
            return np.zeros((0, len(self.classes))), np.zeros((0, len(self.attributes)))
        probs = torch.softmax(torch.cat([logits for logits, _ in said]).double(), dim=1).numpy()
        return probs / probs.sum(axis=1, keepdims=True), torch.sigmoid(torch.cat([marks for _, marks in said]).double()).numpy()


class _Pictures:
    """Draws batches of rows, and shows their pictures changed a little."""

    def __init__(self, pictures: Tensor, batch_size: int, generator: torch.Generator) -> None:
        self._pictures, self._size, self._generator = pictures, batch_size, generator

    def draw(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield all rows once, in batches of at least 2 in an order of chance."""
        order = rows[torch.randperm(len(rows), generator=self._generator)]
        for batch in order.split(self._size):  # type: ignore[no-untyped-call]
            if len(batch) > 1 or len(order) == 1:
                yield batch

    def draw_forever(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield batches again and again."""
        while True:
            yield from self.draw(rows)

    def show(self, rows: Tensor) -> Tensor:
        return change_faces(self._pictures[rows], self._generator)


class MobileNetMultiTask(MultiTask):
    """The registered model `multi-task-mobilenet`."""

    name, trunk = "multi-task-mobilenet", "mobilenet"


class ShuffleNetMultiTask(MultiTask):
    """The registered model `multi-task-shufflenet`."""

    name, trunk = "multi-task-shufflenet", "shufflenet"


class ResNetMultiTask(MultiTask):
    """The registered model `multi-task-resnet`."""

    name, trunk = "multi-task-resnet", "resnet"
