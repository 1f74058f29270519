"""The eight behaviours of ``learning-behaviours`` as targets of the body's controls over one segment of time.

A pose is a row of `CONTROLS`: metres in the student's seat frame (x own left, y up from the floor, z back), angles in radians.
`plan_segment` gives where a behaviour wants the controls to be; `curation.render.motion` smooths from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from curation.render.looks import Style

__all__ = ["BEHAVIOURS", "CONTROLS", "DESK_TOP", "RATE", "column", "plan_segment"]

BEHAVIOURS = ("attend", "write", "turn-page", "phone", "raise-hand", "look-aside", "sleep", "stand")
RATE = 24.0
"""Controls per second."""
DESK_TOP = 0.72
ON_DESK = DESK_TOP + 0.03

CONTROLS = (
    "stand", "lean", "turn", "tilt", "head_pitch", "head_yaw", "head_roll",
    "lx", "ly", "lz", "rx", "ry", "rz", "l_out", "r_out", "l_up", "r_up", "l_fist", "r_fist",
    "book", "paper", "phone", "pen", "page", "eyes", "fast_x", "fast_y", "fast_z",
)  # fmt: skip
_INDEX = {name: i for i, name in enumerate(CONTROLS)}
Array = NDArray[np.float64]
Point = tuple[float, float, float]


def column(name: str) -> int:
    """Return the index of a control."""
    return _INDEX[name]


class Segment:
    """The controls of one student over one behaviour, (T, len(CONTROLS)), and the draws that make it individual."""

    def __init__(self, n: int, style: Style, rng: np.random.Generator) -> None:
        self.n, self.style, self.rng = n, style, rng
        self.time = np.arange(n) / RATE
        self.values = np.zeros((n, len(CONTROLS)))
        self.set(eyes=1.0, lean=style.slouch + self.near(0.04), paper=0.15, tilt=self.near(0.03), turn=self.near(0.05))
        self.set(head_pitch=0.1 + style.head_down + self.near(0.06), head_yaw=self.near(0.1), head_roll=self.near(0.04))

    def near(self, spread: float) -> float:
        """Return a normal draw around 0."""
        return float(self.rng.normal(0, spread))

    def pick(self, *weights: float) -> int:
        """Return an index drawn by `weights`."""
        return int(self.rng.choice(len(weights), p=np.array(weights) / sum(weights)))

    def set(self, **controls: float | Array) -> None:
        """Set controls to a constant or a curve (T,)."""
        for name, value in controls.items():
            self.values[:, _INDEX[name]] = value

    def add(self, **controls: float | Array) -> None:
        """Add a constant or a curve (T,) to controls."""
        for name, value in controls.items():
            self.values[:, _INDEX[name]] += value

    def place(self, side: int, point: Point, *, out: float = 0.6, up: float = 0.0, fist: float = 0.0, spread: float = 0.02) -> None:
        """Put the wrist of `side` (+1 left) at `point`, given for the left; x is mirrored for the right."""
        name = "l" if side > 0 else "r"
        x, y, z = point
        self.set(
            **{
                f"{name}x": side * x + self.near(spread),
                f"{name}y": y + abs(self.near(spread / 3)),
                f"{name}z": z + self.near(spread),
            }
        )
        self.set(**{f"{name}_out": out + self.near(0.08), f"{name}_up": up, f"{name}_fist": fist})

    def wander(self, seconds: float, scale: float) -> Array:
        """Return a slow random curve (T,) of standard deviation about `scale` that changes about every `seconds`."""
        knots = int(np.ceil(self.n / (seconds * RATE))) + 2
        at = np.arange(knots) * seconds * RATE
        curve: Array = np.interp(np.arange(self.n), at, self.rng.normal(0, scale, knots))
        return curve

    def bumps(self, every: float, length: float, first: float = 0.3) -> Array:
        """Return (T,) of smooth bumps 0..1..0 of `length` seconds, about `every` seconds apart."""
        curve, start = np.zeros(self.n), first * float(self.rng.uniform(0.5, 1.5))
        while start < self.n / RATE:
            span = length * float(self.rng.uniform(0.8, 1.25))
            inside = np.clip((self.time - start) / span, 0, 1)
            curve = np.maximum(curve, np.sin(np.pi * inside) ** 2)
            start += max(every * float(self.rng.uniform(0.75, 1.3)), span)
        return curve


def _rest(s: Segment, *, on_chin: float = 0.12) -> None:
    """Put the hands to rest: folded, flat, chin in hand, arms crossed, one or both in the lap."""
    kind = s.pick(0.34, 0.22, on_chin, 0.12, 0.12, 0.08)
    a, b = s.style.side, -s.style.side
    if kind == 0:
        s.place(a, (0.04, ON_DESK + 0.01, -0.4), out=0.8, fist=0.5)
        s.place(b, (0.03, ON_DESK, -0.39), out=0.8, fist=0.5)
    elif kind == 1:
        s.place(a, (0.17, ON_DESK, -0.42), out=0.7)
        s.place(b, (0.19, ON_DESK, -0.41), out=0.7)
    elif kind == 2:
        s.place(a, (0.07, 1.03, -0.25), out=0.25, up=1.0, fist=0.8)
        s.place(b, (0.06, ON_DESK, -0.38), out=0.8)
        s.add(lean=0.14, tilt=-0.06 * a, head_roll=-0.14 * a)
    elif kind == 3:
        s.place(a, (-0.09, 0.775, -0.25), out=1.1, fist=0.6)
        s.place(b, (-0.1, 0.755, -0.28), out=1.1, fist=0.6)
    elif kind == 4:
        s.place(a, (0.1, 0.57, -0.2), out=0.5)
        s.place(b, (0.09, 0.57, -0.21), out=0.5)
    else:
        s.place(a, (0.12, ON_DESK, -0.4), out=0.7)
        s.place(b, (0.1, 0.57, -0.2), out=0.5)


def attend(s: Segment) -> None:
    """Sit, look ahead, hands at rest; now and then a glance down or a little to the side, or a note."""
    _rest(s)
    s.add(head_yaw=s.wander(2.2, 0.12), head_pitch=s.wander(2.5, 0.05) + 0.3 * s.bumps(7.0, 0.8, 2.5) * (s.rng.random() < 0.35))


def write(s: Segment) -> None:
    """Head lowered, one hand making small strokes that drift over the line, the other flat on the paper; a glance up at times."""
    main = s.style.hand
    reach = s.style.reach
    s.set(paper=1.0, pen=1.0, lean=0.24 + s.style.slouch + s.near(0.05), turn=-0.05 * main)
    s.set(head_pitch=0.72 + s.style.head_down + s.near(0.08) + s.wander(2.5, 0.05), head_yaw=-0.1 * main + s.wander(2.0, 0.06))
    s.add(head_roll=0.1 * main)
    s.place(main, (0.09, ON_DESK + 0.015, -0.37 + reach), out=0.75, fist=0.75)
    s.place(-main, (0.1, ON_DESK, -0.4 + reach), out=0.8)
    line = 1.0 + float(s.rng.uniform(1.2, 2.6))
    along = (s.time / line + s.rng.random()) % 1.0
    glance = s.bumps(6.0, 1.2, 3.0) * (s.rng.random() < 0.5)
    writing = 1 - np.clip(glance * 1.6, 0, 1)
    pace = 2 * np.pi * np.cumsum(s.style.speed * (3.4 + s.wander(1.0, 0.6))) / RATE
    size = 0.011 * s.style.amplitude
    s.set(fast_x=(0.075 * (along - 0.5) + size * 0.6 * np.sin(pace + 1)) * writing, fast_z=size * np.sin(pace) * writing)
    s.set(fast_y=0.006 * np.maximum(np.sin(pace * 0.5), 0) * writing)
    s.add(head_pitch=-0.55 * glance)


def turn_page(s: Segment) -> None:
    """Head lowered over an open book, hands wide apart on its edges; one hand sweeps over to turn a leaf every 2 s or so."""
    main = s.style.hand
    reach = s.style.reach
    raised = 0.07 * s.pick(0.6, 0.4)
    s.set(book=1.0, lean=0.1 + s.style.slouch + s.near(0.05))
    s.set(
        head_pitch=0.68 + s.style.head_down + s.near(0.09), head_yaw=0.14 * np.sin(2 * np.pi * s.time / 2.4) + s.wander(2.0, 0.05)
    )
    s.place(main, (0.23, ON_DESK + raised, -0.42 + reach), out=0.75)
    s.place(-main, (0.23, ON_DESK + raised, -0.42 + reach), out=0.75)
    sweep = s.bumps(1.9 / s.style.speed, 1.0 / s.style.speed, 0.4)
    name = "l" if main > 0 else "r"
    s.add(**{f"{name}x": -main * 0.34 * sweep, f"{name}y": 0.08 * s.style.amplitude * sweep, f"{name}z": 0.02 * sweep})
    s.set(page=sweep)


def phone(s: Segment) -> None:
    """Head down over a phone held up before the lower chest, hands close together, thumbs moving; or in one hand only."""
    main = s.style.hand
    height = 0.80 + 0.03 * s.style.amplitude + s.near(0.02)
    s.set(phone=1.0, lean=0.04 + s.style.slouch + s.near(0.05))
    s.set(head_pitch=0.58 + s.style.head_down + s.near(0.07) + s.wander(3.0, 0.04), head_yaw=s.near(0.08) + s.wander(3.0, 0.03))
    s.place(main, (0.055, height, -0.31), out=0.5, up=0.55, fist=0.6, spread=0.012)
    if s.pick(0.82, 0.18) == 0:
        s.place(-main, (0.06, height, -0.31), out=0.5, up=0.55, fist=0.6, spread=0.012)
    else:
        s.place(-main, (0.13, ON_DESK, -0.38), out=0.8)
    tap = np.maximum(np.sin(2 * np.pi * np.cumsum(2.2 + s.wander(0.8, 0.8)) / RATE), 0)
    s.set(fast_y=0.005 * tap, fast_x=0.006 * s.wander(0.3, 1.0))


def raise_hand(s: Segment) -> None:
    """One arm up, stretched or with the elbow low; the other hand at rest."""
    _rest(s, on_chin=0.0)
    side = s.style.side if s.rng.random() < 0.75 else -s.style.side
    if s.pick(0.74, 0.26) == 0:
        s.place(side, (0.22 + s.near(0.05), 1.45 + 0.05 * s.style.amplitude, -0.1), out=0.6, up=1.0, fist=0.2, spread=0.03)
        s.add(tilt=-0.05 * side)
    else:
        s.place(side, (0.27, 1.18 + s.near(0.03), -0.24), out=0.4, up=1.0, fist=0.3, spread=0.03)
    name = "l" if side > 0 else "r"
    wave = np.sin(2 * np.pi * s.time * float(s.rng.uniform(0.8, 1.8))) * (s.rng.random() < 0.4)
    s.add(**{f"{name}x": 0.04 * wave * s.style.amplitude})
    s.set(head_pitch=0.04 + s.near(0.06), head_yaw=s.near(0.1) + s.wander(2.0, 0.08))


def look_aside(s: Segment) -> None:
    """Head, and some of the shoulders, turned to a neighbour; sides may change."""
    _rest(s)
    side = float(s.rng.choice([-1.0, 1.0]))
    yaw = side * float(s.rng.uniform(0.8, 1.25)) * np.ones(s.n)
    if s.n > 4 * RATE and s.rng.random() < 0.4:
        yaw[int(s.n * float(s.rng.uniform(0.4, 0.6))) :] *= -1
    s.set(turn=0.32 * yaw + s.near(0.05), head_yaw=0.78 * yaw + s.wander(1.5, 0.06))
    s.add(head_pitch=s.wander(2.0, 0.06), head_roll=0.06 * side, tilt=-0.05 * side)


def sleep(s: Segment) -> None:
    """Lie on the desk, head on the folded arms."""
    breath = 0.012 * np.sin(2 * np.pi * s.time / 3.4)
    lean = 0.92 + s.near(0.04)
    side = float(s.style.side)
    s.set(lean=lean + breath, turn=s.near(0.06), eyes=0.0, head_pitch=0.42 + s.near(0.08), paper=0.0)
    s.set(head_yaw=side * float(s.rng.uniform(0.0, 0.55)), head_roll=side * float(s.rng.uniform(0.1, 0.45)), tilt=s.near(0.05))
    s.place(1, (0.08, ON_DESK + 0.01, -0.53), out=1.4, spread=0.025)
    s.place(-1, (0.07, ON_DESK, -0.52), out=1.4, spread=0.025)


def stand(s: Segment) -> None:
    """On one's feet at the desk: hands by the sides, on the desk, or one of them speaking."""
    s.set(stand=1.0, lean=0.03 + s.near(0.03), turn=s.near(0.12) + s.wander(3.0, 0.06), head_pitch=0.12 + s.near(0.08))
    s.add(head_yaw=s.wander(2.0, 0.14))
    kind = s.pick(0.4, 0.3, 0.3)
    a = s.style.side
    if kind == 1:
        s.place(a, (0.2, ON_DESK + 0.06, -0.16), out=0.7)
        s.place(-a, (0.2, ON_DESK + 0.06, -0.16), out=0.7)
        s.add(lean=0.22)
        return
    s.place(a, (0.25, 0.9, 0.08), out=0.5, fist=0.4)
    s.place(-a, (0.25, 0.9, 0.08), out=0.5, fist=0.4)
    if kind == 2:
        s.place(a, (0.12, 1.16, -0.18), out=0.6, up=0.5)
        name = "l" if a > 0 else "r"
        s.add(**{f"{name}y": s.wander(0.5, 0.07), f"{name}x": s.wander(0.6, 0.06)})


_PLANS: dict[str, Callable[[Segment], None]] = {
    "attend": attend, "write": write, "turn-page": turn_page, "phone": phone,
    "raise-hand": raise_hand, "look-aside": look_aside, "sleep": sleep, "stand": stand,
}  # fmt: skip


def plan_segment(behaviour: str, n: int, style: Style, rng: np.random.Generator) -> Array:
    """Return the targets (n, len(CONTROLS)) of one behaviour over n steps of 1/RATE s."""
    segment = Segment(n, style, rng)
    _PLANS[behaviour](segment)
    return segment.values
