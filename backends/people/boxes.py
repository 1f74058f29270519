"""What detectors that give boxes of many classes share: their settings, a checked file, and the way from boxes to people."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from backends.people.body import compute_ious
from backends.people.places import BoxPlace, Place
from backends.people.search import Search
from schemas.checks import check_range
from schemas.errors import InvalidField, ModelError

__all__ = ["BoxFinder", "BoxModel", "BoxSettings", "find_person_class", "read_checked", "suppress_boxes"]

_MOST_BYTES = 1024 * 1024 * 1024


def _names(value: Mapping[str, str] | Sequence[str]) -> tuple[str, ...]:
    return tuple(value)


@frozen(kw_only=True)
class BoxSettings:
    """Which network finds boxes.

    `path` of its file and `sha256` of its content; `classes` name its outputs in order (empty = as the file's own metadata say),
    `person` is the one that counts; a box counts from `confidence` on, in [0, 1], and two that overlap by more than `overlap` (IoU)
    are one.
    """

    path: str = ""
    sha256: str = ""
    classes: tuple[str, ...] = field(default=(), converter=_names)
    person: str = "person"
    confidence: float = 0.3
    overlap: float = 0.65

    def __attrs_post_init__(self) -> None:
        check_range("detector.confidence", self.confidence, 0, 1)
        check_range("detector.overlap", self.overlap, 0, 1)


class BoxModel(Protocol):
    """Finds the boxes of people in an image."""

    def find_boxes(self, image_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return boxes (N, 4) px xyxy and scores (N,) in [0, 1] of the people in an RGB image (H, W, 3) uint8."""
        ...

    def close(self) -> None:
        """Free the network."""
        ...


class BoxFinder:
    """Places of the boxes that a network finds."""

    def __init__(self, model: BoxModel) -> None:
        self._model = model

    def find(self, image_rgb: NDArray[np.uint8], search: Search) -> list[list[Place]]:
        """Return the places, best first, all at once."""
        boxes, scores = self._model.find_boxes(image_rgb)
        return [[BoxPlace(score=float(scores[i]), box_xyxy=boxes[i]) for i in np.argsort(-scores, kind="stable")]]

    def close(self) -> None:
        """Free the network."""
        self._model.close()


def read_checked(settings: BoxSettings) -> bytes:
    """Return the content of the network's file if it is the one that the settings name.

    Raises:
        InvalidField: if the settings name no file or no SHA-256.
        ModelError: if the file is missing, too large, or another one.
    """
    for name in ("path", "sha256"):
        if not getattr(settings, name):
            raise InvalidField(
                f"preannotation.{name}", "the network's file and its SHA-256: this detector comes without one", "nothing"
            )
    path = Path(settings.path).expanduser()
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(path, f"is larger than {_MOST_BYTES >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(path, f"cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != settings.sha256.lower():
        raise ModelError(path, f"is another file than the one named: SHA-256 {digest[:12]}…, expected {settings.sha256[:12]}…")
    return content


def find_person_class(path: str, classes: Sequence[str], person: str) -> int:
    """Return the index of the class that counts.

    Raises:
        ModelError: if there is none of that name.
    """
    lowered = [name.strip().lower() for name in classes]
    if person.lower() not in lowered:
        raise ModelError(path, f"has no class {person!r} among its {len(classes)}: {', '.join(classes[:5]) or 'none named'}")
    return lowered.index(person.lower())


def suppress_boxes(
    boxes_xyxy: NDArray[Any], scores: NDArray[Any], overlap: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the boxes that no better one overlaps by more than `overlap` (IoU), best first, with their scores."""
    ious = compute_ious(boxes_xyxy, boxes_xyxy)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not (ious[i, kept] > overlap).any():
            kept.append(int(i))
    return np.asarray(boxes_xyxy, np.float64)[kept], np.asarray(scores, np.float64)[kept]
