"""How long bones usually are, how far keypoints usually leap, and how far beyond that somebody's are.

A bone seen by one camera looks shorter than it is, never longer. So bones are compared with the usual ones of all people, after
each person's own size in the window is taken out. Wrong keypoints in fewer than one of ten frames move neither.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from schemas.checks import check_array

__all__ = ["FAINT", "Compared", "Usual", "check_edges", "compare_bodies", "measure_usual", "see_points"]

Floats = NDArray[np.float64]

FAINT = 0.3
"""Keypoints below this visibility are guesses: nobody is told that a guess is wrong."""

_TOP, _LARGE = 0.9, 0.75
_SAMPLED = 4096
_LONGER, _BODY = 0.5, 0.25
"""A bone cannot be right that is longer than usual by half of itself and a quarter of a long bone together."""
_FARTHER, _AWAY = 3.0, 0.75
"""A leap cannot be right that is four times as far as nine of ten are, and three quarters of a long bone beyond."""


@frozen(kw_only=True, eq=False)
class Usual:
    """What bodies are like: `length` (E,) of bones and `leap` (V,) of keypoints, in sizes of the person; NaN = never seen."""

    length: Floats
    leap: Floats

    @property
    def body(self) -> float:
        """A long bone, in sizes of the person."""
        return float(np.nanquantile(self.length, 0.8)) if np.isfinite(self.length).any() else np.nan


@frozen(kw_only=True, eq=False)
class Compared:
    """`longer` (N, T, E) and `farther` (N, T, V) times as far as is usual; `stretch` and `leap` alike: above 1 cannot be right."""

    stretch: Floats
    longer: Floats
    leap: Floats
    farther: Floats
    usual: Usual


def measure_usual(pose: NDArray[Any], edges: NDArray[Any]) -> Usual:
    """Return how long bones are, and how far keypoints leap, nine in ten times at most.

    A person's size in a window is the weighted third quartile of its bones over their usual lengths; sizes and lengths are found
    in turn. Of many windows every second, third, … is measured.

    Args:
        pose: (N, T, V, 2 to 4), NaN = unseen; a fourth channel is visibility.
        edges: (E, 2) keypoint indices.

    Raises:
        InvalidField: if shapes do not fit.
    """
    points, ends = see_points(pose[:: 1 + len(pose) // _SAMPLED]), check_edges(edges)
    length = _measure_bones(points, ends)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        size = _take_median(length.reshape(len(length), -1, 1))[:, 0]
        for _ in range(3):
            usual = np.nanquantile(_divide(length, size), _TOP, axis=(0, 1))
            size = _fit_size(length, usual)
        leap = np.nanquantile(_divide(_measure_leaps(points), size), _TOP, axis=(0, 1))
    return Usual(length=usual, leap=leap)


def compare_bodies(points: Floats, ends: NDArray[np.int64], usual: Usual) -> Compared:
    """Return how N windows of points (N, T, V, 2) with bones `ends` (E, 2) differ from what is usual; NaN = unseen."""
    length, leaps = _measure_bones(points, ends), _measure_leaps(points)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        size = _fit_size(length, usual.length)
        length, leaps = _divide(length, size), _divide(leaps, size)
        return Compared(
            stretch=(length - usual.length) / (_LONGER * usual.length + _BODY * usual.body),
            longer=length / np.maximum(usual.length, 1e-9),
            leap=(leaps - usual.leap) / (_FARTHER * usual.leap + _AWAY * usual.body),
            farther=leaps / np.maximum(usual.leap, 0.01 * usual.body),
            usual=usual,
        )


def see_points(pose: NDArray[Any]) -> Floats:
    """Return the points (N, T, V, 2) of poses (N, T, V, 2 to 4), NaN where they are unseen or faint."""
    array = check_array("pose", np.asarray(pose), (None, None, None, None))
    points = np.array(array[..., :2], np.float64)
    if array.shape[3] == 4:
        points[~(array[..., 3] >= FAINT)] = np.nan
    return points


def check_edges(edges: NDArray[Any]) -> NDArray[np.int64]:
    """Return bones (E, 2) as whole numbers.

    Raises:
        InvalidField: if they have another shape.
    """
    return check_array("edges", np.asarray(edges), (None, 2)).astype(np.int64)


def _measure_bones(points: Floats, ends: NDArray[np.int64]) -> Floats:
    return np.asarray(np.linalg.norm(points[:, :, ends[:, 0]] - points[:, :, ends[:, 1]], axis=-1))


def _measure_leaps(points: Floats) -> Floats:
    """Return (N, T, V): how far a point is from the moments before and after and from the middle of both, whichever is nearest.

    Beside a leap a point is near one of its neighbours, and whoever moves on is near the middle. NaN at both ends.
    """
    leaps = np.full(points.shape[:3], np.nan)
    if points.shape[1] > 2:
        here, before, after = points[:, 1:-1], points[:, :-2], points[:, 2:]
        apart = [np.linalg.norm(here - other, axis=-1) for other in (before, after, (before + after) / 2)]
        leaps[:, 1:-1] = np.minimum(np.minimum(apart[0], apart[1]), apart[2])
    return leaps


def _divide(values: Floats, size: Floats) -> Floats:
    return np.asarray(values / np.maximum(size, 1e-9)[:, None, None])


def _fit_size(length: Floats, usual: Floats) -> Floats:
    """Return (N,): the weighted third quartile over bones of how long they are beside the usual, a long bone weighing more."""
    if not length.shape[2]:
        return np.full(len(length), np.nan)
    ratio = _take_median(length / np.maximum(usual, 1e-9))
    weight = np.where(np.isfinite(ratio), np.nan_to_num(usual), 0)
    order = np.argsort(np.where(np.isfinite(ratio), ratio, np.inf), axis=1)
    total = np.take_along_axis(weight, order, 1).cumsum(axis=1)
    at = np.argmax(total >= _LARGE * total[:, -1:], axis=1)
    size = np.take_along_axis(ratio, np.take_along_axis(order, at[:, None], 1), 1)[:, 0]
    return np.asarray(np.where(total[:, -1] > 0, size, np.nan))


def _take_median(values: Floats) -> Floats:
    """Return (N, M) medians over the second axis of (N, T, M), NaN left out; NumPy's own takes every row by itself."""
    ordered, n = np.sort(values, axis=1), np.isfinite(values).sum(axis=1)
    if not values.shape[1]:
        return np.full((len(values), values.shape[2]), np.nan)
    middle = [np.take_along_axis(ordered, np.maximum(at, 0)[:, None], axis=1)[:, 0] for at in ((n - 1) // 2, n // 2)]
    return np.asarray(np.where(n > 0, (middle[0] + middle[1]) / 2, np.nan))
