"""Faces near enough for their features to be read: a head in relief, eyes with lids that close, brows, lips and nostrils.

Sizes are metres on a head of usual size, (x own left, y up) around its centre; the surface says how deep a feature lies.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.render.body import HEAD_RADII
from curation.render.mesh import draw_mesh, make_head
from curation.render.strokes import dot, polygon, stroke

if TYPE_CHECKING:
    from curation.render.figure import Figure

__all__ = ["draw_close_features", "make_close_head"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

_RINGS, _SIDES = 44, 64
_EYE_X, _EYE_Y = (0.016, 0.046), 0.0165
_UPPER_LID, _LOWER_LID, _CREASE = 0.0066, -0.0050, 0.0098
"""Height of the open lids and of the fold above them over the corners of the eye."""
_MOUTH, _MOUTH_Y = 0.026, -0.0605
_BUMPS = (
    # x, y, spread x, spread y, height
    (0.031, 0.017, 0.014, 0.009, -0.0050), (0.030, 0.040, 0.018, 0.007, 0.0030), (0.040, -0.022, 0.018, 0.016, 0.0035),
    (0.012, -0.030, 0.005, 0.006, 0.0075), (0.0, -0.0605, 0.018, 0.009, 0.0055), (0.0, -0.098, 0.024, 0.017, 0.0230),
)  # fmt: skip
_NOSE = ((0.020, 0.004), (0.005, 0.010), (-0.012, 0.016), (-0.026, 0.022), (-0.034, 0.014), (-0.041, 0.0))
"""Height of the nose over the face along its ridge, from between the eyes to under the tip: (y, height)."""


def _relief(x: NDArray[Any], y: NDArray[Any]) -> Array:
    """Return how far the face stands out of a smooth head at (x, y)."""
    level, height = zip(*_NOSE[::-1], strict=True)
    ridge = np.interp(y, level, height, left=0.0, right=0.0) * np.clip(1 - (y - 0.02) / 0.012, 0, 1)
    out: Array = ridge * np.exp(-((x / (0.0065 + 0.003 * np.clip(-y / 0.03, 0, 1))) ** 2))
    for at_x, at_y, wide, high, height_m in _BUMPS:
        for side in (1, -1) if at_x else (1,):
            out = out + height_m * np.exp(-(((x - side * at_x) / wide) ** 2) - ((y - at_y) / high) ** 2)
    return out


@cache
def make_close_head(style: str) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
    """Return a head as `mesh.make_head` does, finer at the face and in relief."""
    vertices, facets, hair = make_head(style, _RINGS, _SIDES, dense_front=True)
    at = vertices * HEAD_RADII
    at[:, 2] -= np.where(at[:, 2] < 0, _relief(at[:, 0], at[:, 1]), 0.0)
    return at / HEAD_RADII, facets, hair


def _on_face(x: NDArray[Any], y: NDArray[Any], lift: float = 0.0005) -> Array:
    """Return the points (n, 3) of the face at (x, y), a little above the skin."""
    wide, high, deep = HEAD_RADII
    low = np.clip(-y / high, 0, 1)
    across, up = x / wide / (1 - 0.26 * low**1.4), y / high
    back = -np.sqrt(np.clip(1 - across**2 - up**2, 0, 1)) * (1 - 0.18 * low) - 0.1 * low
    return np.stack([x, y, back * deep - _relief(x, y) - lift], axis=-1)


def draw_close_features(image: Image, figure: Figure, turn: Array, toward: Array) -> None:
    """Draw eyes, brows, nose and mouth of a head turned by `turn` (3, 3), with the camera in direction `toward` (3,)."""
    look = figure.look
    place = _Placer(figure, turn, toward)
    skin, dark = np.array(look.skin, np.float64), np.array(look.hair, np.float64)
    for side in (1.0, -1.0):
        if place.sees(side * 0.45, 0.1):
            _draw_eye(image, place, side, figure.eyes, skin)
            _draw_brow(image, place, side, dark * 0.8 + skin * 0.12)
    if place.sees(0.0, -0.3):
        _draw_mouth(image, place, skin)
    _draw_nose(image, figure, place, skin)
    if look.glasses:
        _draw_glasses(image, place)


class _Placer:
    """Where points of the face are seen in the picture."""

    def __init__(self, figure: Figure, turn: Array, toward: Array) -> None:
        self.near = figure.scale
        self._figure, self._turn, self._toward = figure, turn, toward
        self.grow = figure.look.head * np.array([figure.look.face, 1, 1])

    def sees(self, across: float, up: float) -> bool:
        """Say whether the part of the face that looks to (across, up, ahead 1) is turned to the camera."""
        out = self._turn @ np.array([across, up, -1.0])
        return bool(self._toward @ out > 0.15)

    def shows(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which points (n,) of the face at (x, y) are on the side that the camera sees."""
        right, above = _on_face(x + 0.001, y) - _on_face(x - 0.001, y), _on_face(x, y + 0.001) - _on_face(x, y - 0.001)
        out: Array = np.cross(above, right) @ self._turn.T
        seen: NDArray[np.bool_] = out @ self._toward > 0.15 * np.linalg.norm(out, axis=1)
        return seen

    def __call__(self, x: NDArray[Any], y: NDArray[Any]) -> Array:
        """Return px (n, 2) of the face at (x, y)."""
        figure = self._figure
        return figure.see(figure.body.head[figure.step] + (_on_face(x, y) * self.grow) @ self._turn.T)


