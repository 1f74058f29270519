"""Eyes, brows, nose, mouth, ears, glasses, and hair that falls behind the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.render.behaviours import column
from curation.render.closeups import draw_close_features
from curation.render.mesh import draw_mesh
from curation.render.strokes import dot, hull, polygon, stroke

if TYPE_CHECKING:
    from curation.render.figure import Figure

__all__ = ["draw_face", "draw_hair_behind"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

FALL = {"bob": 0.155, "long": 0.29, "curly": 0.06}
"""How far below the ears each hair style falls, in metres."""


MOUTH_X, MOUTH_Z = (0.027, 0.012, 0.0, -0.012, -0.027), (-0.094, -0.106, -0.108, -0.106, -0.094)


def _face() -> tuple[Array, dict[str, list[int]]]:
    """Return the points (n, 3) of a face's features around the head's centre (left, up, back; metres), and their places by name."""
    parts: dict[str, list[tuple[float, float, float]]] = {
        "mouth": [
            (0.027, -0.059, -0.094),
            (0.012, -0.057, -0.106),
            (0, -0.059, -0.108),
            (-0.012, -0.057, -0.106),
            (-0.027, -0.059, -0.094),
        ],
        "lip": [(0.015, -0.067, -0.1), (0, -0.069, -0.104), (-0.015, -0.067, -0.1)],
        "nose": [(0.006, 0.02, -0.1), (0.017, -0.03, -0.1), (0, -0.026, -0.124), (-0.017, -0.03, -0.1), (-0.006, 0.02, -0.1)],
        "nostrils": [(0.016, -0.032, -0.1), (0, -0.035, -0.116), (-0.016, -0.032, -0.1)],
        "bridge": [(0, 0.018, -0.103), (0, -0.02, -0.122)],
        "link": [(0.012, 0.018, -0.112), (-0.012, 0.018, -0.112)],
    }
    rim = ((0.016, 0.017), (0.024, 0.0245), (0.036, 0.0245), (0.046, 0.0165), (0.036, 0.0105), (0.024, 0.0105))
    ring = np.linspace(0, 2 * np.pi, 11)
    for name, side in (("left", 1.0), ("right", -1.0)):
        parts[f"{name} eye"] = [(side * x, y, -0.1 + 0.35 * max(x - 0.02, 0)) for x, y in rim]
        parts[f"{name} iris"] = [(side * 0.031, 0.0172, -0.097)]
        parts[f"{name} brow"] = [(side * 0.014, 0.041, -0.099), (side * 0.032, 0.047, -0.094), (side * 0.05, 0.041, -0.08)]
        glass = ((0.032 + 0.021 * np.cos(a), 0.015 + 0.018 * np.sin(a), -0.108 + 0.01 * abs(np.cos(a))) for a in ring)
        ear = ((0.083 + 0.006 * np.cos(a), -0.004 + 0.03 * np.sin(a), 0.008 + 0.017 * np.cos(a)) for a in ring)
        parts[f"{name} glass"] = [(side * x, y, z) for x, y, z in glass]
        parts[f"{name} ear"] = [(side * x, y, z) for x, y, z in ear]
    points: list[tuple[float, float, float]] = []
    places = {}
    for name, part in parts.items():
        places[name] = list(range(len(points), len(points) + len(part)))
        points += part
    return np.array(points), places


_POINTS, _AT = _face()


def draw_hair_behind(image: Image, figure: Figure) -> None:
    """Draw the mass of long hair that is seen beside neck and cheeks."""
    fall = min(FALL.get(figure.look.hair_style, 0.0), 0.06 if figure.lies else 1.0)
    if not fall:
        return
    head, turn = figure.body.head[figure.step], figure.body.head_turn[figure.step]
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    cap = np.stack([0.09 * np.cos(angle), 0.02 + 0.11 * np.sin(angle), np.full(14, 0.03)], axis=-1)
    top = head + cap @ turn.T
    down = np.array([[0.088, -0.02, 0.03], [-0.088, -0.02, 0.03]]) @ turn.T + head
    hull(image, figure.see(np.concatenate([top, down + np.array([0, -fall, 0.02])])), np.array(figure.look.hair) * 0.78)


def draw_face(image: Image, figure: Figure, world: Array, facets: NDArray[np.int64], colours: Array) -> None:
    """Draw the head's surface and, where the face looks towards the camera, its features."""
    turn, head = figure.body.head_turn[figure.step], figure.body.head[figure.step]
    toward = figure.towards_camera(head)
    look = figure.look
    px = figure.see(head + (_POINTS * (look.head * np.array([look.face, 1, 1]))) @ turn.T)
    ears = [] if look.hair_style in ("bob", "long", "curly") else ["left", "right"]
    shown = {side: toward @ turn[:, 0] * (1 if side == "left" else -1) > 0.12 for side in ears}
    for side in ears:
        if not shown[side]:
            hull(image, px[_AT[f"{side} ear"]], np.array(look.skin) * 0.8)
    draw_mesh(image, figure.camera, world, facets, colours, gloss=0.5)
    for side in ears:
        if shown[side]:
            hull(image, px[_AT[f"{side} ear"]], np.array(look.skin) * 0.88)
    if toward @ -turn[:, 2] > -0.1:
        if figure.is_close:
            draw_close_features(image, figure, turn, toward)
        else:
            _draw_features(image, figure, px, turn, toward)


def _draw_features(image: Image, figure: Figure, px: Array, turn: Array, toward: Array) -> None:
    look, near = figure.look, figure.scale
    skin, dark = np.array(look.skin, np.float64), np.array(look.hair, np.float64)
    opened = bool(figure.body.objects[figure.step, column("eyes")] > 0.5)
    for name, side in (("left", 1), ("right", -1)):
        if toward @ (turn @ np.array([0.35 * side, 0.05, -0.93])) > 0.12:
            _draw_eye(image, figure, px, name, opened)
            stroke(image, px[_AT[f"{name} brow"]], dark * 0.8 + skin * 0.12, 0.0075 * near)
    if toward @ -turn[:, 2] > 0.0:
        stroke(image, px[_AT["mouth"]], skin * [0.68, 0.46, 0.46], 0.009 * near)
        stroke(image, px[_AT["lip"]], skin * [0.86, 0.66, 0.64], 0.007 * near)
    hull(image, px[_AT["nose"]], skin * 0.97)
    stroke(image, px[_AT["nostrils"]], skin * 0.66, 0.006 * near)
    stroke(image, px[_AT["bridge"]], skin * 1.1, 0.007 * near)
    if look.glasses:
        for name, side in (("left", 1), ("right", -1)):
            if toward @ (turn @ np.array([0.3 * side, 0, -0.95])) > 0.1:
                stroke(image, px[_AT[f"{name} glass"]], (30, 30, 36), 0.0035 * near)
        stroke(image, px[_AT["link"]], (30, 30, 36), 0.0035 * near)


def _draw_eye(image: Image, figure: Figure, px: Array, name: str, opened: bool) -> None:
    near, skin = figure.scale, np.array(figure.look.skin, np.float64)
    eye = px[_AT[f"{name} eye"]]
    if not opened:
        stroke(image, eye[[0, 5, 4, 3]], skin * 0.5, 0.005 * near)
        return
    polygon(image, eye, (236, 234, 230))
    dot(image, px[_AT[f"{name} iris"]][0], 0.0072 * near, (46, 32, 26))
    stroke(image, eye[[0, 1, 2, 3]], skin * 0.36, 0.0045 * near)
    stroke(image, eye[[3, 4, 5, 0]], skin * 0.7, 0.003 * near)
