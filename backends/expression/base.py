"""What a model of faces must be able to do, whatever is inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from backends.expression.identity import IdentityEmbeddings
from schemas.faces import FaceSet

__all__ = ["ExpressionModel", "IdentityModel", "OnEpoch"]

OnEpoch = Callable[[int, float], None]
"""Gets the epoch (from 1) and its mean loss."""


@runtime_checkable
class ExpressionModel(Protocol):
    """Faces in, probabilities of expressions and attributes out. Every entry of `EXPRESSION_MODELS` keeps this contract."""

    name: str
    classes: tuple[str, ...]
    attributes: tuple[str, ...]

    def fit(self, faces: FaceSet, *, seed: int = 0, on_epoch: OnEpoch | None = None) -> Self:
        """Train from scratch; faces without an expression, or without an attribute, teach the others only.

        Raises:
            NotEnoughData: if fewer than two expressions occur.
        """
        ...

    def predict_proba(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (N, K) probabilities of the expressions of faces (N, H, W, 3) uint8.

        Raises:
            ModelError: if the model is not trained.
            InvalidField: if the pictures have another shape or type.
        """
        ...

    def predict_attributes(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return (N, A) probabilities that the faces have the attributes."""
        ...

    def save(self, folder: str | Path, card: Mapping[str, Any]) -> None:
        """Write ``weights.safetensors`` and ``card.json``; `card` adds to what the model says of itself."""
        ...

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ModelError: if a file is missing, changed, too large, or of another architecture.
        """
        ...


@runtime_checkable
class IdentityModel(Protocol):
    """Faces in, closed embeddings out, with which nothing can be done but to group and to compare."""

    name: str

    def fit(self, faces: FaceSet, *, seed: int = 0, on_epoch: OnEpoch | None = None) -> Self:
        """Train from scratch on who is who (`group`).

        Raises:
            NotEnoughData: if fewer than two people have at least two pictures.
        """
        ...

    def embed(self, image: NDArray[np.uint8]) -> IdentityEmbeddings:
        """Return embeddings of faces (N, H, W, 3) uint8.

        Raises:
            ModelError: if the model is not trained.
            InvalidField: if the pictures have another shape or type.
        """
        ...

    def save(self, folder: str | Path, card: Mapping[str, Any]) -> None:
        """Write ``weights.safetensors`` and ``card.json``."""
        ...

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ModelError: if a file is missing, changed, too large, or of another architecture.
        """
        ...
