"""Faces to unit vectors that are near for the same person, with which pictures are grouped and consent is checked.

Seed E, H. Wang et al. (2023), after F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet", CVPR 2015: a MobileNetV1 trunk, 128
numbers, L2 normalisation, and the triplet loss Σ [‖f(a) − f(p)‖² − ‖f(a) − f(n)‖² + α]₊ over semi-hard triplets of the batch.
Mining and loss are those of pytorch-metric-learning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.expression.base import OnEpoch
from backends.expression.fitting import FitPlan, as_inputs, change_faces, fit_by_batches
from backends.expression.identity import IdentityEmbeddings
from backends.expression.trunks import MobileNetTrunk
from backends.training import isolate_random
from backends.weights import ModelCard, load_network, save_network
from schemas.errors import ModelError, NotEnoughData
from schemas.faces import FaceSet

__all__ = ["FaceNet", "TripletLoss"]

MARGIN = 0.2
"""α of the paper."""
_SIZE = 128
_PICTURES = 4
"""Pictures of one person in a batch."""


class EmbeddingNetwork(nn.Module):
    """(B, 3, H, W) to unit vectors (B, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = MobileNetTrunk()
        self.out = nn.Linear(self.trunk.n_out, _SIZE)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the vectors."""
        return nn.functional.normalize(self.out(self.trunk(pictures)), dim=1)


class TripletLoss:
    """The mean of [‖a − p‖² − ‖a − n‖² + α]₊ over the semi-hard triplets of a batch: ‖a − p‖² < ‖a − n‖² < ‖a − p‖² + α."""

    def __init__(self, margin: float = MARGIN) -> None:
        from pytorch_metric_learning.distances import LpDistance
        from pytorch_metric_learning.losses import TripletMarginLoss
        from pytorch_metric_learning.miners import TripletMarginMiner

        squared = LpDistance(normalize_embeddings=False, p=2, power=2)
        self._miner = TripletMarginMiner(margin=margin, type_of_triplets="semihard", distance=squared)
        self._loss = TripletMarginLoss(margin=margin, distance=squared)

    def __call__(self, vectors: Tensor, people: Tensor) -> Tensor:
        """Return the loss of vectors (B, D) of `people` (B,); 0 where no triplet is semi-hard."""
        loss: Tensor = self._loss(vectors, people, self._miner(vectors, people))
        return loss


class FaceNet:
    """The registered model `facenet`. See `backends.expression.base.IdentityModel`."""

    name = "facenet"

    def __init__(self, *, plan: FitPlan | None = None) -> None:
        self.plan = plan or FitPlan(epochs=12, batch_size=48, lr=3e-3)
        self._network: EmbeddingNetwork | None = None

    def fit(self, faces: FaceSet, *, seed: int = 0, on_epoch: OnEpoch | None = None) -> Self:
        """Train from scratch. See `IdentityModel.fit`."""
        _, people, counts = np.unique(faces.group, return_inverse=True, return_counts=True)
        if (counts >= 2).sum() < 2:
            raise NotEnoughData("people with at least two pictures", 2, int((counts >= 2).sum()))
        targets, pictures = torch.from_numpy(people.astype(np.int64)), torch.cat(as_inputs(faces.image))
        with isolate_random(seed) as generator:
            network = self._network = EmbeddingNetwork()
            measure, rng = TripletLoss(), np.random.default_rng(seed)

            def make_losses() -> Iterator[Tensor]:
                for rows in _draw_batches(people, self.plan.batch_size, rng):
                    yield measure(network(change_faces(pictures[rows], generator)), targets[rows])

            fit_by_batches(network, make_losses, -(-len(people) // self.plan.batch_size) + 1, self.plan, on_epoch)
        return self

    def embed(self, image: NDArray[np.uint8]) -> IdentityEmbeddings:
        """Return embeddings of faces (N, H, W, 3) uint8. See `IdentityModel.embed`."""
        if self._network is None:
            raise ModelError(self.name, "is not trained yet")
        with torch.no_grad():
            parts = [self._network(batch) for batch in as_inputs(image)]
        return IdentityEmbeddings(torch.cat(parts).numpy() if parts else np.zeros((0, _SIZE)))

    def save(self, folder: str | Path, card: Mapping[str, Any]) -> None:
        """Write the model. See `IdentityModel.save`."""
        if self._network is None:
            raise ModelError(self.name, "is not trained yet")
        said = {"input": "faces (N, H, W, 3) uint8 RGB", "use": "grouping and consent only", **card}
        save_network(folder, self._network, {**said, "name": self.name, "classes": ("same person", "another person")})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. See `IdentityModel.load`."""
        model = cls()

        def build(_: ModelCard) -> EmbeddingNetwork:
            model._network = EmbeddingNetwork()
            return model._network

        load_network(folder, name=cls.name, build=build)
        return model


def _draw_batches(people: NDArray[Any], size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Yield every row about once, in batches of up to four pictures of each of several people."""
    chunks: list[NDArray[np.int64]] = []
    for person in np.unique(people):
        rows = rng.permutation(np.flatnonzero(people == person))
        chunks += [rows[i : i + _PICTURES] for i in range(0, len(rows), _PICTURES)]
    order = rng.permutation(len(chunks))
    per = max(size // _PICTURES, 2)
    for start in range(0, len(order), per):
        batch = [chunks[i] for i in order[start : start + per]]
        if len(batch) > 1:
            yield torch.from_numpy(np.concatenate(batch))
