"""People through a video: a detection every few seconds, and in between each body followed by its own landmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

__all__ = ["PIPELINE", "Following", "PeopleFinder"]

PIPELINE = "blazepose-tiles/2"
"""Name and version of detector and tracker; changes whenever the same video would give other tracks."""

_SOON = 1.0
_LEAST_FRAMES = 3
_LEAST_CONFIRMED = 0.4


class PeopleFinder:
    """Finds and follows every person of a video. A context manager; one instance belongs to one thread.

    Args:
        detector: a name in `backends.people.DETECTORS`.
        detect_every: seconds between two detections; 1 s for the first three, which find whom one
            missed and decide who is a person, and while somebody is lost.
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
        following = self.follow()
        for index, seconds, image in frames:
            following.look(index, seconds, image)
        return following.finish()

    def follow(self) -> Following:
        """Begin a video whose frames come one by one, and whose tracks are wanted part by part."""
        return Following(self._estimator, self._detect, detect_every=self._detect_every, lost_after=self._lost_after)

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


class Following:
    """One video on its way: look at every frame, take what is certain as often as you like, finish.

    All parts taken of a track together are the track that `PeopleFinder.process` returns, whenever they were taken. Memory does not
    grow with the video if they are.
    """

    def __init__(
        self, estimator: PoseEstimator, detect: Callable[[NDArray[np.uint8]], Poses], *, detect_every: float, lost_after: float
    ) -> None:
        self._estimator, self._detect = estimator, detect
        self._detect_every, self._lost_after = detect_every, lost_after
        self._tracker: Tracker | None = None
        self._n_detections, self._before = 0, 0.0

    def look(self, index: int, seconds: float, image: NDArray[np.uint8]) -> None:
        """Look at the next frame; see `PeopleFinder.process`."""
        check_image(image)
        if self._tracker is None:
            self._tracker = Tracker(image.shape[1], image.shape[0], lost_after=self._lost_after)
        self._tracker.carry(index, seconds, partial(self._estimator.estimate_regions, image))
        since = seconds - self._before if self._n_detections else np.inf
        soon = self._n_detections in (1, 2) or self._tracker.has_lost(index)
        if since >= (min(_SOON, self._detect_every) if soon else self._detect_every):
            self._tracker.join(index, seconds, self._detect(image))
            self._n_detections, self._before = self._n_detections + 1, seconds

    def take(self) -> list[PersonTrack]:
        """Return what has become certain since the last time: parts of tracks, in order of appearance."""
        return [] if self._tracker is None else self._tracker.settle(least_frames=_LEAST_FRAMES, least_confirmed=_LEAST_CONFIRMED)

    def finish(self) -> list[PersonTrack]:
        """Return the rest, after the last frame."""
        return [] if self._tracker is None else self._tracker.finish(least_frames=_LEAST_FRAMES, least_confirmed=_LEAST_CONFIRMED)