def _draw_eye(image: Image, place: _Placer, side: float, opened: float, skin: Array) -> None:
    share = np.linspace(0, 1, 11)
    share = share[place.shows(side * (_EYE_X[0] + (_EYE_X[1] - _EYE_X[0]) * share), np.full(11, _EYE_Y))]
    if len(share) < 3:
        return
    x = side * (_EYE_X[0] + (_EYE_X[1] - _EYE_X[0]) * share)
    arch = np.sin(np.pi * share) ** 0.75
    tilt = _EYE_Y + 0.0012 * (share - 0.5)
    lid = 0.75 * _LOWER_LID + (_UPPER_LID - 0.75 * _LOWER_LID) * opened
    upper, lower, crease = (place(x, tilt + arch * h) for h in (lid, _LOWER_LID, _CREASE))
    if opened > 0.08:
        polygon(image, np.concatenate([upper, lower[::-1]]), (232, 229, 224))
        middle = place(np.array([side * 0.031]), np.array([_EYE_Y + 0.0008]))[0]
        dot(image, middle, 0.0058 * place.near, (74, 52, 38))
        dot(image, middle, 0.0027 * place.near, (18, 14, 14))
        bag = place(x, tilt + arch * (_LOWER_LID - 0.0035))
        polygon(image, np.concatenate([lower, bag[::-1]]), skin * 0.93)
    polygon(image, np.concatenate([crease, upper[::-1]]), skin * 0.86)
    stroke(image, crease, skin * 0.7, 0.0016 * place.near)
    stroke(image, lower, skin * 0.68, 0.0012 * place.near)
    stroke(image, upper, skin * 0.22, 0.0026 * place.near)


def _draw_brow(image: Image, place: _Placer, side: float, colour: NDArray[Any]) -> None:
    x = side * np.linspace(0.013, 0.052, 7)
    shown = place.shows(x, np.full(7, 0.036))
    if shown.sum() < 2:
        return
    x = x[shown]
    bow = np.array([0.0, 0.0028, 0.005, 0.0062, 0.0060, 0.0035, -0.001])[shown]
    thick = np.array([0.0045, 0.005, 0.0048, 0.0044, 0.0036, 0.0026, 0.0012])[shown]
    edge = place(x, 0.0335 + bow + thick)
    polygon(image, np.concatenate([edge, place(x, 0.0335 + bow)[::-1]]), colour)


def _draw_mouth(image: Image, place: _Placer, skin: Array) -> None:
    share = np.linspace(-1, 1, 15)
    share = share[place.shows(_MOUTH * share, np.full(15, _MOUTH_Y))]
    if len(share) < 3:
        return
    x, arch = _MOUTH * share, np.cos(share * np.pi / 2)
    line = _MOUTH_Y - 0.001 * (1 - arch)
    top = line + 0.0068 * arch * (1 - 0.28 * np.exp(-((share / 0.18) ** 2)))
    seam = place(x, line)
    polygon(image, np.concatenate([place(x, top), seam[::-1]]), skin * [0.80, 0.55, 0.54])
    polygon(image, np.concatenate([seam, place(x, line - 0.0085 * arch)[::-1]]), skin * [0.88, 0.62, 0.60])
    stroke(image, seam, skin * [0.45, 0.28, 0.28], 0.0018 * place.near)


def _draw_nose(image: Image, figure: Figure, place: _Placer, skin: Array) -> None:
    """Draw the nose over the far eye, then the nostrils."""
    vertices, facets, _ = make_close_head(figure.look.hair_style)
    at = vertices[facets].mean(axis=1) * HEAD_RADII
    ridge = (np.abs(at[:, 0]) < 0.009) & (at[:, 1] > -0.042) & (at[:, 1] < 0.02) & (at[:, 2] < 0)
    body, k = figure.body, figure.step
    world = figure.origin + body.head[k] + (vertices * HEAD_RADII * place.grow) @ body.head_turn[k].T
    draw_mesh(image, figure.camera, world, facets[ridge], np.repeat(skin[None], ridge.sum(), axis=0), gloss=0.5)
    for side in (1.0, -1.0):
        if place.sees(side * 0.5, -0.2):
            hole = place(side * np.array([0.0045, 0.0075, 0.0105]), np.array([-0.0365, -0.0375, -0.0362]))
            stroke(image, hole, skin * 0.42, 0.003 * place.near)
            wing = place(side * np.array([0.0135, 0.0165, 0.0155]), np.array([-0.024, -0.030, -0.0365]))
            stroke(image, wing, skin * 0.76, 0.002 * place.near)


def _draw_glasses(image: Image, place: _Placer) -> None:
    ring = np.linspace(0, 2 * np.pi, 17)
    for side in (1.0, -1.0):
        if place.sees(side * 0.45, 0.1):
            stroke(
                image, place(side * (0.032 + 0.021 * np.cos(ring)), 0.015 + 0.018 * np.sin(ring)), (30, 30, 36), 0.0028 * place.near
            )
    stroke(image, place(np.linspace(-0.011, 0.011, 3), np.full(3, 0.019)), (30, 30, 36), 0.0028 * place.near)
