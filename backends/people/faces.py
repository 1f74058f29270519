"""Detector ``faces``: the bodies below the faces in a frame, joined with the bodies that show no face."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.base import Area
from backends.people.dense import FACES, DenseNetwork, Finds, suppress_finds
from backends.people.detector import PlaceDetector
from backends.people.places import FacePlace, Place
from backends.people.search import Search
from backends.people.team import PoseTeam
from backends.people.tiles import BodyFinder, TileSettings

__all__ = ["FaceDetector", "FaceFinder", "FaceSettings", "find_crowd"]

_SURE, _OTHER = 0.3, 0.6
"""From the first on a face is surely one; from the second on, by the size of the head, its middle is another head's."""
_HEAD_BY_FACE = 1.25
_AROUND = 2.0
"""How much more than the small faces the part around them holds, by the size of a small face."""


@frozen(kw_only=True)
class FaceSettings:
    """How hard to look for faces.

    A face is looked at from `least_place` on, in [0, 1]. `shorts` are groups of lengths of the frame's short side, px, that the
    network sees, coarse to fine. A finer group is used only if so far nobody, or somebody whose region is smaller than
    `descend` tiles of the last one, was found. The part of the frame where sure faces are smaller than `tiny` px on the last canvas
    is looked at once more, with the frame's short side `fine` px long.
    """

    least_place: float = 0.1
    shorts: tuple[tuple[int, ...], ...] = ((192,), (576, 864, 1152))
    descend: float = 3.0
    tiny: float = 28.0
    fine: int = 1440


class FaceFinder:
    """Places of faces in a frame, through MediaPipe's full-range face detector."""

    def __init__(self, settings: FaceSettings | None = None) -> None:
        self.settings = settings or FaceSettings()
        self._network = DenseNetwork(FACES)

    def find(self, image_rgb: NDArray[np.uint8], search: Search) -> Iterator[list[Place]]:
        """Yield the places, coarse to fine, best first; what `search` has found so far decides whether finer is worth it."""
        side = min(image_rgb.shape[:2])
        last = np.inf
        for group in self.settings.shorts:
            if np.isfinite(search.smallest()) and search.smallest() >= self.settings.descend * last:
                return
            last = FACES.side / group[-1] * side
            finds = suppress_finds([self._look(image_rgb, short, search.area) for short in group])
            if group is self.settings.shorts[-1]:
                finds = self._look_closer(image_rgb, finds, self.settings.tiny / group[-1] * side, search.area)
            yield _list_places(finds)

    def _look(self, image: NDArray[np.uint8], short: int, area: Area | None) -> Finds:
        return self._network.find(image, short=short, least=self.settings.least_place, area=area)

    def _look_closer(self, image: NDArray[np.uint8], finds: Finds, tiny: float, area: Area | None) -> Finds:
        """Return the finds and those of the part of the frame that is looked at once more, of one face the best."""
        crowd = find_crowd(finds, tiny, image.shape, area)
        return finds if crowd is None else suppress_finds([finds, self._look(image, self.settings.fine, crowd)])

    def close(self) -> None:
        """Free the network."""
        self._network.close()


def find_crowd(finds: Finds, tiny: float, shape: tuple[int, ...], area: Area | None) -> Area | None:
    """Return the part of a frame of this shape, and of the area, that holds all sure faces smaller than `tiny` px; None if no two.

    Its sides are eighths of the frame, so that the network is made for few sizes.
    """
    sides = (finds.boxes_xyxy[:, 2:] - finds.boxes_xyxy[:, :2]).max(axis=1, initial=0)
    small = np.flatnonzero((finds.scores >= _SURE) & (sides < tiny))
    if len(small) < 2:
        return None
    boxes, step = finds.boxes_xyxy[small], np.array([shape[1], shape[0]]) / 8
    low = np.floor((boxes[:, :2].min(axis=0) - _AROUND * tiny) / step).clip(0, 8) * step
    high = np.ceil((boxes[:, 2:].max(axis=0) + _AROUND * tiny) / step).clip(0, 8) * step
    left, top, right, bottom = area or (0, 0, shape[1], shape[0])
    crowd = max(int(low[0]), left), max(int(low[1]), top), min(int(high[0]), right), min(int(high[1]), bottom)
    return crowd if crowd[2] - crowd[0] > tiny and crowd[3] - crowd[1] > tiny else None


def _list_places(finds: Finds) -> list[Place]:
    """Return the places, sure ones first, of these whoever is lower in the picture, and so in front, first."""
    middles = (finds.boxes_xyxy[:, :2] + finds.boxes_xyxy[:, 2:]) / 2
    sizes = _HEAD_BY_FACE * (finds.boxes_xyxy[:, 2:] - finds.boxes_xyxy[:, :2]).max(axis=1, initial=0)
    heads = np.column_stack([middles, sizes])[finds.scores >= _SURE]
    places: list[Place] = []
    for i in np.lexsort([-middles[:, 1], finds.scores < _SURE]):
        apart = np.linalg.norm(heads[:, :2] - middles[i], axis=1) > _OTHER * np.maximum(heads[:, 2], sizes[i])
        box, nose = finds.boxes_xyxy[i], finds.points[i, 2]
        places.append(FacePlace(score=float(finds.scores[i]), box_xyxy=box, nose=nose, others=heads[apart]))
    return places


class FaceDetector(PlaceDetector):
    """Finds every person in one image by face, then by body. A context manager; one instance belongs to one thread."""

    def __init__(self, team: PoseTeam | None = None, faces: FaceSettings | None = None, bodies: TileSettings | None = None) -> None:
        super().__init__([FaceFinder(faces), BodyFinder(bodies)], team)
