"""Trackers that follow boxes from detection to detection: ByteTrack and OC-SORT of the `trackers` library.

For detectors that are cheap enough to look at every frame. They guess where a box goes by a Kalman filter and never look at the
picture, so they lose whoever the detector misses; `backends.people.tracker` looks where the landmarks point to.

Sources: Zhang et al., ByteTrack, ECCV 2022 (arXiv 2110.06864); Cao et al., Observation-Centric SORT, CVPR 2023 (arXiv 2203.14360).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from backends.people.base import Area, PersonTrack
from backends.people.body import boxes_from_poses
from backends.people.pose import Poses
from backends.people.trail import Trail

if TYPE_CHECKING:
    from backends.people.base import Look

__all__ = ["BoxTracker", "ByteTracker", "OcSortTracker"]

_RATE = 30.0
"""Frames per second in which the library counts how long somebody may be lost; it is given the times of the frames."""
_SURE = 0.5
"""Score from which a detection may begin a track and is matched first, in [0, 1]."""


class BoxTracker(ABC):
    """Keeps the tracks of one video by boxes; see `backends.people.base.PersonTracker`. Abstract: use a subclass.

    Args:
        width: of the frames, px.
        height: of the frames, px.
        lost_after: seconds after which somebody who is not seen any more is somebody new when they come back.
    """

    needs_every_frame: ClassVar[bool] = True

    def __init__(self, width: int, height: int, *, lost_after: float) -> None:
        self._size, self._lost_after = (width, height), lost_after
        self._library = self._open(lost_track_buffer=max(round(lost_after * _RATE), 1), frame_rate=_RATE)
        self._trails: dict[int, Trail] = {}
        self._ended: list[Trail] = []
        self._looked: list[tuple[int, float]] = []
        self._n_frames = 0

    @abstractmethod
    def _open(self, **settings: Any) -> Any:
        """Return the library's tracker."""

    def carry(self, index: int, seconds: float, look: Look, image_rgb: NDArray[np.uint8] | None = None) -> None:
        """Go on to a frame; nobody is looked at."""
        self._n_frames += 1
        self._looked = [*((i, t) for i, t in self._looked if seconds - t <= self._lost_after), (index, seconds)]
        for number in [n for n, trail in self._trails.items() if seconds - trail.seen_at > self._lost_after]:
            self._ended.append(self._trails.pop(number))

    def join(self, index: int, seconds: float, found: Poses, area: Area | None = None) -> int:
        """Match the people detected in this frame, all of it, with the tracks; return how many are new."""
        import supervision

        boxes = boxes_from_poses(found.pose_px, *self._size)
        there = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        detections = supervision.Detections(xyxy=boxes[there], confidence=found.scores[there], data={"row": there})
        matched = self._library.update(detections, timestamp=seconds)
        n_before = len(self._trails)
        for number, row in zip(matched.tracker_id.tolist(), matched.data.get("row", ()), strict=True):
            if number >= 0:
                trail = self._trails.setdefault(number, Trail(number=number, seen_at=seconds))
                trail.see(index, seconds, boxes[int(row)], found, int(row), self._looked)
        return len(self._trails) - n_before

    def trace_back(self, frames: Sequence[tuple[int, float, Look]]) -> None:
        """Do nothing: every frame has its own detection."""
        return

    def list_lost(self, seconds: float) -> NDArray[np.float32]:
        """Return nobody: people are detected in every frame."""
        return np.zeros((0, 4), np.float32)

    def list_known(self, index: int) -> Poses:
        """Return nobody: where somebody is in a frame is known only once people were detected in it."""
        return Poses.empty()

    def find_covered(self) -> NDArray[np.float32]:
        """Return the boxes (N, 4) px in which somebody was last seen."""
        return np.array([trail.boxes[-1] for trail in self._trails.values()], np.float32).reshape(-1, 4)

    def settle(self, *, least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        """Return what was not returned before: ended tracks, and all but the last frame seen of the others."""
        parts = self._judge(self._ended, least_frames)
        self._ended = []
        parts += [trail.take(but=1) for trail in self._trails.values() if trail.n_seen > least_frames and trail.n_open > 1]
        return sorted(parts, key=lambda part: part.number)

    def finish(self, *, least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        """Return what `settle` has not returned. Every sight is a detection, so that all tracks are confirmed."""
        return self._judge([*self._ended, *self._trails.values()], least_frames)

    def _judge(self, trails: list[Trail], least_frames: int) -> list[PersonTrack]:
        need = max(min(least_frames, self._n_frames), 1)
        return [trail.take() for trail in sorted(trails, key=lambda trail: trail.number) if trail.n_seen >= need]


class ByteTracker(BoxTracker):
    """ByteTrack: sure detections are matched first, unsure ones with whoever is left."""

    def _open(self, **settings: Any) -> Any:
        from trackers import ByteTrackTracker

        return ByteTrackTracker(
            track_activation_threshold=_SURE, high_conf_det_threshold=_SURE, minimum_consecutive_frames=1, **settings
        )


class OcSortTracker(BoxTracker):
    """OC-SORT: a lost track goes on from where it was seen, not from where it was guessed to be."""

    def _open(self, **settings: Any) -> Any:
        from trackers import OCSORTTracker

        return OCSORTTracker(high_conf_det_threshold=_SURE, minimum_consecutive_frames=1, **settings)
