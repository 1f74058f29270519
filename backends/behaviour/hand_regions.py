"""Where the hands of a pose are, and their pictures: what the hand branch of seed A looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.people.body import find_heads
from backends.people.regions import crop_region

__all__ = ["SIDE", "cut_hands", "find_hand_regions"]

SIDE = 48
"""Side in px of a picture of hands: a phone is six to eight px wide in it."""
_WRISTS = [15, 16]
_FINEST = 8
"""A region is read in no more than so many pixels for one across, however large it is."""
_BY_HEAD, _BY_WRISTS = 1.95, 1.125
"""Side of the region by the size of the head, and by the distance of the wrists.

A third more, and a fifth less, told phone from writing less often (rendered lessons, development seed 100).
"""


def find_hand_regions(pose_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return regions (N, 4) = centre x, y, side, angle 0, of both hands of poses (N, 33, 4) px; NaN where no wrist is seen.

    The middle of both wrists; the square is about two heads wide, wider where the wrists are farther apart.
    """
    pose = np.asarray(pose_px, np.float64)
    wrists = pose[:, _WRISTS, :2]
    apart = np.linalg.norm(wrists[:, 0] - wrists[:, 1], axis=1)
    side = np.maximum(_BY_HEAD * find_heads(pose)[:, 2], _BY_WRISTS * apart)
    return np.column_stack([wrists.mean(axis=1), side, np.zeros(len(pose))])


def cut_hands(image_rgb: NDArray[np.uint8], region: NDArray[Any], side: int = SIDE) -> NDArray[np.uint8]:
    """Return a region (4,), without NaN, of a frame (H, W, 3) as (side, side, 3); black beyond the frame's edge.

    A phone is a few pixels of a frame: where the region has more than are asked for, they are averaged, not skipped.
    """
    import cv2

    times = min(max(1, round(float(region[2]) / side)), _FINEST)
    fine = crop_region(image_rgb, region, times * side)
    return np.asarray(cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
