"""Detector ``tiles``: many people in one frame through a detector that was made for one.

BlazePose's detector sees 224x224 px and finds the dominant body. Overlapping square tiles at several scales let it see every body
large enough, and a second look (landmarks on each place found) throws out what is none and what was found twice.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.base import Detections, check_image
from backends.people.body import compute_ious
from backends.people.networks import BodyNetwork, RawBodies
from backends.people.pose import PoseEstimator
from backends.people.regions import crop_region
from backends.people.search import Place, Search

__all__ = ["TileDetector", "TileSettings", "plan_tiles"]

_SAME_FACE = 0.3
_LEAST_BODY = 0.55
"""Circle around the whole body by the side of the tile; real bodies start at 0.6, smaller ones are patterns."""


@frozen(kw_only=True)
class TileSettings:
    """How hard to look.

    A place is looked at twice from `least_place` on, a body counts from `least_body` on, both in [0, 1]. `scales` are sides of
    tiles by the short side of the frame, coarse to fine; a finer scale is used only if its tiles are at least `smallest_tile` px
    wide and so far nobody, or somebody whose region is smaller than `descend` times the last tile, was found.
    """

    least_place: float = 0.4
    least_body: float = 0.5
    scales: tuple[float, ...] = (1.0, 0.5, 1 / 3)
    overlap: float = 0.33
    smallest_tile: int = 112
    descend: float = 3.0


def plan_tiles(width: int, height: int, scale: float, *, overlap: float) -> NDArray[np.float64]:
    """Return square tiles (N, 4) = regions cx, cy, size, 0 that cover the frame, evenly spaced, overlapping by at least `overlap`.

    Args:
        width: of the frame, px.
        height: of the frame, px.
        scale: side of a tile by the short side of the frame, in (0, 1].
        overlap: least overlap of neighbours by the side of a tile, in [0, 1).
    """
    size = scale * min(width, height)
    centres = [_spread(length, size, overlap) for length in (width, height)]
    x, y = np.meshgrid(*centres)
    return np.column_stack([x.ravel(), y.ravel(), np.full(x.size, size), np.zeros(x.size)])


def _spread(length: float, size: float, overlap: float) -> NDArray[np.float64]:
    n = 1 + int(np.ceil((length - size) / (size * (1 - overlap)) - 1e-9))
    return np.linspace(size / 2, length - size / 2, n, dtype=np.float64) if n > 1 else np.array([length / 2], np.float64)


class TileDetector:
    """Finds every person in one image. A context manager; one instance belongs to one thread.

    Examples:
        >>> with TileDetector() as detector:  # doctest: +SKIP
        ...     found = detector.detect(image_rgb)
    """

    def __init__(self, estimator: PoseEstimator | None = None, settings: TileSettings | None = None) -> None:
        self.settings = settings or TileSettings()
        self._bodies = BodyNetwork()
        self._estimator = estimator or PoseEstimator()
        self._owns_estimator = estimator is None

    def detect(self, image_rgb: NDArray[np.uint8]) -> Detections:
        """Return the people in an RGB image (H, W, 3) uint8, best first.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        image = check_image(image_rgb)
        height, width = image.shape[:2]
        search = Search(image, self._estimator, least=self.settings.least_body)
        last = np.inf
        for scale in self.settings.scales:
            tiles = plan_tiles(width, height, scale, overlap=self.settings.overlap)
            if np.isfinite(last) and not self._goes_on(search, last, tiles[0, 2]):
                break
            for place in self._find_places(image, tiles):
                search.try_place(place)
            last = tiles[0, 2]
        return search.result()

    def _goes_on(self, search: Search, last_tile: float, next_tile: float) -> bool:
        smallest = search.smallest()
        return next_tile >= self.settings.smallest_tile and (np.isinf(smallest) or smallest < self.settings.descend * last_tile)

    def _find_places(self, image: NDArray[np.uint8], tiles: NDArray[np.float64]) -> list[Place]:
        """Return the places that the detector sees in the tiles, one per face, best first."""
        raws = [self._look_at_tile(image, tile) for tile in tiles]
        scores, faces, points = (np.concatenate(part) for part in zip(*raws, strict=True))
        return [
            Place(score=float(scores[i]), centre=points[i, 0], edge=points[i, 1], shoulders=points[i, 2])
            for i in _suppress(faces, scores)
        ]

    def _look_at_tile(
        self, image: NDArray[np.uint8], tile: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        """Return scores (N,), faces (N, 4) and points (N, 3, 2) of the bodies in one tile, in px of the frame."""
        raw = _blend(self._bodies.find(crop_region(image, tile, self._bodies.side), least=self.settings.least_place))
        corner, size = tile[:2] - tile[2] / 2, tile[2]
        points = np.stack([raw.centre, raw.edge, raw.shoulders], axis=1) * size + corner
        large = 2 * np.linalg.norm(points[:, 1] - points[:, 0], axis=1) >= _LEAST_BODY * size
        return raw.scores[large], (raw.faces * size + np.tile(corner, 2))[large], points[large]

    def close(self) -> None:
        """Free the networks."""
        self._bodies.close()
        if self._owns_estimator:
            self._estimator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _suppress(boxes: NDArray[np.float64], scores: NDArray[np.float32]) -> list[int]:
    ious = compute_ious(boxes, boxes)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not (ious[i, kept] > _SAME_FACE).any():
            kept.append(int(i))
    return kept


def _blend(raw: RawBodies) -> RawBodies:
    """Weighted suppression as in MediaPipe: anchors on one face become one body, their points averaged by score."""
    ious = compute_ious(raw.faces, raw.faces)
    left = np.ones(len(raw.scores), bool)
    weights, first = [], []
    for i in range(len(raw.scores)):
        if left[i]:
            group = left & (ious[i] > _SAME_FACE)
            group[i] = True
            left &= ~group
            weights.append(group * raw.scores / (group * raw.scores).sum())
            first.append(i)
    blend = np.array(weights, np.float32).reshape(len(first), len(raw.scores))
    return RawBodies(
        scores=raw.scores[first],
        centre=blend @ raw.centre,
        edge=blend @ raw.edge,
        shoulders=blend @ raw.shoulders,
        faces=blend @ raw.faces,
    )
