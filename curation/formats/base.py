"""What an exporter is given, and what it must be able to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from attrs import cmp_using, field, frozen
from numpy.typing import NDArray

from schemas.checks import check_array
from schemas.errors import InvalidField
from schemas.manifest import ManifestRecord
from schemas.records import Clip, HumanSpan, check_box
from schemas.vocabulary import Taxonomy

__all__ = ["ExportFacts", "ExportItem", "Exporter", "Sample", "sort_samples"]


@frozen(kw_only=True, eq=False)
class ExportItem:
    """One tubelet to be written: a person's label on it, where it is, and its poses.

    `key_frame` is the frame that stands for it in formats of single images; `box_xyxy` (px) and `pose_px` (V, 4) = x px, y px, z,
    visibility are those at that frame; `sequence` (S, V, 4) is the pose over the whole tubelet; NaN = unseen. `crops`
    (S, H, W, 3) uint8 are pictures at the same times, where they were asked for.
    """

    record: ManifestRecord
    span: HumanSpan
    clip: Clip
    key_frame: int
    box_xyxy: tuple[float, float, float, float]
    pose_px: NDArray[np.float32]
    sequence: NDArray[np.float32]
    crops: NDArray[np.uint8] | None = None

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.span, HumanSpan):
            raise InvalidField("export: span", "a HumanSpan (only what a person said is exported)", type(self.span).__name__)
        if (self.span.tubelet_id, self.span.value) != (self.record.tubelet_id, self.record.label):
            raise InvalidField("export: record", f"the label {self.span.value} of {self.span.tubelet_id}", self.record.label)
        check_box("export: box_xyxy", self.box_xyxy)
        check_array("export: pose_px", self.pose_px, (None, 4))
        check_array("export: sequence", self.sequence, (None, len(self.pose_px), 4))
        if self.crops is not None:
            check_array("export: crops", self.crops, (len(self.sequence), None, None, 3))


@frozen(kw_only=True)
class ExportFacts:
    """What holds for all items: the vocabulary, the axis whose values are the classes, and samples per second of the sequences."""

    taxonomy: Taxonomy
    axis: str
    fps: float

    @property
    def classes(self) -> tuple[str, ...]:
        """The axis's values, in the order of class indices."""
        return self.taxonomy.axis(self.axis).values


def _equal_arrays(a: Mapping[str, NDArray[Any]], b: Mapping[str, NDArray[Any]]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].shape == b[k].shape and np.array_equal(a[k], b[k], equal_nan=a[k].dtype.kind == "f") for k in a
    )


@frozen(kw_only=True)
class Sample:
    """What a format holds of one item: its label, other facts, and arrays by name (equal if every value is)."""

    tubelet_id: str
    label: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(eq=cmp_using(eq=_equal_arrays))


def sort_samples(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples by tubelet id, as a file may hold them in an order of its own."""
    return sorted(samples, key=lambda s: s.tubelet_id)


class Exporter(Protocol):
    """Writes one side of a split, reads it back, and says what the format keeps of an item.

    The contract, tested for every entry of `EXPORTERS`: ``read(write(items)) == reduce(items)`` by value, in the order of tubelet
    ids, and equal items give equal bytes.
    """

    def write(self, folder: Path, side: str, items: Sequence[ExportItem], facts: ExportFacts) -> list[str]:
        """Write `items` (at least one) under `folder` and return the names of the files written, relative to it.

        Raises:
            StorageError: if a file cannot be written.
        """
        ...

    def list_pictures(self, items: Sequence[ExportItem]) -> dict[str, ExportItem]:
        """Return the pictures that the format names: file name relative to the folder → an item whose key frame it shows."""
        ...

    def read(self, folder: Path, side: str) -> list[Sample]:
        """Read back what `write` wrote for that side.

        Raises:
            FormatError: if a file is missing or damaged.
        """
        ...

    def reduce(self, items: Sequence[ExportItem], facts: ExportFacts) -> list[Sample]:
        """Return what this format keeps of `items`: all that `read` can give back."""
        ...
