"""What all detectors share: finders say where somebody may be, one second look decides who is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from backends.people import DETECTORS
from backends.people.base import Area, Detections, PersonDetector, check_image
from backends.people.networks import THREADS
from backends.people.places import Place
from backends.people.pose import Poses
from backends.people.search import Search
from backends.people.team import PoseTeam

if TYPE_CHECKING:
    from backends.people.boxes import BoxSettings

__all__ = ["PlaceDetector", "PlaceFinder", "open_detector"]

_LEAST_BODY = 0.5


class PlaceFinder(Protocol):
    """Says where in a frame somebody may be."""

    def find(self, image_rgb: NDArray[np.uint8], search: Search) -> Iterable[Sequence[Place]]:
        """Return places in an RGB image (H, W, 3) uint8, group by group, the best of each first.

        Between two groups `search` knows who was found so far.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def open_detector(name: str, network: BoxSettings | None = None, team: PoseTeam | None = None) -> PersonDetector:
    """Return the detector of that name, with its own landmark networks if it is given no team.

    `network` is the file behind those that come without one.

    Raises:
        UnknownName: if there is no such detector.
        InvalidField: if it needs a network and none is named.
        ModelError: if the network is missing, another one than named, or of a kind that cannot be used.
    """
    detector = DETECTORS.load(name)
    made: PersonDetector = detector(team, network=network) if detector.needs_network else detector(team)
    return made


class PlaceDetector:
    """People at the places of several finders, each once. A context manager; one instance belongs to one thread.

    Args:
        finders: in the order in which they are asked; of two places of one person the first one counts.
        team: landmark networks; made, for as many threads as `THREADS` says, and closed here if None.
        least_body: from this score of the landmark network on, in [0, 1], a body counts.
    """

    needs_network: ClassVar[bool] = False
    """Whether the detector is made with the `BoxSettings` of a network."""

    def __init__(self, finders: Sequence[PlaceFinder], team: PoseTeam | None = None, *, least_body: float = _LEAST_BODY) -> None:
        self._finders, self._least_body = finders, least_body
        self._team = team or PoseTeam(THREADS.get())
        self._owns_team = team is None

    def detect(self, image_rgb: NDArray[np.uint8], known: Poses | None = None, area: Area | None = None) -> Detections:
        """Return the people in an RGB image (H, W, 3) uint8, best first; see `backends.people.base.PersonDetector.detect`.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        image = check_image(image_rgb)
        search = Search(image, self._team, least=self._least_body, known=known, area=area)
        for finder in self._finders:
            for places in finder.find(image, search):
                search.try_places(places)
        return search.result()

    def close(self) -> None:
        """Free the networks."""
        for finder in self._finders:
            finder.close()
        if self._owns_team:
            self._team.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
