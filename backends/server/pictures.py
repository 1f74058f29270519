"""Looks at a task's picture with the models."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

from schemas.errors import MediaError, ModelError
from schemas.labelstudio import BODY_NODES, Person, encode_result
from schemas.vocabulary import Label

__all__ = ["Looker", "find_picture"]

_LOCAL = "/data/local-files/"
_MIN_VISIBILITY = 0.5
_FRAMES = 12


class Looker:
    """People, poses and behaviours in one picture. Models are loaded at the first picture and used by one thread at a time."""

    def __init__(self, media_root: Path | None, *, detector: str = "tiles") -> None:
        self.media_root = media_root
        self._detector_name = detector
        self._lock = threading.Lock()
        self._models: tuple[Any, Any, Any] | None = None

    @property
    def version(self) -> str:
        """Name of what answers: the shipped model's "name:version", or "people" where none is shipped."""
        card = _read_card()
        return "people" if card is None else f"{card.name}:{card.version}"

    def look(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Return the prediction of one task.

        Raises:
            MediaError: if its picture is not a file below `media_root`.
            ModelError: if the people detector's bundles are missing.
        """
        data = task.get("data")
        path = find_picture(data.get("image") if isinstance(data, Mapping) else None, self.media_root)
        image = _load_rgb(path)
        with self._lock:
            detector, model, card = self._load()
            found = detector.detect(image)
            probs = None if model is None or not len(found) else model.predict_proba(_still(found.pose_px))
        people = [
            _describe(
                f"person_{row}", found.boxes_xyxy[row], found.pose_px[row], None if probs is None else probs[row], model, card
            )
            for row in range(len(found))
        ]
        height, width = image.shape[:2]
        result = encode_result(people, (width, height), nodes=BODY_NODES, min_visibility=_MIN_VISIBILITY)
        scores = [score for person in people for score in person.scores.values()]
        return {"result": result, "score": float(np.mean(scores)) if scores else 0.0, "model_version": self.version}

    def _load(self) -> tuple[Any, Any, Any]:
        if self._models is None:
            from backends.behaviour import PROPOSER, load_reader
            from backends.people import DETECTORS

            card = _read_card()
            model = None if card is None else load_reader(PROPOSER)
            self._models = (DETECTORS.load(self._detector_name)(), model, card)
        return self._models


def find_picture(address: object, media_root: Path | None) -> Path:
    """Return the file behind ``/data/local-files/?d=<path below media_root>``.

    Raises:
        MediaError: if the address is anything else (nothing is ever fetched), leads out of `media_root`, or there is no such file.
    """
    text = str(address)
    parts = urlsplit(text)
    inner = parse_qs(parts.query).get("d", [])
    if parts.scheme or parts.netloc or parts.path != _LOCAL or len(inner) != 1 or media_root is None or "\0" in inner[0]:
        raise MediaError(text, f"is not a local picture ({_LOCAL}?d=…)")
    root = media_root.resolve()
    path = (root / inner[0]).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise MediaError(text, "is not a picture in the media folder")
    return path


def _load_rgb(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise MediaError(path, "cannot be read as an image") from error


def _read_card() -> Any:
    from backends.behaviour import PROPOSER
    from backends.weights import read_card

    try:
        return read_card(PROPOSER)
    except ModelError:
        return None


def _still(pose_px: NDArray[Any]) -> NDArray[np.float32]:
    return np.repeat(np.asarray(pose_px, np.float32)[:, None], _FRAMES, axis=1)


def _describe(name: str, box: NDArray[Any], pose: NDArray[Any], probs: NDArray[Any] | None, model: Any, card: Any) -> Person:
    x1, y1, x2, y2 = (float(v) for v in box)
    if probs is None:
        return Person(id=name, box_xyxy=(x1, y1, x2, y2), pose_px=pose)
    best = int(np.argmax(probs))
    label = Label(axis=str(card.axis), value=str(model.classes[best]))
    return Person(id=name, box_xyxy=(x1, y1, x2, y2), pose_px=pose, labels=(label,), scores={label.axis: float(probs[best])})
