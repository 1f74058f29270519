"""The few shapes everything is drawn with: polygons, tapered limbs and strokes, at sub-pixel positions."""

from __future__ import annotations

from math import hypot
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["dot", "hull", "limb", "polygon", "stroke", "tone"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

_SHIFT = 4
_LAYERS = ((1.0, 0.0, 0.74), (0.78, 0.16, 0.9), (0.48, 0.28, 1.03))
"""Share of the width, shift towards the light, and brightness of the layers a limb is drawn in."""
_ROUND = 8


def _outline() -> Array:
    """Return the outlines of all layers (3 * 16, 6), as weights of start, end, and width along and across at each of them."""
    rows = []
    for share, shift, _ in _LAYERS:
        for end, first in ((0, 0.5), (1, -0.5)):
            for angle in np.linspace(first, first + 1, _ROUND) * np.pi:
                along, across = share * np.cos(angle), share * np.sin(angle) + shift
                rows.append([1 - end, end, (1 - end) * along, (1 - end) * across, end * along, end * across])
    return np.array(rows)


_OUTLINE = _outline()


def tone(colour: Any, factor: float) -> tuple[float, float, float]:
    """Return a colour made lighter or darker."""
    r, g, b = colour
    return min(255.0, float(r) * factor), min(255.0, float(g) * factor), min(255.0, float(b) * factor)


def _fix(points: Array) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.rint(np.minimum(np.maximum(points, -4000), 4000) * 16 - 8).astype(np.int32)
    return fixed


def polygon(image: Image, points: Array, colour: Any) -> None:
    """Fill a convex polygon (n, 2) px."""
    cv2.fillConvexPoly(image, _fix(points), tuple(float(c) for c in colour), cv2.LINE_AA, _SHIFT)


def hull(image: Image, points: Array, colour: Any) -> None:
    """Fill the convex hull of points (n, 2) px."""
    cv2.fillConvexPoly(image, cv2.convexHull(_fix(points)), tuple(float(c) for c in colour), cv2.LINE_AA, _SHIFT)


def stroke(image: Image, points: Array, colour: Any, width: float) -> None:
    """Draw an open line (n, 2) px."""
    cv2.polylines(image, [_fix(points)], False, tone(colour, 1.0), max(1, round(width)), cv2.LINE_AA, _SHIFT)


def dot(image: Image, centre: Array, radius: float, colour: Any) -> None:
    """Draw a disc."""
    x, y = _fix(centre).tolist()
    cv2.circle(image, (x, y), max(int(radius * 16), 8), tone(colour, 1.0), -1, cv2.LINE_AA, _SHIFT)


def limb(image: Image, a: Array, b: Array, wide_a: float, wide_b: float, colour: Any) -> None:
    """Draw a tapered limb from px `a` to `b` with half widths in px, darker at the edges and lit from the upper left."""
    (ax, ay), (bx, by) = a.tolist(), b.tolist()
    if max(abs(ax), abs(ay), abs(bx), abs(by)) > 4000:
        return
    if max(wide_a, wide_b) < 2.2:
        start, end = (round(ax * 16 - 8), round(ay * 16 - 8)), (round(bx * 16 - 8), round(by * 16 - 8))
        cv2.line(image, start, end, tone(colour, 0.97), max(1, round(wide_a + wide_b)), cv2.LINE_AA, _SHIFT)
        return
    length = hypot(bx - ax, by - ay) or 1.0
    ux, uy = (bx - ax) / length, (by - ay) / length
    nx, ny = (uy, -ux) if uy * -0.5 + ux * 0.85 > 0 else (-uy, ux)
    at_a, at_b = [[ux * wide_a, uy * wide_a], [nx * wide_a, ny * wide_a]], [[ux * wide_b, uy * wide_b], [nx * wide_b, ny * wide_b]]
    corners = [[ax, ay], [bx, by], *at_a, *at_b]
    fixed = np.rint(_OUTLINE @ (np.array(corners) * 16) - 8).astype(np.int32)
    for layer in range(3 if max(wide_a, wide_b) > 4 else 2):
        points = fixed[2 * _ROUND * layer : 2 * _ROUND * (layer + 1)]
        cv2.fillConvexPoly(image, points, tone(colour, _LAYERS[layer][2]), cv2.LINE_AA, _SHIFT)
