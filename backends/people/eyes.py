"""Eyes and mouth: how far they are open in one face, and over time blinks and PERCLOS.

Sources: eye aspect ratio, Soukupová & Čech, Real-Time Eye Blink Detection using Facial Landmarks, CVWW 2016, eq. 1; PERCLOS,
Wierwille et al., Research on Vehicle-Based Driver Status/Performance Monitoring, 1994 (share of time with the eyes 80 % closed).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from schemas.checks import check_array, check_range

__all__ = [
    "Blink",
    "compute_eye_aspects",
    "compute_mouth_aspects",
    "compute_openness",
    "compute_perclos",
    "find_blinks",
    "hide_far_eyes",
]

_RIGHT_EYE = (33, 160, 158, 133, 153, 144)
_LEFT_EYE = (263, 387, 385, 362, 380, 373)
"""p1 to p6 of the equation: outer corner, upper lid twice, inner corner, lower lid twice."""
_MOUTH = (61, 81, 311, 291, 402, 178)
"""The same of the inner lips: right corner, upper lip twice, left corner, lower lip twice."""
_ONE_EYE, _AWAY = 20.0, 50.0
_AGAIN = 0.2
"""Seconds: what closes again so soon has not been open in between."""
_NOISE_SECONDS = 1.5
_FASTEST = 80.0
_OPEN = 0.9
"""Quantile of a person's aspect ratios that counts as open."""
_CLOSED = 0.4
"""Share of the open eye under which an eye is closed already, so that it cannot blink."""


