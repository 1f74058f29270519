"""People through a video: a detection every few seconds, and in between each body followed by its own landmarks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from backends.people import TRACKERS
from backends.people.base import Area, Detections, PersonDetector, PersonTrack, PersonTracker, check_image
from backends.people.boxes import BoxSettings
from backends.people.detector import open_detector
from backends.people.networks import THREADS
from backends.people.pose import Poses
from backends.people.regions import regions_from_boxes
from backends.people.schedule import Schedule, Stir, choose_area
from backends.people.team import PoseTeam
from schemas.checks import check_range

__all__ = ["PIPELINE", "Following", "PeopleFinder"]

PIPELINE = "blazepose-tiles/12"
"""Name and version of detector and tracker; changes whenever the same video would give other tracks."""

_LEAST_FRAMES = 3
_LEAST_CONFIRMED = 0.4
_MOST_KEPT = 12
"""Frames before a detection in which whoever it finds first is looked for: 75 MB at 1920x1080."""


class PeopleFinder:
    """Finds and follows every person of a video. A context manager; one instance belongs to one thread.

    Args:
        detector: a name in `backends.people.DETECTORS`.
        detect_every: seconds between two detections where things change, see `backends.people.schedule.Schedule`.
        detect_rarest: seconds between two detections where nothing does.
        lost_after: seconds after which somebody who is not seen any more is somebody new when they come back; shorter absences
            are filled, and marked as filled.
        network: the file behind a detector that comes without one.
        pose: size of the landmark network, see `backends.people.networks.POSE_NETWORKS`.
        tracker: a name in `backends.people.TRACKERS`. One that cannot see by itself has people detected in every frame.
        threads: to compute on; the tracks do not depend on it.

    Examples:
        >>> with PeopleFinder() as finder:  # doctest: +SKIP
        ...     tracks = finder.process([(0, 0.0, image_rgb)])
    """

    def __init__(
        self,
        detector: str = "tiles",
        detect_every: float = 4.0,
        *,
        detect_rarest: float = 16.0,
        lost_after: float = 2.0,
        network: BoxSettings | None = None,
        tracker: str = "landmarks",
        pose: str = "full",
        threads: int = 1,
    ) -> None:
        check_range("detect_every", detect_every, 0, 1e9)
        check_range("detect_rarest", detect_rarest, 0, 1e9)
        self._tracker: Callable[..., PersonTracker] = partial(TRACKERS.load(tracker), lost_after=lost_after)
        self._plan = partial(Schedule, detect_every, detect_rarest)
        before = THREADS.set(threads)
        try:
            self._team = PoseTeam(threads, pose)
            self._detector: PersonDetector = open_detector(detector, network, self._team)
        finally:
            THREADS.reset(before)

    def process(self, frames: Iterable[tuple[int, float, NDArray[np.uint8]]]) -> list[PersonTrack]:
        """Return the tracks of the people, in the order in which they appear. Equal frames give equal tracks.

        Args:
            frames: (index, seconds, RGB image (H, W, 3) uint8), indices and seconds increasing, one size of image, which is kept
                for a moment and must not be written to; any sampling: a person must not move further than about half their size
                from one frame to the next.

        Raises:
            InvalidField: if an image is not RGB uint8.
        """
        following = self.follow()
        for index, seconds, image in frames:
            following.look(index, seconds, image)
        return following.finish()

    def follow(self) -> Following:
        """Begin a video whose frames come one by one, and whose tracks are wanted part by part."""
        return Following(self._team, self._detector.detect, self._tracker, self._plan())

    def close(self) -> None:
        """Free the networks."""
        self._detector.close()
        self._team.close()

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
        self,
        team: PoseTeam,
        detect: Callable[[NDArray[np.uint8], Poses, Area | None], Detections],
        make_tracker: Callable[[int, int], PersonTracker],
        schedule: Schedule,
    ) -> None:
        self._team, self._detect, self._make_tracker = team, detect, make_tracker
        self._schedule, self._stir = schedule, Stir()
        self._stirred: NDArray[np.float32] | None = None
        self._before: deque[tuple[int, float, NDArray[np.uint8]]] = deque(maxlen=_MOST_KEPT)
        self._tracker: PersonTracker | None = None
        self._boxed: list[PersonTrack] = []
        self._n_frames = 0

    def look(self, index: int, seconds: float, image: NDArray[np.uint8]) -> None:
        """Look at the next frame; see `PeopleFinder.process`."""
        check_image(image)
        self._n_frames += 1
        tracker = self._tracker = self._tracker or self._make_tracker(image.shape[1], image.shape[0])
        tracker.carry(index, seconds, partial(self._team.estimate_regions, image), image)
        stirred = self._stir.find(image, tracker.find_covered())
        self._stirred = self._stirred if stirred is None else stirred
        if tracker.needs_every_frame or self._schedule.is_due(seconds):
            self._detect_in(None, index, seconds, image)
            tracker.trace_back([(i, t, partial(self._team.estimate_regions, frame)) for i, t, frame in reversed(self._before)])
        else:
            self._look_for_some(tracker, index, seconds, image)
        if self._schedule.is_beginning:
            self._before.append((index, seconds, image))
        else:
            self._before.clear()

    def _look_for_some(self, tracker: PersonTracker, index: int, seconds: float, image: NDArray[np.uint8]) -> None:
        """Detect people where somebody has got out of sight, or something stirs, if it is time."""
        lost = tracker.list_lost(seconds)
        sought = lost if len(lost) or self._stirred is None else self._stirred[None]
        area = choose_area(sought, image.shape[1], image.shape[0]) if len(sought) else None
        if len(sought) and self._schedule.may_look_for(seconds, lost=bool(len(lost)), whole=area is None):
            self._detect_in(area, index, seconds, image)

    def _detect_in(self, area: Area | None, index: int, seconds: float, image: NDArray[np.uint8]) -> None:
        """Detect people in a part of the frame, or in all of it."""
        if self._tracker is None:
            return
        detected = self._detect(image, self._tracker.list_known(index), area)
        found, self._boxed = _split(index, detected)
        self._schedule.looked(seconds, self._tracker.join(index, seconds, found, area), whole=area is None)
        self._stirred = None

    def take(self) -> list[PersonTrack]:
        """Return what has become certain since the last time: parts of tracks, in order of appearance."""
        return [] if self._tracker is None else self._tracker.settle(least_frames=_LEAST_FRAMES, least_confirmed=_LEAST_CONFIRMED)

    def finish(self) -> list[PersonTrack]:
        """Return the rest, after the last frame; in a still image also whom only a box shows, of whom nobody can be followed."""
        if self._tracker is None:
            return []
        tracks = self._tracker.finish(least_frames=_LEAST_FRAMES, least_confirmed=_LEAST_CONFIRMED)
        first = 1 + max((track.number for track in tracks), default=-1)
        boxed = self._boxed if self._n_frames == 1 else []
        return [*tracks, *(evolve(track, number=first + i) for i, track in enumerate(boxed))]


def _split(index: int, found: Detections) -> tuple[Poses, list[PersonTrack]]:
    """Return who has landmarks, and each of the others as a track of this frame."""
    rows = np.isfinite(found.pose_px).any(axis=(1, 2))
    regions = regions_from_boxes(found.boxes_xyxy)[1] if found.regions is None else found.regions
    poses = Poses(pose_px=found.pose_px, scores=found.scores, regions=regions)
    poses = poses if found.world_m is None else evolve(poses, world_m=found.world_m)
    others = [
        PersonTrack(frames=[index], boxes_xyxy=found.boxes_xyxy[[i]], pose_px=found.pose_px[[i]], scores=found.scores[[i]])
        for i in np.flatnonzero(~rows)
    ]
    return poses.take(np.flatnonzero(rows)), others
