"""When and where to look for people again: the landmarks carry whoever is known, so only changes ask for a detection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backends.people.base import Area

__all__ = ["SOONEST", "Schedule", "Stir", "choose_area"]

SOONEST = 1.0
"""Seconds between the first two detections, and before one that looks for somebody out of sight."""
_FIRST_WAITS = (0.0, SOONEST, 1.5)
"""Seconds before each of the first detections: they find whom one missed, and decide who is a person.

The third one comes when the first two-second window is on its way to the annotators.
"""
_CHANGE = 20
"""Grey levels by which a cell has changed, where sensors and codecs change less."""
_LEAST_SHARE, _MOST_SHARE = 0.001, 0.5
"""Share of the picture that changes where somebody comes in; more than half of it is the light or the camera."""
_LEAST_OF_PERSON = 0.25
"""And by the area of the smallest person followed."""
_WIDTH = 160
_SHARES = (3, 2)
"""Parts of the picture's width and height that are looked at, smallest first; few, since networks are made for each size."""


class Schedule:
    """Waits longer while detections bring nobody new, and less as soon as they do.

    The first three looks at the whole picture come at 0, 1 and 2.5 seconds, or `every` after each other where that is less. After
    one that found somebody new, the next one comes `every` seconds later; after each other one the wait doubles, up to `rarest`. In
    between, a part of the picture is looked at where somebody has got out of sight, at most once in `SOONEST`, or where something
    stirs and nobody is followed, at most once in a quarter of `every`; the whole picture, if a part is not enough, in half of it.

    Args:
        every: seconds.
        rarest: seconds; less than `every` counts as `every`.
    """

    def __init__(self, every: float, rarest: float) -> None:
        self._every, self._rarest = every, max(every, rarest)
        self._wait = every
        self._n, self._last, self._last_whole = 0, -np.inf, -np.inf

    def is_due(self, seconds: float) -> bool:
        """Return whether to look at the whole picture now."""
        wait = min(_FIRST_WAITS[self._n], self._every) if self.is_beginning else self._wait
        return _have_passed(wait, seconds - self._last_whole)

    @property
    def is_beginning(self) -> bool:
        """Whether the first looks at the whole picture are still to come."""
        return self._n < len(_FIRST_WAITS)

    def may_look_for(self, seconds: float, *, lost: bool, whole: bool) -> bool:
        """Return whether somebody may be looked for now.

        Args:
            seconds: now.
            lost: somebody who has got out of sight, not somebody who may have come in.
            whole: in the whole picture, not in a part.
        """
        wait = min(SOONEST, self._every) if lost else self._every / (2 if whole else 4)
        return _have_passed(wait, seconds - self._last)

    def looked(self, seconds: float, n_new: int, *, whole: bool = True) -> None:
        """Take note of a detection, of how many people it found who were not known before, and of where it was."""
        self._last = seconds
        if whole:
            self._n, self._last_whole = self._n + 1, seconds
        if n_new or self._n <= len(_FIRST_WAITS):
            self._wait = self._every
        elif whole:
            self._wait = min(2 * self._wait, self._rarest)


def _have_passed(wait: float, seconds: float) -> bool:
    return bool(seconds >= wait - 1e-6)


def choose_area(sought_xyxy: NDArray[np.float32], width: int, height: int) -> Area | None:
    """Return the part of a picture to look at: a third or half as wide and high, the first of the boxes (N, 4) px in its middle.

    At the edge of the picture the box is nearer to that edge. None if it is too large for half, grown by half.
    """
    box = _grow(sought_xyxy[:1], 0.5)[0]
    for share in _SHARES:
        size = np.array([-(-width // share), -(-height // share)])
        if (box[2:] - box[:2] <= size).all():
            corner = np.clip(np.round((box[:2] + box[2:]) / 2 - size / 2), 0, [width, height] - size).astype(int)
            left, top = corner.tolist()
            return left, top, left + int(size[0]), top + int(size[1])
    return None


class Stir:
    """Notices when something moves where nobody is followed: by cells of the picture that change from one frame to the next."""

    def __init__(self) -> None:
        self._before: NDArray[np.int16] | None = None

    def find(self, image_rgb: NDArray[np.uint8], covered_xyxy: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return the box (4,) px of the cells that changed since the last frame, None if they are too few, or too many.

        What changed inside of the boxes `covered_xyxy` (N, 4) px (grown by half) does not count.
        """
        import cv2

        scale = min(1.0, _WIDTH / image_rgb.shape[1])
        green = cv2.extractChannel(image_rgb, 1)
        small = cv2.resize(green, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.int16)
        before, self._before = self._before, small
        if before is None or before.shape != small.shape:
            return None
        changed = np.abs(small - before) > _CHANGE
        if changed.mean() > _MOST_SHARE:
            return None
        least = max(_LEAST_SHARE * changed.size, _LEAST_OF_PERSON * scale**2 * _find_smallest(covered_xyxy))
        for x1, y1, x2, y2 in _grow(covered_xyxy, 0.5) * scale:
            changed[max(int(y1), 0) : max(int(np.ceil(y2)), 0), max(int(x1), 0) : max(int(np.ceil(x2)), 0)] = False
        if changed.sum() < least or not changed.any():
            return None
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32) / np.float32(scale)


def _find_smallest(boxes_xyxy: NDArray[np.float32]) -> float:
    """Return the area of the smallest box (px²), 0 if there is none."""
    return float(np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1).min(initial=np.inf)) if len(boxes_xyxy) else 0.0


def _grow(boxes_xyxy: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return boxes (N, 4) wider and higher by `share` of their size on the whole."""
    margin = np.tile(share / 2 * (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]), 2)
    grown: NDArray[np.float32] = boxes_xyxy + margin * np.array([-1, -1, 1, 1], np.float32)
    return grown
