"""People through a video: a detection every few seconds, and in between each body followed by its own landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from backends.people import DETECTORS
from backends.people.base import PersonDetector, PersonTrack, check_image
from backends.people.pose import PoseEstimator, Poses
from backends.people.regions import regions_from_boxes
from backends.people.tracker import Tracker
from schemas.checks import check_range

__all__ = ["PIPELINE", "PeopleFinder"]

PIPELINE = "blazepose-tiles/2"
"""Name and version of detector and tracker; changes whenever the same video would give other tracks."""

_SOON = 1.0
_LEAST_FRAMES = 3
_LEAST_CONFIRMED = 0.4


class PeopleFinder:
    """Finds and follows every person of a video. A context manager; one instance belongs to one thread.

    Args:
        detector: a name in `backends.people.DETECTORS`.
        detect_every: seconds between two detections; after 1 s already for whom the first one
            missed, and while somebody is lost.
        lost_after: seconds after which somebody who is not seen any more is somebody new when they come back.

    Examples:
        >>> with PeopleFinder() as finder:  # doctest: +SKIP
        ...     tracks = finder.process([(0, 0.0, image_rgb)])
    """

    def __init__(self, detector: str = "tiles", detect_every: float = 4.0, *, lost_after: float = 2.0) -> None:
        check_range("detect_every", detect_every, 0, 1e9)
        self._detect_every, self._lost_after = detect_every, lost_after
        self._detector: PersonDetector = DETECTORS.load(detector)()
        self._estimator = PoseEstimator()

    def process(self, frames: Iterable[tuple[int, float, NDArray[np.uint8]]]) -> list[PersonTrack]:
        """Return the tracks of the people, in the order in which they appear. Equal frames give equal tracks.

        Args:
            frames: (index, seconds, RGB image (H, W, 3) uint8), indices and seconds increasing, one size of image; any sampling: a
                person must not move further than about half their size from one frame to the next.

        Raises:
            InvalidField: if an image is not RGB uint8.
        """
        tracker: Tracker | None = None
        n_detections, before = 0, 0.0
        for index, seconds, image in frames:
            check_image(image)
            if tracker is None:
                tracker = Tracker(image.shape[1], image.shape[0], lost_after=self._lost_after)
            tracker.carry(index, seconds, partial(self._estimator.estimate_regions, image))
            since = seconds - before if n_detections else np.inf
            soon = n_detections == 1 or tracker.has_lost(index)
            if since >= (min(_SOON, self._detect_every) if soon else self._detect_every):
                tracker.join(index, seconds, self._detect(image))
                n_detections, before = n_detections + 1, seconds
        return [] if tracker is None else tracker.finish(least_frames=_LEAST_FRAMES, least_confirmed=_LEAST_CONFIRMED)

    def _detect(self, image: NDArray[np.uint8]) -> Poses:
        found = self._detector.detect(image)
        regions = regions_from_boxes(found.boxes_xyxy)[1] if found.regions is None else found.regions
        if found.world_m is None:
            return Poses(pose_px=found.pose_px, scores=found.scores, regions=regions)
        return Poses(pose_px=found.pose_px, scores=found.scores, regions=regions, world_m=found.world_m)

    def close(self) -> None:
        """Free the networks."""
        self._detector.close()
        self._estimator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
