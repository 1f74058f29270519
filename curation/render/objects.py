"""What lies on the desks and in the hands: paper, book, phone, pen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.render.behaviours import DESK_TOP, column
from curation.render.strokes import limb, polygon, tone

if TYPE_CHECKING:
    from curation.render.figure import Figure

__all__ = ["draw_held", "draw_on_desk"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Pair = tuple[float, float]


def _sheet(
    image: Image,
    figure: Figure,
    centre: Pair,
    size: Pair,
    colour: tuple[int, int, int],
    lift: float = 0.004,
) -> None:
    (x, z), (w, d) = centre, (size[0] / 2, size[1] / 2)
    y = DESK_TOP + lift
    px = figure.see(np.array([[x - w, y, z - d], [x + w, y, z - d], [x + w, y, z + d], [x - w, y, z + d]]))
    polygon(image, px, colour)


def draw_on_desk(image: Image, figure: Figure) -> None:
    """Draw paper and book: each lies at the side until it is used, then before the student."""
    state = figure.body.objects[figure.step]
    paper, book = state[column("paper")], state[column("book")]
    _sheet(image, figure, (0.28 * (1 - paper), -0.5 + 0.08 * paper), (0.21, 0.28), (240, 240, 236))
    if book < 0.5:
        _sheet(image, figure, (-0.3 + 0.4 * book, -0.5), (0.17, 0.24), (84, 60, 110), 0.02)
        return
    z = -0.45
    _sheet(image, figure, (0.0, z), (0.42, 0.27), (110, 84, 60), 0.006)
    for side in (-1, 1):
        _sheet(image, figure, (side * 0.1, z), (0.195, 0.25), (246, 242, 230) if side > 0 else (236, 232, 220), 0.014)
        for line in range(4):
            _sheet(image, figure, (side * 0.1, z - 0.09 + 0.055 * line), (0.15, 0.008), (170, 168, 164), 0.015)
    page = state[column("page")]
    if page > 0.04:
        angle = np.pi * page * 0.75
        x, y = 0.19 * np.cos(angle), 0.19 * np.sin(angle)
        turned = -1.0 if state[column("lx")] > 0.12 else 1.0
        edge = np.array([[0, 0.0, -0.12], [0, 0.0, 0.12], [turned * x, y, 0.12], [turned * x, y, -0.12]])
        polygon(image, figure.see(edge + np.array([0.0, DESK_TOP + 0.015, z])), (228, 224, 212))


def draw_held(image: Image, figure: Figure) -> None:
    """Draw the phone between the hands, the pen in the writing hand."""
    body, k = figure.body, figure.step
    state = body.objects[k]
    points = body.points[k]
    if state[column("phone")] > 0.5:
        close = np.linalg.norm(points[15] - points[16]) < 0.2
        high = 0 if points[15, 1] > points[16, 1] else 1
        middle = points[[19, 20]].mean(axis=0) if close else points[19 + high]
        corners = np.array([[-0.037, -0.035, 0.01], [0.037, -0.035, 0.01], [0.037, 0.09, -0.03], [-0.037, 0.09, -0.03]]) + middle
        polygon(image, figure.see(corners), (24, 24, 28))
        polygon(image, figure.see((corners - middle) * 0.86 + middle), (52, 54, 62))
        for side in (0, 1):
            if close or side == high:
                _fingers_before(image, figure, side)
    if state[column("pen")] > 0.5:
        side = 0 if body.fists[k, 0] > body.fists[k, 1] else 1
        tip = points[19 + side] + np.array([0, -0.02, -0.01])
        end = points[21 + side] + np.array([0.01 * (1 - 2 * side), 0.09, 0.05])
        near = figure.scale
        px = figure.see(np.stack([tip, end]))
        limb(image, px[0], px[1], 0.004 * near, 0.005 * near, (40, 60, 150))


def _fingers_before(image: Image, figure: Figure, side: int) -> None:
    points, near = figure.body.points[figure.step], figure.scale
    for lift in (0.0, 0.02, 0.04):
        a = points[15 + side] * 0.3 + points[17 + side] * 0.7 + [0, lift - 0.01, 0]
        b = points[19:21].mean(axis=0) * 0.35 + points[19 + side] * 0.65 + [0, lift - 0.015, -0.01]
        px = figure.see(np.stack([a, b]))
        limb(image, px[0], px[1], 0.011 * near, 0.009 * near, tone(figure.look.skin, 0.95))
