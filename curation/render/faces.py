"""Head surface, eyes, brows, nose, mouth, ears, glasses, and hair that falls behind the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.render.behaviours import column
from curation.render.mesh import draw_mesh
from curation.render.scene import polygon

if TYPE_CHECKING:
    from curation.render.draw import Figure

__all__ = ["draw_face", "draw_hair_behind"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

FALL = {"bob": 0.155, "long": 0.29, "tail": 0.0, "curly": 0.06}


def draw_hair_behind(image: Image, figure: Figure) -> None:
    """Draw the mass of long hair that is seen beside neck and cheeks."""
    import cv2

    fall = FALL.get(figure.look.hair_style, 0.0)
    if not fall:
        return
    body, k = figure.body, figure.step
    turn = body.head_turn[k]
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    cap = np.stack([0.09 * np.cos(angle), 0.02 + 0.11 * np.sin(angle), np.full(14, 0.03)], axis=-1)
    top = body.head[k] + cap @ turn.T
    down = np.array([[0.088, -0.02, 0.03], [-0.088, -0.02, 0.03]]) @ turn.T + body.head[k]
    ends = down + np.array([0, -fall, 0.02])
    hull = cv2.convexHull(figure.see(np.concatenate([top, ends])).astype(np.float32))[:, 0]
    polygon(image, hull.astype(np.float64), np.array(figure.look.hair) * 0.78)


def draw_face(image: Image, figure: Figure, radii: Array, world: Array, facets: NDArray[np.int64], colours: Array) -> None:
    """Draw the head's surface and, where the face looks towards the camera, its features."""
    body, k = figure.body, figure.step
    turn, head = body.head_turn[k], figure.world(body.head[k])
    toward = np.asarray(figure.camera.position) - head
    toward = toward / np.linalg.norm(toward)
    _draw_ears(image, figure, turn, toward, behind=True)
    draw_mesh(image, figure.camera, world, facets, colours, gloss=0.5)
    _draw_ears(image, figure, turn, toward, behind=False)
    if toward @ -turn[:, 2] > -0.1:
        _draw_features(image, figure, turn, toward)


def _draw_ears(image: Image, figure: Figure, turn: Array, toward: Array, *, behind: bool) -> None:
    import cv2

    if figure.look.hair_style in ("bob", "long", "curly"):
        return
    near = figure.scale
    for side in (1, -1):
        if (toward @ turn[:, 0] * side < 0.15) != behind:
            continue
        centre = figure.see(figure.body.head[figure.step] + turn @ np.array([0.08 * side * figure.look.face, -0.005, 0.008]))
        axes = (int(max(0.014 * near * 16, 8)), int(0.029 * near * 16))
        x, y = (int(v) for v in centre * 16)
        skin = tuple(float(c) * 0.9 for c in figure.look.skin)
        tilt = float(np.degrees(np.arctan2(turn[0, 1], turn[1, 1] + 1e-6)))
        cv2.ellipse(image, (x, y), axes, tilt, 0, 360, skin, -1, cv2.LINE_AA, 4)


def _spot(figure: Figure, turn: Array, *at: tuple[float, float, float]) -> Array:
    look = figure.look
    points = np.array(at) * look.head * np.array([look.face, 1, 1])
    return figure.see(figure.body.head[figure.step] + points @ turn.T)


