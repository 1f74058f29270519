"""What a model must be able to do, whatever is inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from schemas.sequences import SequenceSet

__all__ = ["BehaviourModel", "CropReader", "EpochReport", "PoseReader", "Progress", "predict_sequences"]


@frozen(kw_only=True)
class EpochReport:
    """Where a training is after `epoch` (from 1) of at most `n_epochs`; losses are mean cross-entropies in nats.

    `model` is the model being trained and may be asked for probabilities at this stage. A model without epochs reports once.
    """

    epoch: int
    n_epochs: int
    train_loss: float
    val_loss: float | None
    model: BehaviourModel


Progress = Callable[[EpochReport], None]


@runtime_checkable
class PoseReader(Protocol):
    """Pose sequences in, probabilities over the values of one axis out: what a trained model is asked for."""

    name: str
    classes: tuple[str, ...]

    def predict_proba(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return (N, K) probabilities for (N, T, V, C) poses; a sequence in which nothing is seen gets 1 / K everywhere.

        Raises:
            ModelError: if the model is not trained.
            InvalidField: if V or C is not what the model was trained on.
        """
        ...

    def embed(self, pose: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return (N, D) features, near for sequences that the model takes for alike."""
        ...


@runtime_checkable
class BehaviourModel(PoseReader, Protocol):
    """A `PoseReader` that can be trained, saved and loaded.

    Every entry of `backends.behaviour.MODELS` keeps this contract (tests/contracts.py): probabilities are finite and sum to 1,
    the same seed gives the same answer, and a saved model answers as before once it is loaded.
    """

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train from scratch.

        Args:
            sequences: what to learn from. Sequences in which nothing is seen are left out.
            classes: the values to tell apart, in the order of the columns; by default those that occur, sorted. Values that do not
                occur in `sequences` get columns, and a probability near 0.
            seed: decides every random choice; global random state is left as it was.
            progress: is called after every epoch.

        Raises:
            InvalidField: if a label is not among `classes`.
            NotEnoughData: if fewer than two classes occur.
        """
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
class CropReader(Protocol):
    """A behaviour model that also reads the pictures beside the poses, where there are any."""

    reads_crops: bool

    def predict_proba(self, pose: NDArray[np.floating[Any]], crops: NDArray[np.uint8] | None = None) -> NDArray[np.float64]:
        """Return (N, K) probabilities for (N, T, V, C) poses and (N, F, H, W, 3) pictures."""
        ...


def predict_sequences(model: BehaviourModel, sequences: SequenceSet) -> NDArray[np.float64]:
    """Return (N, K) probabilities of sequences by all that the model reads of them. See `BehaviourModel.predict_proba`."""
    if sequences.crops is not None and isinstance(model, CropReader) and model.reads_crops:
        return model.predict_proba(sequences.pose, crops=sequences.crops)
    return model.predict_proba(sequences.pose)