def compute_eye_aspects(points_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return the eye aspect ratios (N, 2) of the right and left eyes of faces (N, 478, 3): about 0.3 open, 0.1 closed.

    Raises:
        InvalidField: if the points are not (N, at least 468, 3).
    """
    points = check_array("points_px", points_px, (None, None, 3)).astype(np.float64)[..., :2]
    return np.stack([_compute_aspects(points[:, eye]) for eye in (_RIGHT_EYE, _LEFT_EYE)], axis=1)


def hide_far_eyes(aspects: NDArray[Any], angles: NDArray[Any]) -> NDArray[np.float64]:
    """Return aspect ratios (N, 2) of right and left eyes with NaN for the eyes that heads turned by `angles` (N, 3) do not show.

    From 20° of yaw on the network guesses the eye on the far side; both where the face looks past the camera by more than 50°.
    """
    yaw, pitch = np.asarray(angles, np.float64)[:, :2].T
    away = np.cos(np.radians(yaw)) * np.cos(np.radians(pitch)) < np.cos(np.radians(_AWAY))
    hidden = np.stack([yaw < -_ONE_EYE, yaw > _ONE_EYE], axis=1) | away[:, None]
    return np.where(hidden, np.nan, np.asarray(aspects, np.float64))


def compute_mouth_aspects(points_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far the mouths (N,) of faces (N, 478, 3) are open: height by width of the inner lips, 0 closed, 0.6 a yawn.

    Raises:
        InvalidField: if the points are not (N, at least 468, 3).
    """
    points = check_array("points_px", points_px, (None, None, 3)).astype(np.float64)[..., :2]
    return _compute_aspects(points[:, _MOUTH])


def _compute_aspects(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (|p2 - p6| + |p3 - p5|) / (2 |p1 - p4|) of six points (N, 6, 2)."""
    height = np.linalg.norm(p[:, 1] - p[:, 5], axis=-1) + np.linalg.norm(p[:, 2] - p[:, 4], axis=-1)
    ratio: NDArray[np.float64] = height / np.maximum(2 * np.linalg.norm(p[:, 0] - p[:, 3], axis=-1), 1e-9)
    return ratio


def compute_openness(aspects: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far one person's eyes are open, (T,) in [0, 1], from their aspect ratios (T,) or (T, 2) through a clip.

    1 is what is open for this person: the 0.9 quantile of what was seen. NaN where nothing was.
    """
    both = np.asarray(aspects, np.float64)
    seen = _mean_of_known(both) if both.ndim == 2 else both
    if not np.isfinite(seen).any():
        return np.full(len(seen), np.nan)
    opened: NDArray[np.float64] = np.clip(seen / max(float(np.nanquantile(seen, _OPEN)), 1e-9), 0, 1)
    return opened


def _mean_of_known(both: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(both)
    total = np.where(known, both, 0).sum(axis=1)
    mean: NDArray[np.float64] = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
    return mean


def compute_perclos(openness: NDArray[Any], *, closed_below: float = 0.2) -> float:
    """Return the share in [0, 1] of the frames seen in which the eyes are less open than `closed_below`; NaN if none was seen."""
    seen = np.asarray(openness, np.float64)
    seen = seen[np.isfinite(seen)]
    return float((seen < closed_below).mean()) if len(seen) else float("nan")


@frozen(kw_only=True)
class Blink:
    """One blink: `start` and `end` in seconds, and how far the eyes closed, `depth` in (0, 1]."""

    start: float
    end: float
    depth: float


def find_blinks(
    times: NDArray[Any],
    aspects: NDArray[Any],
    *,
    yaw: NDArray[Any] | None = None,
    shortest: float = 0.05,
    longest: float = 0.5,
    least_depth: float = 0.25,
) -> list[Blink]:
    """Return the blinks of one person in order of time.

    A blink is a short dip of every eye that is seen: the aspect ratio falls under what it is before and after (its grey closing
    over `longest`), by `least_depth` of that and by four times the noise of the seconds around it. An eye that is seen in less than
    half of the samples around has no say. Two dips less than .2 s apart are one. What lasts longer (sleep, a lowered gaze) is no
    blink: see `compute_perclos`. Sampled below 12 times a second, blinks fall between the samples.

    Args:
        times: (T,) seconds, strictly increasing; a frame in which the face was not seen is absent or NaN in `aspects`.
        aspects: (T,) or (T, 2) eye aspect ratios.
        yaw: (T,) degrees, if known: while the head turns faster than 80°/s, lids are not told from shadows.
        shortest: seconds; one sample counts as lasting from the middle to the middle between its neighbours.
        longest: seconds.
        least_depth: share in (0, 1] of the open eye.

    Raises:
        InvalidField: if the lengths differ or a limit is out of its range.
    """
    check_range("shortest", shortest, 0, longest)
    check_range("least_depth", least_depth, 0, 1)
    at = check_array("times", times, (None,)).astype(np.float64)
    given = np.asarray(aspects, np.float64)
    eyes = check_array("aspects", given[:, None] if given.ndim == 1 else given, (len(at), None))
    if yaw is not None:
        turns = _is_turning(at, check_array("yaw", yaw, (len(at),)).astype(np.float64))
        eyes = np.where(turns[:, None], np.nan, eyes)
    dips = np.stack([_measure_dips(at, eye, longest) for eye in eyes.T], axis=1)
    known = np.isfinite(dips).any(axis=1)
    if known.sum() < 3:
        return []
    at, depth = at[known], np.nanmin(dips[known], axis=1)
    apart = 2.5 * np.median(np.diff(at))
    deep = depth >= np.maximum(least_depth, 4 * _measure_noise(at, depth))
    runs = [(a, b) for a, b in _join_runs(at, _list_runs(deep)) if a > 0 and b < len(at) - 1]
    return [
        Blink(start=start, end=end, depth=float(depth[a : b + 1].max()))
        for a, b in runs
        for start, end in [_span(at, a, b)]
        if shortest <= end - start <= longest and np.diff(at[a - 1 : b + 2]).max() <= apart
    ]


def _is_turning(at: NDArray[np.float64], yaw: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where (T,) a head turns fast: from the sample before, or to the one after."""
    if len(at) < 2:
        return np.zeros(len(at), bool)
    with np.errstate(invalid="ignore"):
        fast = np.abs(np.diff(yaw)) > _FASTEST * np.diff(at)
    turning: NDArray[np.bool_] = np.concatenate([[False], fast]) | np.concatenate([fast, [False]])
    return turning


def _measure_dips(at: NDArray[np.float64], eye: NDArray[np.float64], longest: float) -> NDArray[np.float64]:
    """Return how far an eye (T,) is closed against before and after, (T,) in [0, 1], NaN where it is not seen."""
    known = np.isfinite(eye)
    dips = np.full(len(eye), np.nan)
    if known.any():
        around = _close(at[known], eye[known], longest)
        closed = around < _CLOSED * np.quantile(eye[known], _OPEN)
        dips[known] = np.where(closed, 0.0, 1 - eye[known] / np.maximum(around, 1e-9))
    first, last = _find_windows(at, longest)
    counts = np.concatenate([[0], np.cumsum(known)])
    dips[2 * (counts[last] - counts[first]) < last - first] = np.nan
    return dips


def _measure_noise(at: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation (T,) of values (T,) in the seconds around each, robustly: by the median deviation."""
    around = [values[a:b] for a, b in zip(*_find_windows(at, 2 * _NOISE_SECONDS), strict=True)]
    return np.array([1.4826 * np.median(np.abs(near - np.median(near))) for near in around])


def _find_windows(at: NDArray[np.float64], span: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last + 1 of the samples within `span` / 2 seconds of each."""
    return np.searchsorted(at, at - span / 2, side="left"), np.searchsorted(at, at + span / 2, side="right")


def _close(at: NDArray[np.float64], values: NDArray[np.float64], span: float) -> NDArray[np.float64]:
    """Return the grey closing (maximum, then minimum) of values (T,) over windows of `span` seconds around each sample."""
    first, last = _find_windows(at, span)
    high = np.array([values[a:b].max() for a, b in zip(first, last, strict=True)])
    return np.array([high[a:b].min() for a, b in zip(first, last, strict=True)])


def _list_runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _join_runs(at: NDArray[np.float64], runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and at[first] - at[joined[-1][1]] < _AGAIN:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _span(at: NDArray[np.float64], first: int, last: int) -> tuple[float, float]:
    """Return from when to when samples `first` to `last` hold: to the middles between them and their neighbours."""
    before, after = at[max(first - 1, 0)], at[min(last + 1, len(at) - 1)]
    return float((before + at[first]) / 2), float((after + at[last]) / 2)
