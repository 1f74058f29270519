"""Drawing one student: torso, hair, neck, head and arms, in the order in which they cover each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.render.body import HEAD_RADII, Body
from curation.render.geometry import Camera, Desk
from curation.render.looks import Look
from curation.render.mesh import draw_mesh, make_head, make_torso
from curation.render.scene import polygon

__all__ = ["Figure", "draw_above_desk", "draw_below_desk", "limb"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]


@frozen(kw_only=True)
class Figure:
    """One student at one moment, ready to draw: world metres, and the px (33, 2) and depth (33,) of the landmarks."""

    body: Body
    step: int
    look: Look
    camera: Camera
    origin: Array
    desk: Desk
    px: Array
    depth: Array

    @property
    def scale(self) -> float:
        """Px per metre at the shoulders."""
        return float(self.camera.focal / self.depth[11:13].mean())

    def world(self, point: Array) -> Array:
        """Return a point of the seat frame in the world."""
        return point + self.origin

    def see(self, point: Array) -> Array:
        """Return px of points (..., 3) of the seat frame."""
        return self.camera.project(point + self.origin)[0]


def tone(colour: Any, factor: float) -> tuple[float, float, float]:
    """Return a colour made lighter or darker."""
    r, g, b = (min(255.0, max(0.0, float(c) * factor)) for c in colour)
    return r, g, b


def limb(image: Image, a: Array, b: Array, wide_a: float, wide_b: float, colour: Any) -> None:
    """Draw a tapered limb from px `a` to `b` with half widths in px, darker at the edges and lit from the upper left."""
    along = b - a
    length = float(np.hypot(*along)) or 1.0
    across = np.array([-along[1], along[0]]) / length
    if across @ np.array([-0.5, -0.85]) < 0:
        across = -across
    for share, shift, light in ((1.0, 0.0, 0.72), (0.82, 0.14, 0.88), (0.56, 0.26, 1.0), (0.26, 0.34, 1.09)):
        ra, rb = max(wide_a * share, 0.5), max(wide_b * share, 0.5)
        pa, pb = a + across * wide_a * shift, b + across * wide_b * shift
        shade = tone(colour, light)
        _disc(image, pa, ra, shade)
        _disc(image, pb, rb, shade)
        polygon(image, np.array([pa + across * ra, pb + across * rb, pb - across * rb, pa - across * ra]), shade)


def _disc(image: Image, centre: Array, radius: float, colour: Any) -> None:
    import cv2

    x, y = (int(round(float(v) * 16 - 8)) for v in np.clip(centre, -2000, 4000))
    cv2.circle(image, (x, y), int(radius * 16), colour, -1, cv2.LINE_AA, 4)


def draw_below_desk(image: Image, figure: Figure) -> None:
    """Draw what the desk covers: legs of a standing student, torso, arms that hang or lie in the lap."""
    body, k, look, px = figure.body, figure.step, figure.look, figure.px
    scale = figure.scale
    for side in (0, 1):
        limb(image, px[23 + side], px[25 + side], 0.075 * scale, 0.055 * scale, look.trousers)
    _draw_torso(image, figure, 0)
    for side in (0, 1):
        if not _on_desk(figure, side):
            _draw_arm(image, figure, side)
    if body.points[k, 15:17, 1].min() > 0 and not _lies(figure):
        _draw_neck_and_head(image, figure)


def draw_above_desk(image: Image, figure: Figure) -> None:
    """Draw what lies on or above the desk: a torso bent over it, arms, head of a sleeper, hands before the face, what they hold."""
    from curation.render.objects import draw_held

    lying = _lies(figure)
    if lying:
        _draw_torso(image, figure, 3)
    arms = [side for side in (0, 1) if _on_desk(figure, side)]
    arms.sort(key=lambda side: -figure.depth[15 + side])
    for side in arms:
        _draw_arm(image, figure, side)
    if lying or (arms and not any(_before_face(figure, side) for side in arms) and _overlaps_head(figure, arms)):
        _draw_neck_and_head(image, figure)
    draw_held(image, figure)


def _lies(figure: Figure) -> bool:
    return bool(figure.body.chest[figure.step, 2] < -0.24)


def _on_desk(figure: Figure, side: int) -> bool:
    wrist = figure.body.points[figure.step, 15 + side]
    return bool(wrist[1] > 0.72 and wrist[2] < -0.12)


def _before_face(figure: Figure, side: int) -> bool:
    head = figure.camera.project(figure.world(figure.body.head[figure.step]))[1]
    return bool(figure.depth[15 + side] < head - 0.06)


def _overlaps_head(figure: Figure, arms: list[int]) -> bool:
    head = figure.see(figure.body.head[figure.step])
    return any(np.hypot(*(figure.px[15 + side] - head)) < 0.16 * figure.scale for side in arms)


def _draw_torso(image: Image, figure: Figure, first: int) -> None:
    look, k = figure.look, figure.step
    size = look.height
    vertices, facets = make_torso(round(look.build, 2))
    hip = figure.body.points[k, 23:25].mean(axis=0)
    world = figure.world(hip + (vertices * [size**0.5, size, size**0.5]) @ figure.body.torso_turn[k].T)
    colours = np.repeat(np.array([look.shirt], np.float64), len(facets), axis=0)
    ring = np.arange(len(facets)) // 18
    if look.pattern == "stripes":
        colours[ring % 2 == 0] = np.clip(np.array(look.shirt) * 0.62 + 80, 0, 255)
    colours[ring == ring.max()] *= 0.86
    keep = ring >= first
    draw_mesh(image, figure.camera, world, facets[keep], colours[keep], gloss=0.62)
    if look.pattern == "collar":
        v = figure.body.neck[k] + np.array([[-0.06, 0.0, -0.05], [0.06, 0.0, -0.05], [0.0, -0.09, -0.1]]) @ figure.body.torso_turn[k].T
        polygon(image, figure.see(v), tone((236, 236, 232), 0.95))


def _draw_arm(image: Image, figure: Figure, side: int) -> None:
    look, px, scale = figure.look, figure.px, figure.scale
    near = figure.camera.focal / figure.depth[[11 + side, 13 + side, 15 + side]]
    shoulder, elbow, wrist = px[11 + side], px[13 + side], px[15 + side]
    wide = look.build**0.5
    bare = tone(look.skin, 0.98)
    fore = look.shirt if look.sleeve > 0.9 else bare
    limb(image, shoulder, elbow, 0.056 * near[0] * wide, 0.044 * near[1] * wide, look.shirt if look.sleeve > 0.9 else bare)
    if look.sleeve < 0.9:
        limb(image, shoulder, shoulder + (elbow - shoulder) * 0.55, 0.062 * near[0] * wide, 0.056 * near[0] * wide, look.shirt)
    limb(image, elbow, wrist, 0.044 * near[1] * wide, 0.031 * near[2], fore)
    limb(image, wrist + (elbow - wrist) * 0.06, wrist, 0.029 * near[2], 0.026 * near[2], bare)
    _draw_hand(image, figure, side, scale)


def _draw_hand(image: Image, figure: Figure, side: int, scale: float) -> None:
    body, k = figure.body, figure.step
    wrist, pinky, index, thumb = (body.points[k, j + side] for j in (15, 17, 19, 21))
    near = figure.camera.focal / figure.depth[15 + side]
    fist = float(body.fists[k, side])
    skin = figure.look.skin
    palm = figure.see(np.stack([wrist, wrist + (pinky - wrist) * 0.62, wrist + (index - wrist) * 0.6, wrist + (thumb - wrist) * 0.62]))
    limb(image, palm[0], palm[3], 0.016 * near, 0.014 * near, tone(skin, 0.97))
    limb(image, palm[3], figure.see(thumb), 0.013 * near, 0.0095 * near, skin)
    limb(image, palm[0], (palm[1] + palm[2]) / 2, 0.024 * near, 0.034 * near, skin)
    long = 1.22 - 0.34 * fist
    for share in (0.0, 0.33, 0.67, 1.0):
        knuckle = palm[1] * (1 - share) + palm[2] * share
        tip = wrist + ((pinky - wrist) * (1 - share) + (index - wrist) * share) * (long + 0.16 * np.sin(np.pi * (0.25 + 0.6 * share)))
        limb(image, knuckle, figure.see(tip), 0.0105 * near, 0.0085 * near, tone(skin, 0.96 + 0.05 * (share > 0.4)))


def _draw_neck_and_head(image: Image, figure: Figure) -> None:
    from curation.render.faces import draw_face, draw_hair_behind

    body, k, look = figure.body, figure.step, figure.look
    near = figure.scale
    draw_hair_behind(image, figure)
    turn = body.head_turn[k]
    low = figure.see(body.neck[k] - body.torso_turn[k][:, 1] * 0.02)
    high = figure.see(body.head[k] - turn[:, 1] * 0.06 + turn[:, 2] * 0.02)
    limb(image, low, high, 0.056 * near * look.build**0.4, 0.05 * near, tone(look.skin, 0.86))
    vertices, facets, hair = make_head(look.hair_style)
    radii = HEAD_RADII * look.head * np.array([look.face, 1.0, 1.0])
    world = figure.world(body.head[k] + (vertices * radii) @ turn.T)
    colours = np.where(hair[:, None], np.array(look.hair, np.float64), np.array(look.skin, np.float64))
    draw_face(image, figure, radii, world, facets, colours)

