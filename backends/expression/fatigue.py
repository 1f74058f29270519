"""Tired, and looking about: what a minute of blinks, closed eyes and turns of the head says of one student.

Seed E counts blinks to a threshold, after which somebody is "tired", and turns of the head as "looking left and right". The
measures of single frames come from `backends.people.eyes` and `backends.people.head`, or from the table of readings that
pre-annotation keeps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.eyes import Blink, compute_openness, compute_perclos, find_blinks
from schemas.checks import check_array, check_range
from schemas.errors import InvalidField

__all__ = ["Fatigue", "SideLook", "count_side_changes", "find_side_looks", "measure_fatigue"]

TIRED_PERCLOS = 0.15
"""Share of time with the eyes 80 % closed from which somebody counts as drowsy (W. Wierwille et al., 1994)."""
TIRED_BLINKS = 25.0
"""Blinks a minute from which somebody counts as tired; people at rest blink about 17 times (A. Bentivoglio et al., 1997)."""
_LEAST_SECONDS = 10.0


@frozen(kw_only=True)
class Fatigue:
    """`seconds` in which the eyes were seen; `blinks` in order of time; `per_minute` of them; `perclos` in [0, 1], NaN if unknown.

    `tired` is None where the eyes were seen for less than ten seconds.
    """

    seconds: float
    blinks: tuple[Blink, ...]
    per_minute: float
    perclos: float
    tired: bool | None


def measure_fatigue(
    times: NDArray[Any],
    aspects: NDArray[Any],
    *,
    yaw: NDArray[Any] | None = None,
    most_blinks: float = TIRED_BLINKS,
    most_closed: float = TIRED_PERCLOS,
) -> Fatigue:
    """Return how tired one student's eyes look.

    Args:
        times: (T,) seconds, strictly increasing, at least 12 a second for blinks.
        aspects: (T,) or (T, 2) eye aspect ratios, NaN = not seen.
        yaw: (T,) degrees, if known.
        most_blinks: a minute, from which on somebody counts as tired.
        most_closed: PERCLOS from which on somebody counts as tired.

    Raises:
        InvalidField: if the lengths differ or a limit is out of its range.
    """
    check_range("most_blinks", most_blinks, 0, 1000)
    check_range("most_closed", most_closed, 0, 1)
    blinks = find_blinks(times, aspects, yaw=yaw)
    openness = compute_openness(aspects)
    seconds = _count_seconds(np.asarray(times, np.float64), np.isfinite(openness))
    perclos = compute_perclos(openness)
    per_minute = 60 * len(blinks) / seconds if seconds > 0 else 0.0
    tired = bool(per_minute >= most_blinks or perclos >= most_closed) if seconds >= _LEAST_SECONDS else None
    return Fatigue(seconds=seconds, blinks=tuple(blinks), per_minute=per_minute, perclos=perclos, tired=tired)


def _count_seconds(at: NDArray[np.float64], seen: NDArray[np.bool_]) -> float:
    """Return for how long something was seen: each sample stands for the usual time between two."""
    return float(seen.sum() * np.median(np.diff(at))) if len(at) > 1 else 0.0


@frozen(kw_only=True)
class SideLook:
    """One look to a side, from `start` to `end` seconds; `side` is the student's own; `yaw` degrees at the farthest."""

    start: float
    end: float
    side: Literal["left", "right"]
    yaw: float


def find_side_looks(
    times: NDArray[Any], yaw: NDArray[Any], *, least_yaw: float = 30.0, back_yaw: float = 20.0, shortest: float = 0.4
) -> list[SideLook]:
    """Return the looks to a side of one student in order of time.

    A look begins where the head is turned by `least_yaw` and ends where it is back within `back_yaw` (two limits, so that a head at
    the limit is not counted again and again), on the other side, or not seen. What is shorter than `shortest` is noise.

    Args:
        times: (T,) seconds, strictly increasing.
        yaw: (T,) degrees, > 0 = to the own left, against straight ahead; NaN = not seen.
        least_yaw: degrees.
        back_yaw: degrees, at most `least_yaw`.
        shortest: seconds.

    Raises:
        InvalidField: if the lengths differ or `back_yaw` is more than `least_yaw`.
    """
    check_range("least_yaw", least_yaw, 0, 180)
    if not 0 <= back_yaw <= least_yaw:
        raise InvalidField("back_yaw", f"0 to least_yaw = {least_yaw:g}", back_yaw)
    at = check_array("times", times, (None,)).astype(np.float64)
    turn = check_array("yaw", yaw, (len(at),)).astype(np.float64)
    looks: list[SideLook] = []
    first: int | None = None
    for i in range(len(at) + 1):
        now = turn[i] if i < len(at) else np.nan
        if first is not None and not (np.sign(now) == np.sign(turn[first]) and abs(now) >= back_yaw):
            looks.append(_describe(at, turn, first, i - 1))
            first = None
        if first is None and abs(now) >= least_yaw:
            first = i
    return [look for look in looks if look.end - look.start >= shortest - 1e-9]


def _describe(at: NDArray[np.float64], turn: NDArray[np.float64], first: int, last: int) -> SideLook:
    part = turn[first : last + 1]
    farthest = float(part[np.abs(part).argmax()])
    return SideLook(start=float(at[first]), end=float(at[last]), side="left" if farthest > 0 else "right", yaw=farthest)


def count_side_changes(looks: list[SideLook], *, within: float = 5.0) -> int:
    """Return how often a look to one side is followed by one to the other within `within` seconds: looking left and right."""
    return sum(b.side != a.side and b.start - a.end <= within for a, b in pairwise(looks))
