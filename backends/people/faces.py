"""Detector ``faces``: the bodies below the faces in a frame, joined with the bodies that show no face."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.dense import FACES, DenseNetwork, suppress_finds
from backends.people.detector import PlaceDetector
from backends.people.places import FacePlace, Place
from backends.people.pose import PoseEstimator
from backends.people.search import Search
from backends.people.tiles import BodyFinder, TileSettings

__all__ = ["FaceDetector", "FaceFinder", "FaceSettings"]


@frozen(kw_only=True)
class FaceSettings:
    """How hard to look for faces.

    A face is looked at from `least_place` on, in [0, 1]. `shorts` are groups of lengths of the frame's short side, px, that the
    network sees, coarse to fine. A finer group is used only if so far nobody, or somebody whose region is smaller than
    `descend` tiles of the last one, was found.
    """

    least_place: float = 0.18
    shorts: tuple[tuple[int, ...], ...] = ((192,), (576, 864))
    descend: float = 3.0


class FaceFinder:
    """Places of faces in a frame, through MediaPipe's full-range face detector."""

    def __init__(self, settings: FaceSettings | None = None) -> None:
        self.settings = settings or FaceSettings()
        self._network = DenseNetwork(FACES)

    def find(self, image_rgb: NDArray[np.uint8], search: Search) -> Iterator[Place]:
        """Yield the places, coarse to fine, best first; what `search` has found so far decides whether finer is worth it."""
        side = min(image_rgb.shape[:2])
        last = np.inf
        for group in self.settings.shorts:
            if np.isfinite(search.smallest()) and search.smallest() >= self.settings.descend * last:
                return
            last = FACES.side / group[-1] * side
            finds = suppress_finds(
                [self._network.find(image_rgb, short=n, least=self.settings.least_place, area=search.area) for n in group]
            )
            for score, box, points in zip(finds.scores.tolist(), finds.boxes_xyxy, finds.points, strict=True):
                yield FacePlace(score=score, box_xyxy=box, nose=points[2])

    def close(self) -> None:
        """Free the network."""
        self._network.close()


class FaceDetector(PlaceDetector):
    """Finds every person in one image by face, then by body. A context manager; one instance belongs to one thread."""

    def __init__(
        self, estimator: PoseEstimator | None = None, faces: FaceSettings | None = None, bodies: TileSettings | None = None
    ) -> None:
        super().__init__([FaceFinder(faces), BodyFinder(bodies)], estimator)
