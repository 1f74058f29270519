"""Detector ``tiles``: many people in one frame through a detector that was made for one, on overlapping tiles of several sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.dense import BODIES, DenseNetwork
from backends.people.detector import PlaceDetector
from backends.people.places import BodyPlace, Place
from backends.people.search import Search
from backends.people.team import PoseTeam

__all__ = ["BodyFinder", "TileDetector", "TileSettings", "plan_tiles"]

_LEAST_BODY = 0.55
"""Circle around the whole body by the side of the tile; real bodies start at 0.6, smaller ones are patterns."""


@frozen(kw_only=True)
class TileSettings:
    """How hard to look for bodies.

    A place is looked at from `least_place` on, in [0, 1]. `shorts` are lengths of the frame's short side, px, that the network
    sees, short to long: 224 is one tile across. A longer one is used only if so far nobody, or somebody whose region is
    smaller than `descend` tiles, was found. Where `crowd` people were seen before, by their faces, nobody is left who shows only
    a tiny body, and no length is more than `crowded`: in 220 rendered students that lost nobody, and it is a third of the time.
    """

    least_place: float = 0.2
    shorts: tuple[int, ...] = (224, 448, 1120)
    descend: float = 3.0
    crowd: int = 8
    crowded: int = 640


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


class BodyFinder:
    """Places of bodies in a frame, through BlazePose's detector."""

    def __init__(self, settings: TileSettings | None = None) -> None:
        self.settings = settings or TileSettings()
        self._network = DenseNetwork(BODIES)

    def find(self, image_rgb: NDArray[np.uint8], search: Search) -> Iterator[list[Place]]:
        """Yield the places, coarse to fine, best first; what `search` has found so far decides whether finer is worth it."""
        side = min(image_rgb.shape[:2])
        last = np.inf
        longest = self.settings.crowded if search.count_seen() >= self.settings.crowd else np.inf
        for short in (int(min(short, longest)) for short in self.settings.shorts):
            if np.isfinite(search.smallest()) and search.smallest() >= self.settings.descend * last:
                return
            last = BODIES.side / short * side
            finds = self._network.find(image_rgb, short=short, least=self.settings.least_place, area=search.area)
            yield [
                BodyPlace(score=score, centre=centre, edge=edge, shoulders=shoulders)
                for score, (centre, edge, shoulders, _) in zip(finds.scores.tolist(), finds.points, strict=True)
                if 2 * np.linalg.norm(edge - centre) >= _LEAST_BODY * last
            ]

    def close(self) -> None:
        """Free the network."""
        self._network.close()


class TileDetector(PlaceDetector):
    """Finds every person in one image by their bodies. A context manager; one instance belongs to one thread.

    Examples:
        >>> with TileDetector() as detector:  # doctest: +SKIP
        ...     found = detector.detect(image_rgb)
    """

    def __init__(self, team: PoseTeam | None = None, settings: TileSettings | None = None) -> None:
        super().__init__([BodyFinder(settings)], team)
