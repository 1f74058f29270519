"""`curate bench vision --part fatigue`: tired or not from courses of the eyes, and looking aside from yaw over time.

The eyes' courses are drawn: blinks of rested and of tired people, with the spread that the face network showed. Yaw is the
renderer's truth of heads in lessons, with the errors of the face network; nothing is painted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backends.expression.fatigue import find_side_looks, measure_fatigue
from curation.benchmarks import BenchResult
from curation.render.blinks import sample_blinks

__all__ = ["bench_fatigue"]

FPS, SECONDS, STUDENTS = 24.0, 60.0, 40
LEAST_RIGHT, LEAST_F1 = 0.9, 0.8
_NOISE = 0.012
"""Standard deviation of an eye's aspect ratio from frame to frame."""
_YAW_NOISE = 5.0
_OPEN, _SHUT = 0.3, 0.05

Array = NDArray[np.float64]


def bench_fatigue(*, rounds: int, seed: int = 0) -> BenchResult:
    """Measure both on `rounds` draws.

    Args:
        rounds: draws.
        seed: of the first.
    """
    right = [_measure_tired(np.random.default_rng(number)) for number in range(seed, seed + rounds)]
    looks = [_measure_looks(number) for number in range(seed, seed + rounds)]
    tired, f1 = float(np.mean(right)), float(np.mean(looks))
    rows = (
        f"tired or rested: {tired:.3f} right of {STUDENTS} students a round ({min(right):.3f} to {max(right):.3f})",
        f"looking aside by yaw over time: F1 {f1:.3f} on windows of 2 s ({min(looks):.3f} to {max(looks):.3f})",
    )
    limits = ((tired, LEAST_RIGHT, "tired or rested"), (f1, LEAST_F1, "looking aside, F1"))
    missed = tuple(f"{what} {value:.3f} is below {least}" for value, least, what in limits if value < least)
    line = f"fatigue (drawn courses): {tired:.3f} right; looking aside F1 {f1:.3f}; {rounds} rounds"
    return BenchResult(rows=rows, line=line, data={"tired": right, "looks_f1": looks}, missed=missed)


def _measure_tired(rng: np.random.Generator) -> float:
    """Return the share of students told rightly: rested, blinking often, or with eyes shut for long."""
    times = np.arange(round(SECONDS * FPS)) / FPS
    right = 0
    for number in range(STUDENTS):
        kind = number % 4
        opened = _draw_openness(times, kind, rng)
        aspects = _SHUT + (_OPEN - _SHUT) * opened[:, None] + rng.normal(0, _NOISE, (len(times), 2))
        right += measure_fatigue(times, aspects).tired is (kind >= 2)
    return right / STUDENTS


def _draw_openness(times: Array, kind: int, rng: np.random.Generator) -> Array:
    """Return how far eyes are open: rested (0, 1), 30 to 45 blinks a minute (2), or shut for a fifth to a half of the time (3)."""
    if kind == 2:
        starts = np.cumsum(rng.uniform(60 / 45, 60 / 30, 60))
        shut = ((times[:, None] >= starts) & (times[:, None] < starts + rng.uniform(0.12, 0.25, 60))).any(axis=1)
        return np.where(shut, 0.0, 1.0)
    opened = sample_blinks(SECONDS, rng).open_at(times)
    if kind == 3:
        for start in rng.permutation(10)[: rng.integers(2, 6)]:
            opened[(times >= 6 * start + 1) & (times < 6 * start + 1 + rng.uniform(4.5, 5.5))] = 0
    return opened


def _measure_looks(seed: int) -> float:
    """Return the F1 of windows in which a look aside is found, against those whose behaviour it is."""
    from curation.render.classroom import RenderConfig, set_up
    from curation.render.stage import observe

    config = RenderConfig(seed=seed, lessons=1, seconds=48.0)
    room, camera, plan = set_up(config, 0, "front")
    times = np.arange(round(config.seconds * 6)) / 6
    truth, _ = observe(plan, room, camera, times, 6.0)
    rng = np.random.default_rng(seed)
    hits = found = wanted = 0
    for person in range(truth.head.shape[1]):
        yaw = truth.head[:, person, 0] + rng.normal(0, _YAW_NOISE, len(times))
        ahead = float(np.median(yaw))
        looks = find_side_looks(times, yaw - ahead)
        for start in np.arange(0, config.seconds, 2.0).tolist():
            inside = (times >= start) & (times < start + 2)
            is_aside = (truth.behaviour[inside, person] == "look-aside").mean() > 0.5
            seconds = sum(max(0.0, min(look.end, start + 2.0) - max(look.start, start)) for look in looks)
            hits, found, wanted = hits + (seconds > 1 and is_aside), found + (seconds > 1), wanted + is_aside
    return 2 * hits / max(found + wanted, 1)
