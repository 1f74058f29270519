"""Blinks: when a student's eyes close for a moment, and how far they are open at any time."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["Blinks", "sample_blinks"]

Array = NDArray[np.float64]

PAUSE = (1.6, 5.0)
"""Shortest and longest time between two blinks, in seconds: about 17 a minute, as in people at rest."""
LENGTH = (0.14, 0.40)
"""Shortest and longest blink, in seconds."""
_LID = 0.3
"""Share of a blink in which the lid goes down, and again in which it goes up."""


@frozen(kw_only=True, eq=False)
class Blinks:
    """`start` (B,) and `length` (B,) of the blinks in seconds."""

    start: Array
    length: Array

    def open_at(self, times: Array) -> Array:
        """Return (F,) how far the lids are open at `times` (F,) seconds: 1 between blinks, 0 in the middle of one."""
        share = (times[:, None] - self.start) / self.length
        closed = np.clip(np.minimum(share, 1 - share) / _LID, 0, 1)
        opened: Array = 1 - closed.max(axis=1, initial=0.0)
        return opened


def sample_blinks(seconds: float, rng: np.random.Generator) -> Blinks:
    """Return the blinks of one student in a lesson of `seconds`."""
    n = int(seconds / PAUSE[0]) + 1
    length = rng.uniform(*LENGTH, n)
    start = np.cumsum(rng.uniform(*PAUSE, n)) + np.concatenate([[0.0], np.cumsum(length)[:-1]])
    inside = start + length < seconds
    return Blinks(start=start[inside], length=length[inside])
