"""What was seen of one person, frame by frame. A short gap is filled once the person is seen again, and marked as filled."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from backends.people.base import PersonTrack
from backends.people.pose import Poses

__all__ = ["Trail"]


@define(eq=False, kw_only=True)
class Trail:
    """The frames of one person, last one open: `see` adds one, `forget_last` takes it back, `take` hands out the first ones.

    In a filled frame, box and pose lie on the straight line between those seen before and after, by time; visibility and score are
    0 and the landmarks in metres NaN, since nobody has seen them.
    """

    number: int
    seen_at: float
    seen_before: float = -np.inf
    n_given: int = 0
    frames: list[int] = field(factory=list)
    boxes: list[NDArray[np.float32]] = field(factory=list)
    poses: list[NDArray[np.float32]] = field(factory=list)
    worlds: list[NDArray[np.float32]] = field(factory=list)
    scores: list[float] = field(factory=list)
    filled: list[bool] = field(factory=list)

    @property
    def columns(self) -> tuple[list[Any], ...]:
        """What is kept, one entry per frame."""
        return self.frames, self.boxes, self.poses, self.worlds, self.scores, self.filled

    @property
    def n_open(self) -> int:
        """In how many of the frames that are not handed out the person was seen."""
        return len(self.filled) - sum(self.filled)

    @property
    def n_seen(self) -> int:
        """In how many frames the person was seen."""
        return self.n_given + self.n_open

    def is_seen_in(self, frame: int) -> bool:
        """Whether `frame` is the last one in which the person was seen."""
        return bool(self.frames) and self.frames[-1] == frame

    def see(
        self, frame: int, seconds: float, box: NDArray[np.float32], poses: Poses, row: int, looked: Sequence[tuple[int, float]] = ()
    ) -> None:
        """Add a frame in which the person is seen; frames since the last one are filled.

        Args:
            frame: its index.
            seconds: its time.
            box: (4,) px.
            poses: of several people.
            row: which of them it is.
            looked: (index, seconds) of frames that were looked at, in order; those between the last frame and this one count.
        """
        if self.frames:
            last_box, last_pose, since = self.boxes[-1], self.poses[-1], max(seconds - self.seen_at, 1e-9)
            for missed, at in looked:
                if self.frames[-1] < missed < frame:
                    share = np.float32((at - self.seen_at) / since)
                    pose = last_pose + share * (poses.pose_px[row] - last_pose)
                    pose[:, 3] = 0
                    self._add(
                        missed, last_box + share * (box - last_box), pose, np.full((len(pose), 3), np.nan, np.float32), 0.0, True
                    )
        self._add(frame, box, poses.pose_px[row], poses.world_m[row], float(poses.scores[row]), False)
        self.seen_before, self.seen_at = self.seen_at, seconds

    def find_row(self, frame: int) -> int | None:
        """Return the row of a frame that is not handed out and in which the person was seen."""
        row = bisect_left(self.frames, frame)
        return row if row < len(self.frames) and self.frames[row] == frame and not self.filled[row] else None

    def begin_with(self, earlier: Trail, seconds: float) -> None:
        """Put frames in which the person was seen before this trail's only one, given the latest first, at its beginning.

        Args:
            earlier: with at least one frame.
            seconds: time of the first of them.
        """
        for column, before in zip(self.columns, earlier.columns, strict=True):
            column[:0] = reversed(before)
        self.seen_before = seconds

    def _add(self, *values: Any) -> None:
        for column, value in zip(self.columns, values, strict=True):
            column.append(value)

    def forget_last(self) -> None:
        """Take back the last frame seen, and what was filled before it."""
        self.seen_at = self.seen_before
        self._drop(slice(len(self.frames) - 1, None))
        while self.filled and self.filled[-1]:
            self._drop(slice(len(self.frames) - 1, None))

    def _drop(self, rows: slice) -> None:
        for column in self.columns:
            del column[rows]

    def last_two(self) -> tuple[int, int] | None:
        """Return the rows of the last two frames seen, if there are two."""
        rows = [row for row, filled in enumerate(self.filled) if not filled][-2:]
        return (rows[0], rows[1]) if len(rows) == 2 else None

    def take(self, *, but: int = 0) -> PersonTrack:
        """Hand out the frames up to the last one seen but `but`, filled ones among them, and forget them."""
        rows = [row for row, filled in enumerate(self.filled) if not filled]
        n = rows[-1 - but] + 1
        frames, boxes, poses, worlds, scores, filled = (column[:n] for column in self.columns)
        self._drop(slice(0, n))
        self.n_given += len(rows) - but
        return PersonTrack(
            number=self.number, frames=frames, boxes_xyxy=boxes, pose_px=poses, world_m=worlds, scores=scores, filled=filled
        )
