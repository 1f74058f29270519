"""What all detectors share: finders say where somebody may be, one second look decides who is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from backends.people.base import Detections, check_image
from backends.people.places import Place
from backends.people.pose import PoseEstimator
from backends.people.search import Search

__all__ = ["PlaceDetector", "PlaceFinder"]

_LEAST_BODY = 0.5


class PlaceFinder(Protocol):
    """Says where in a frame somebody may be."""

    def find(self, image_rgb: NDArray[np.uint8], search: Search) -> Iterable[Place]:
        """Return places in an RGB image (H, W, 3) uint8, best first; `search` knows who was found so far."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class PlaceDetector:
    """People at the places of several finders, each once. A context manager; one instance belongs to one thread.

    Args:
        finders: in the order in which they are asked; of two places of one person the first one counts.
        estimator: the landmark network; made and closed here if None.
        least_body: from this score of the landmark network on, in [0, 1], a body counts.
    """

    def __init__(
        self, finders: Sequence[PlaceFinder], estimator: PoseEstimator | None = None, *, least_body: float = _LEAST_BODY
    ) -> None:
        self._finders, self._least_body = finders, least_body
        self._estimator = estimator or PoseEstimator()
        self._owns_estimator = estimator is None

    def detect(self, image_rgb: NDArray[np.uint8]) -> Detections:
        """Return the people in an RGB image (H, W, 3) uint8, best first.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        image = check_image(image_rgb)
        search = Search(image, self._estimator, least=self._least_body)
        for finder in self._finders:
            for place in finder.find(image, search):
                search.try_place(place)
        return search.result()

    def close(self) -> None:
        """Free the networks."""
        for finder in self._finders:
            finder.close()
        if self._owns_estimator:
            self._estimator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
