"""When a student does what, and how the body gets there: a semi-Markov chain of behaviours, and smooth motion between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.render.behaviours import BEHAVIOURS, CONTROLS, RATE, column, plan_segment
from curation.render.looks import Style

__all__ = ["TRANSITIONS", "Performance", "perform", "plan_behaviours"]

TRANSITIONS = np.array(
    [
        # attend write  page  phone  raise  aside  sleep  stand      from
        [0.00, 0.22, 0.15, 0.13, 0.15, 0.16, 0.09, 0.10],  # attend
        [0.25, 0.00, 0.18, 0.14, 0.12, 0.18, 0.08, 0.05],  # write
        [0.25, 0.27, 0.00, 0.13, 0.10, 0.15, 0.06, 0.04],  # turn-page
        [0.29, 0.16, 0.12, 0.00, 0.05, 0.22, 0.14, 0.02],  # phone
        [0.34, 0.10, 0.06, 0.04, 0.00, 0.10, 0.00, 0.36],  # raise-hand
        [0.30, 0.19, 0.14, 0.17, 0.07, 0.00, 0.08, 0.05],  # look-aside
        [0.45, 0.12, 0.10, 0.13, 0.03, 0.17, 0.00, 0.00],  # sleep
        [0.55, 0.17, 0.10, 0.03, 0.02, 0.13, 0.00, 0.00],  # stand
    ]
)
"""Probability of the next behaviour (columns) after one (rows), in the order of `BEHAVIOURS`; a behaviour never follows itself."""

SECONDS = {
    "attend": (4.0, 10.0), "write": (5.0, 12.0), "turn-page": (5.0, 11.0), "phone": (5.0, 12.0),
    "raise-hand": (4.0, 8.0), "look-aside": (4.0, 8.0), "sleep": (7.0, 12.0), "stand": (5.0, 11.0),
}  # fmt: skip
"""Shortest and longest duration of each behaviour, in seconds."""

SETTLE = 0.16
"""Time constant of a movement in seconds, at speed 1."""
LABEL_DELAY = 0.25
"""Seconds after a movement starts from which the new behaviour counts."""


@frozen(kw_only=True)
class Performance:
    """What one student does in one lesson: `controls` (T, C) and `behaviour` (T,) indices into `BEHAVIOURS`, at `RATE`."""

    controls: NDArray[np.float64]
    behaviour: NDArray[np.int64]


def plan_behaviours(seconds: float, rng: np.random.Generator, weights: Sequence[float] | None = None) -> list[tuple[str, int]]:
    """Return (behaviour, steps of 1/RATE s) that fill `seconds`; `weights` (8,) favour behaviours in this lesson."""
    favour = np.ones(len(BEHAVIOURS)) if weights is None else np.asarray(weights, np.float64)
    start = favour * np.array([0.24, 0.18, 0.14, 0.12, 0.08, 0.12, 0.07, 0.05])
    state, left, plan = int(rng.choice(len(BEHAVIOURS), p=start / start.sum())), int(np.ceil(seconds * RATE)), []
    inside = float(rng.uniform(0.0, 0.8))
    while left > 0:
        low, high = SECONDS[BEHAVIOURS[state]]
        steps = min(left, max(1, round((1 - inside) * float(rng.uniform(low, high)) * RATE)))
        plan.append((BEHAVIOURS[state], steps))
        left, inside = left - steps, 0.0
        row = TRANSITIONS[state] * favour
        state = int(rng.choice(len(BEHAVIOURS), p=row / row.sum()))
    return plan


def perform(seconds: float, style: Style, rng: np.random.Generator, weights: Sequence[float] | None = None) -> Performance:
    """Return one student's motion over `seconds`."""
    warm_up = 2.0
    plan = plan_behaviours(seconds + warm_up, rng, weights)
    targets = np.concatenate([plan_segment(name, steps, style, rng) for name, steps in plan])
    labels = np.concatenate([np.full(steps, BEHAVIOURS.index(name)) for name, steps in plan])
    controls = _smooth(targets, style.speed)
    _add_idle(controls, style, rng)
    delay = round(LABEL_DELAY / style.speed * RATE)
    labels = np.concatenate([np.full(delay, labels[0]), labels])[: len(labels)]
    skip = round(warm_up * RATE)
    return Performance(controls=controls[skip:], behaviour=labels[skip:].astype(np.int64))


def _smooth(targets: NDArray[np.float64], speed: float) -> NDArray[np.float64]:
    """Follow the targets as a critically damped spring does; standing up takes longer, fast strokes are left alone."""
    slow = np.ones(len(CONTROLS))
    for name, factor in {"stand": 1.5, "lean": 1.3, "fast_x": 0.2, "fast_y": 0.2, "fast_z": 0.2, "page": 0.5}.items():
        slow[column(name)] = factor
    return follow(targets, np.exp(-1 / (RATE * SETTLE / speed * slow)), targets[0])


def follow(targets: NDArray[np.float64], keep: NDArray[np.float64] | float, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (T, C) curves that run after `targets` (T, C) through two first-order lags; `keep` is the share kept per step."""
    smooth = np.empty_like(targets)
    first, second = start.copy(), start.copy()
    for step, target in enumerate(targets):
        first += (1 - keep) * (target - first)
        second += (1 - keep) * (first - second)
        smooth[step] = second
    return smooth


def _add_idle(controls: NDArray[np.float64], style: Style, rng: np.random.Generator) -> None:
    """Nobody sits still: small slow noise on torso, head and hands."""
    parts = {"lean": 0.02, "turn": 0.03, "tilt": 0.015, "head_pitch": 0.035, "head_yaw": 0.05, "head_roll": 0.03}
    parts |= {f"{side}{axis}": 0.007 for side in "lr" for axis in "xyz"}
    keep = float(np.exp(-1 / (RATE * 0.5)))
    scale = np.array(list(parts.values())) * style.fidget * np.sqrt((1 + keep) / (1 - keep))
    noise = rng.normal(0, scale, (len(controls), len(parts)))
    controls[:, [column(name) for name in parts]] += follow(noise, keep, np.zeros(len(parts)))