def _draw_features(image: Image, figure: Figure, turn: Array, toward: Array) -> None:
    look, near = figure.look, figure.scale
    skin, dark = np.array(look.skin, np.float64), np.array(look.hair, np.float64)
    opened = figure.body.objects[figure.step, column("eyes")] > 0.5
    for side in (1, -1):
        outward = turn @ np.array([0.35 * side, 0.05, -0.93])
        if toward @ outward < 0.12:
            continue
        _draw_eye(image, figure, turn, side, opened)
        brow = _spot(figure, turn, *((side * x, y, z) for x, y, z in ((0.014, 0.041, -0.099), (0.032, 0.047, -0.094), (0.05, 0.04, -0.08))))
        _stroke(image, brow, dark * 0.8 + skin * 0.12, 0.0075 * near)
    if toward @ -turn[:, 2] > 0.0:
        mouth = _spot(figure, turn, (0.027, -0.059, -0.094), (0.012, -0.057, -0.106), (0.0, -0.059, -0.108), (-0.012, -0.057, -0.106), (-0.027, -0.059, -0.094))
        _stroke(image, mouth, skin * [0.68, 0.46, 0.46], 0.009 * near)
        lip = _spot(figure, turn, (0.015, -0.067, -0.1), (0.0, -0.069, -0.104), (-0.015, -0.067, -0.1))
        _stroke(image, lip, skin * [0.86, 0.66, 0.64], 0.007 * near)
    nose = _spot(figure, turn, (0.006, 0.02, -0.1), (0.017, -0.03, -0.1), (0, -0.026, -0.124), (-0.017, -0.03, -0.1), (-0.006, 0.02, -0.1))
    import cv2

    polygon(image, cv2.convexHull(nose.astype(np.float32))[:, 0].astype(np.float64), np.clip(skin * 0.97, 0, 255))
    _stroke(image, _spot(figure, turn, (0.016, -0.032, -0.1), (0.0, -0.035, -0.116), (-0.016, -0.032, -0.1)), skin * 0.66, 0.006 * near)
    bridge = _spot(figure, turn, (0.0, 0.018, -0.103), (0.0, -0.02, -0.122))
    _stroke(image, bridge, np.clip(skin * 1.1, 0, 255), 0.007 * near)
    if look.glasses:
        _draw_glasses(image, figure, turn, toward)


def _draw_eye(image: Image, figure: Figure, turn: Array, side: int, opened: bool) -> None:
    near = figure.scale
    skin = np.array(figure.look.skin, np.float64)
    rim = [(0.016, 0.017), (0.024, 0.0245), (0.036, 0.0245), (0.046, 0.0165), (0.036, 0.0105), (0.024, 0.0105)]
    eye = _spot(figure, turn, *((side * x, y, -0.1 + 0.35 * max(x - 0.02, 0)) for x, y in rim))
    if not opened:
        _stroke(image, eye[[0, 5, 4, 3]], skin * 0.5, 0.005 * near)
        return
    polygon(image, eye, (236, 234, 230))
    iris = _spot(figure, turn, (side * 0.031, 0.0172, -0.097))[0]
    _dot(image, iris, 0.0072 * near, (46, 32, 26))
    _stroke(image, eye[[0, 1, 2, 3]], skin * 0.36, 0.0045 * near)
    _stroke(image, eye[[3, 4, 5, 0]], skin * 0.7, 0.003 * near)


def _draw_glasses(image: Image, figure: Figure, turn: Array, toward: Array) -> None:
    near = figure.scale
    angle = np.linspace(0, 2 * np.pi, 13)
    for side in (1, -1):
        if toward @ (turn @ np.array([0.3 * side, 0, -0.95])) < 0.1:
            continue
        ring = [(side * (0.032 + 0.021 * np.cos(a)), 0.015 + 0.018 * np.sin(a), -0.108 + 0.01 * abs(np.cos(a))) for a in angle]
        _stroke(image, _spot(figure, turn, *ring), np.array([30.0, 30.0, 36.0]), 0.0035 * near)
    _stroke(image, _spot(figure, turn, (0.012, 0.018, -0.112), (-0.012, 0.018, -0.112)), np.array([30.0, 30.0, 36.0]), 0.0035 * near)


def _stroke(image: Image, points: Array, colour: Array, width: float) -> None:
    import cv2

    fixed = np.round(np.clip(points, -2000, 4000) * 16 - 8).astype(np.int32)
    cv2.polylines(image, [fixed], False, tuple(float(c) for c in np.clip(colour, 0, 255)), max(1, round(width)), cv2.LINE_AA, 4)


def _dot(image: Image, centre: Array, radius: float, colour: tuple[int, int, int]) -> None:
    import cv2

    x, y = (int(round(float(v) * 16 - 8)) for v in centre)
    cv2.circle(image, (x, y), max(int(radius * 16), 10), colour, -1, cv2.LINE_AA, 4)
