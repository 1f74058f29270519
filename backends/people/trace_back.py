"""Back in time: whoever a detection finds first was there before, where no detection had found them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backends.people.body import find_heads
from backends.people.covers import cover_people
from backends.people.live import SURE, Live, continue_tracks
from backends.people.search import find_doubles

if TYPE_CHECKING:
    from backends.people.base import Look

__all__ = ["trace_back"]


def trace_back(
    new: Sequence[Live], others: Sequence[Live], frames: Sequence[tuple[int, float, Look]], size: tuple[int, int]
) -> None:
    """Follow tracks that have just begun back through earlier frames, each until it is out of sight, and add what is seen to them.

    Nobody takes a body that another track has in that frame.

    Args:
        new: seen in one frame each.
        others: everybody else.
        frames: (index, seconds, landmark network on that frame), the latest first, all before that frame.
        size: width and height of the frames, px.
    """
    shadows = {track.number: track.begin_shadow() for track in new}
    following = list(shadows.values())
    for index, seconds, look in frames:
        if not following:
            break
        taken = [(other.boxes[row], other.poses[row]) for other in others if (row := other.find_row(index)) is not None]
        boxes, poses = (np.array([pair[k] for pair in taken], np.float32) for k in (0, 1))
        following = _follow(following, index, seconds, look, boxes.reshape(-1, 4), poses.reshape(-1, 33, 4), size)
    times = {index: seconds for index, seconds, _ in frames}
    for track in new:
        shadow = shadows[track.number]
        if shadow.frames:
            track.begin_with(shadow, times[shadow.frames[0]])


def _follow(
    shadows: Sequence[Live],
    index: int,
    seconds: float,
    look: Look,
    other_boxes: NDArray[np.float32],
    other_poses: NDArray[np.float32],
    size: tuple[int, int],
) -> list[Live]:
    """See the shadows whose pose continues them, and return these."""
    regions, own = np.array([shadow.region for shadow in shadows]), np.stack([shadow.pose for shadow in shadows])
    covers = cover_people(find_heads(own), regions, np.concatenate([own, other_poses]))
    found = look(regions, covers)
    boxes, good = continue_tracks(shadows, found, size)
    seen = []
    for i in np.flatnonzero(good & (found.scores >= SURE)).tolist():  # nothing before this frame says that somebody was there
        with_this = np.vstack([other_boxes, boxes[i : i + 1]]), np.concatenate([other_poses, found.pose_px[i : i + 1]])
        if not find_doubles(*with_this)[-1, :-1].any():
            other_boxes, other_poses = with_this
            shadows[i].see(index, seconds, boxes[i], found, i)
            shadows[i].go_on(boxes[i], found, i)
            seen.append(shadows[i])
    return seen
