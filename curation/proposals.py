"""From a model's probabilities to proposals in the workspace's own vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from schemas.errors import CurationError, ModelError
from schemas.records import PredictedSpan, Tubelet
from schemas.vocabulary import Taxonomy, load_taxonomy

if TYPE_CHECKING:
    from backends.base import PoseReader

__all__ = ["Proposer", "load_proposer"]

_DIGITS = 6


@frozen(kw_only=True, eq=False)
class Proposer:
    """A model that proposes behaviours, with what its card says of it.

    `taxonomy` is the id of the vocabulary and `axis` the axis of it that the model's classes are values of.
    """

    model: PoseReader = field(repr=False)
    name: str
    version: str
    taxonomy: str
    axis: str

    def propose(self, tubelets: Sequence[Tubelet], poses: NDArray[np.float32], taxonomy: Taxonomy) -> list[PredictedSpan]:
        """Return a proposal for each tubelet on the one axis of `taxonomy` that the model can speak of; none where it cannot.

        Probabilities of classes that mean the same value are summed, classes without a counterpart are left out, and the rest is
        brought to sum 1 and rounded to six digits. A tubelet of which no pose was seen gets no proposal.

        Args:
            tubelets: (N).
            poses: (N, S, V, 4) as `curation.tubelets.stack_poses` gives them.
            taxonomy: what proposals are worded in.
        """
        mapped = self.find_values(taxonomy)
        seen = np.any(np.all(np.isfinite(poses[..., :2]), axis=3), axis=(1, 2))
        chosen = np.flatnonzero(seen)
        if mapped is None or not len(chosen):
            return []
        axis, value_of = mapped
        values = taxonomy.axis(axis).values
        mixing = np.zeros((len(self.model.classes), len(values)))
        for row, name in enumerate(self.model.classes):
            if name in value_of:
                mixing[row, values.index(value_of[name])] = 1
        probs = _round_rows(self.model.predict_proba(poses[chosen]) @ mixing)
        return [
            PredictedSpan(
                tubelet_id=tubelets[position].id,
                axis=axis,
                value=values[int(row.argmax())],
                model=self.name,
                version=self.version,
                scores=dict(zip(values, map(float, row), strict=True)),
            )
            for position, row in zip(chosen, probs, strict=True)
        ]

    def find_values(self, taxonomy: Taxonomy) -> tuple[str, dict[str, str]] | None:
        """Return (axis of `taxonomy`, model class → value on it), or None if the two vocabularies have nothing in common."""
        if taxonomy.id == self.taxonomy:
            axis = self.axis or taxonomy.primary.id
            known = taxonomy.axis(axis).values
            same = {name: name for name in self.model.classes if name in known}
            return (axis, same) if same else None
        return self._find_forward(taxonomy) or self._find_backward(taxonomy)

    def _find_forward(self, taxonomy: Taxonomy) -> tuple[str, dict[str, str]] | None:
        """The target vocabulary says what the model's names mean in it."""
        axis = taxonomy.primary.id
        table = taxonomy.maps.get(self.taxonomy, {})
        values = {name: label.value for name, label in table.items() if label.axis == axis and name in self.model.classes}
        return (axis, values) if values else None

    def _find_backward(self, taxonomy: Taxonomy) -> tuple[str, dict[str, str]] | None:
        """The model's vocabulary says what the target's names mean in it."""
        try:
            table = load_taxonomy(self.taxonomy).maps.get(taxonomy.id, {})
        except CurationError:
            return None
        known = taxonomy.primary.values
        values = {label.value: name for name, label in table.items() if label.axis == self.axis and name in known}
        return (taxonomy.primary.id, values) if values else None


def load_proposer(folder: str | Path | None = None) -> Proposer:
    """Load the model in `folder`; None = the one that ships with the tool. Where it lies there as ONNX too, that is what proposes.

    Raises:
        ModelError: if there is none, or it was changed.
    """
    from backends.behaviour import PROPOSER, load_reader
    from backends.weights import read_card

    place = Path(folder) if folder is not None else PROPOSER
    card = read_card(place)
    if not card.taxonomy:
        raise ModelError(place, "its card does not say which taxonomy its classes are of")
    return Proposer(model=load_reader(place), name=card.name, version=card.version, taxonomy=card.taxonomy, axis=card.axis)


def _round_rows(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, K) rows that sum to 1, rounded so that last bits, which machines disagree on, do not make two proposals of one."""
    total = probs.sum(axis=1, keepdims=True)
    even = np.full_like(probs, 1 / probs.shape[1])
    rounded: NDArray[np.float64] = np.round(np.divide(probs, total, out=even, where=total > 0), _DIGITS)
    return rounded
