"""Who sits still: nobody needs to be looked at again of whom the picture shows no movement since the landmark network's last look.

How far things have moved is read from brightness alone, without a search: where an edge of slope g has moved by d, brightness has
changed by g d (Horn and Schunck, Determining optical flow, 1981, equation 2). The change in a small patch by its slope is thus its
movement, at any contrast. What is no movement only adds to the change: noise, light that flickers, something that comes into view.
So in a noisy picture, or a dark one, people are looked at in every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.covers import Cover
from backends.people.live import SURE, Live

__all__ = ["Still", "measure_movement"]

_SIDE = 256
"""Pixels that the landmark network has along a region."""
_MOST_MOVED = 1.0
"""By so many of these pixels anything of a person may have moved who sits still."""
_CELL, _PATCH = 2.0, 8
"""Of these pixels along a cell, cells along a patch: together about a hand."""
_FLAT = 0.5
"""By the mean slope; a patch that is flatter counts as being this much steeper than it is, since noise moves in it."""
_MARGIN = 0.025
"""Around a person's box, by the side of the region."""
_LOOKS = 3
"""So many looks in a row come before one is left out: they settle where somebody is."""
_LONGEST = 0.5
"""Seconds after a look in which others may be left out."""
_COVER_MOVED = 0.06
"""By the side of the region: so far may the outlines be that are painted over from where they were."""


@frozen(kw_only=True, eq=False)
class _Glimpse:
    """One person at the last look: brightness (h, w) of the cells of `zone`, left, top, right, bottom px, and what was found."""

    zone: tuple[int, int, int, int]
    cell: float
    brightness: NDArray[np.float32]
    seconds: float
    pose: NDArray[np.float32]
    cover: Cover
    n_looks: int


class Still:
    """Remembers how the people followed in one video looked when the landmark network last looked at them.

    For each frame first `find`, then, once it is known who was seen in it, `note`.
    """

    def __init__(self) -> None:
        self._glimpses: dict[int, _Glimpse] = {}
        self._grey: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)
        self._asked: list[tuple[Live, Cover, float, bool]] = []
        self._seconds, self._noted = 0.0, -1

    def find(
        self, image_rgb: NDArray[np.uint8], seconds: float, tracks: Sequence[Live], covers: Sequence[Cover], sides: NDArray[Any]
    ) -> NDArray[np.bool_]:
        """Return (N,) who need not be looked at in the next frame: seen for sure a moment ago, and not moved since.

        Args:
            image_rgb: the frame (H, W, 3) uint8.
            seconds: its time.
            tracks: N people.
            covers: what is to be painted over for each of them.
            sides: (N,) of their regions, px.
        """
        import cv2

        self._grey, self._seconds = np.asarray(cv2.extractChannel(image_rgb, 1), np.uint8), seconds
        people = zip(tracks, covers, sides.tolist(), strict=True)
        self._asked = [(*person, self._is_still(*person)) for person in people]
        return np.array([is_still for *_, is_still in self._asked], bool)

    def _is_still(self, track: Live, cover: Cover, side: float) -> bool:
        glimpse = self._glimpses.get(track.number)
        if glimpse is None or glimpse.n_looks < _LOOKS or self._seconds - glimpse.seconds > _LONGEST + 1e-6:
            return False
        if not track.is_seen_in(self._noted) or not np.array_equal(track.pose, glimpse.pose):
            return False
        if not _are_alike(glimpse.cover, cover, _COVER_MOVED * side):
            return False
        now = _shrink(self._grey, glimpse.zone, glimpse.cell)
        return bool(measure_movement(glimpse.brightness, now) * glimpse.cell <= _MOST_MOVED * side / _SIDE)

    def note(self, index: int) -> None:
        """Remember the looks at the frame `index`, which `find` was given; who was not seen for sure in it has to begin anew."""
        self._noted, before, self._glimpses = index, self._glimpses, {}
        for track, cover, side, was_still in self._asked:
            if track.is_seen_in(index) and track.scores[-1] >= SURE:
                old = before.get(track.number)
                n_looks = 0 if old is None else old.n_looks
                self._glimpses[track.number] = old if old and was_still else self._glance(track, cover, side, n_looks + 1)

    def _glance(self, track: Live, cover: Cover, side: float, n_looks: int) -> _Glimpse:
        (height, width), margin = self._grey.shape, _MARGIN * side
        low, high = np.floor(track.box[:2] - margin), np.ceil(track.box[2:] + margin)
        left, top, right, bottom = np.clip([*low, *high], 0, [width, height, width, height]).astype(int).tolist()
        zone, cell = (left, top, right, bottom), max(_CELL * side / _SIDE, 1.0)
        return _Glimpse(
            zone=zone,
            cell=cell,
            brightness=_shrink(self._grey, zone, cell),
            seconds=self._seconds,
            pose=track.pose,
            cover=cover,
            n_looks=n_looks,
        )


def measure_movement(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Return how far, in pixels, the patch has moved that has moved most between two pictures (h, w) of brightness.

    Movements up to a pixel are told well; larger ones, and changes that are no movements, come out as more than a pixel.
    """
    import cv2

    across, down = (cv2.Sobel(before, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
    slope, change = cv2.magnitude(across, down), cv2.absdiff(before, now)
    patch = (_PATCH, _PATCH)
    moved = cv2.blur(change, patch) / (cv2.blur(slope, patch) + (_FLAT * float(slope.mean()) + 1e-3))
    return float(moved.max())


def _shrink(grey: NDArray[np.uint8], zone: tuple[int, int, int, int], cell: float) -> NDArray[np.float32]:
    """Return the mean brightness (h, w) of the cells of a zone of the picture, each `cell` px wide and high, nearly."""
    import cv2

    left, top, right, bottom = zone
    size = max(round((right - left) / cell), 2), max(round((bottom - top) / cell), 2)
    cells: NDArray[np.float32] = cv2.resize(grey[top:bottom, left:right], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return cells


def _are_alike(one: Cover, other: Cover, most: float) -> bool:
    """Whether two covers paint over the same, but for a shift of `most` px."""
    if [len(polygon) for polygon in one.polygons] != [len(polygon) for polygon in other.polygons]:
        return False
    return not one.polygons or bool(np.abs(np.concatenate(one.polygons) - np.concatenate(other.polygons)).max() <= most)
