"""When to look at the whole picture again: the landmarks carry whoever is known, so only changes ask for a detection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SOONEST", "Schedule", "Stir"]

SOONEST = 1.0
"""Seconds between the first detections, and before one that looks for somebody out of sight."""
_FIRST = 3
"""So many detections come one after the other: they find whom one missed, and decide who is a person."""
_CHANGE = 20
"""Grey levels by which a cell has changed, where sensors and codecs change less."""
_LEAST_SHARE, _MOST_SHARE = 0.001, 0.5
"""Share of the picture that changes where somebody comes in; more than half of it is the light or the camera."""
_LEAST_OF_PERSON = 0.25
"""And share of the smallest person followed: an arm that reaches out of its box is nobody new."""
_WIDTH = 160


class Schedule:
    """Waits longer while detections bring nothing new, and less as soon as something is up.

    The first three detections, and one whenever somebody has got out of sight, come `SOONEST` after the one before, or `every`
    where that is less; where something stirs and nobody is followed, half of `every`. After a detection that found somebody new, or
    left somebody missing, the next one comes `every` seconds later; after each other one the wait doubles, up to `rarest`.

    Args:
        every: seconds.
        rarest: seconds; less than `every` counts as `every`.
    """

    def __init__(self, every: float, rarest: float) -> None:
        self._every, self._rarest = every, max(every, rarest)
        self._wait = every
        self._n, self._last = 0, -np.inf

    def is_due(self, seconds: float, *, lost: bool, stirred: bool) -> bool:
        """Return whether to look now."""
        wait = min(SOONEST, self._every) if lost or self._n < _FIRST else self._every / 2 if stirred else self._wait
        return bool(seconds - self._last >= wait - 1e-6)

    def looked(self, seconds: float, n_changes: int) -> None:
        """Take note of a detection and of how many people it found anew or left missing."""
        self._n, self._last = self._n + 1, seconds
        calm = self._n > _FIRST and not n_changes
        self._wait = min(2 * self._wait, self._rarest) if calm else self._every


class Stir:
    """Notices when something moves where nobody is followed: by cells of the picture that change from one frame to the next."""

    def __init__(self) -> None:
        self._before: NDArray[np.int16] | None = None

    def moves(self, image_rgb: NDArray[np.uint8], covered_xyxy: NDArray[np.float32]) -> bool:
        """Return whether enough cells changed since the last frame outside of the boxes (N, 4) px (grown by half)."""
        import cv2

        scale = min(1.0, _WIDTH / image_rgb.shape[1])
        small = cv2.resize(image_rgb[..., 1], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.int16)
        before, self._before = self._before, small
        if before is None or before.shape != small.shape:
            return False
        changed = np.abs(small - before) > _CHANGE
        if changed.mean() > _MOST_SHARE:
            return False
        least = max(_LEAST_SHARE * changed.size, _LEAST_OF_PERSON * scale**2 * _find_smallest(covered_xyxy))
        for x1, y1, x2, y2 in _grow(covered_xyxy, 0.5) * scale:
            changed[max(int(y1), 0) : max(int(np.ceil(y2)), 0), max(int(x1), 0) : max(int(np.ceil(x2)), 0)] = False
        return bool(changed.sum() >= least)


def _find_smallest(boxes_xyxy: NDArray[np.float32]) -> float:
    """Return the area of the smallest box (px²), 0 if there is none."""
    return float(np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1).min(initial=np.inf)) if len(boxes_xyxy) else 0.0


def _grow(boxes_xyxy: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return boxes (N, 4) wider and higher by `share` of their size on the whole."""
    margin = np.tile(share / 2 * (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]), 2)
    grown: NDArray[np.float32] = boxes_xyxy + margin * np.array([-1, -1, 1, 1], np.float32)
    return grown
