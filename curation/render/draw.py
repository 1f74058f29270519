"""Drawing one student: legs, torso, hair, neck, head and arms, in the order in which they cover each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.render.behaviours import DESK_TOP
from curation.render.body import HEAD_RADII
from curation.render.closeups import make_close_head
from curation.render.faces import draw_face, draw_hair_behind
from curation.render.figure import Figure
from curation.render.mesh import SIDES, draw_mesh, make_head, make_torso
from curation.render.objects import draw_held
from curation.render.strokes import limb, polygon, tone

__all__ = ["draw_above_desk", "draw_below_desk"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]


def draw_below_desk(image: Image, figure: Figure) -> None:
    """Draw what the desk may cover: legs, torso, arms that hang or lie in the lap, and the head of who does not lie."""
    look, px, scale = figure.look, figure.px, figure.scale
    for side in (0, 1):
        if not figure.seen[[23 + side, 25 + side, 27 + side, 31 + side]].any():
            continue
        limb(image, px[27 + side], px[31 + side], 0.04 * scale, 0.035 * scale, (40, 38, 40))
        limb(image, px[25 + side], px[27 + side], 0.052 * scale, 0.04 * scale, tone(look.trousers, 0.9))
        limb(image, px[23 + side], px[25 + side], 0.075 * scale, 0.056 * scale, look.trousers)
    if not figure.lies:
        draw_hair_behind(image, figure)
    _draw_torso(image, figure, 0)
    for side in (0, 1):
        if not figure.on_desk(side):
            _draw_arm(image, figure, side)
    if not figure.lies:
        _draw_neck_and_head(image, figure)


def draw_above_desk(image: Image, figure: Figure) -> None:
    """Draw what lies on or above the desk: a torso bent over it, arms, head of a sleeper, hands before the face, what they hold."""
    if figure.lies:
        _draw_torso(image, figure, 3)
    arms = [side for side in (0, 1) if figure.on_desk(side)]
    arms.sort(key=lambda side: -figure.depth[15 + side])
    for side in arms:
        _draw_arm(image, figure, side)
    if figure.lies or any(_behind_head(figure, side) for side in arms):
        _draw_neck_and_head(image, figure)
    draw_held(image, figure)


def _behind_head(figure: Figure, side: int) -> bool:
    """Say whether hand or elbow would be drawn over the head though they are behind it."""
    head = figure.body.head[figure.step]
    middle, depth = figure.camera.project(head + figure.origin)
    near = np.hypot(*(figure.px[[13 + side, 15 + side]] - middle).T) < 0.17 * figure.scale
    return bool((near & (figure.depth[[13 + side, 15 + side]] > depth - 0.06)).any())


def _draw_torso(image: Image, figure: Figure, first: int) -> None:
    """Draw the trunk from ring `first` up; a part of it alone lies on the desk, not in it."""
    look, k = figure.look, figure.step
    size = look.height
    vertices, facets = make_torso(round(look.build, 2))
    hip = figure.points[23:25].mean(axis=0)
    turn = figure.body.torso_turn[k]
    placed = hip + (vertices * [size**0.5, size, size**0.5]) @ turn.T
    if first:
        placed[:, 1] = np.maximum(placed[:, 1], DESK_TOP + 0.005)
    world = figure.origin + placed
    colours = np.repeat(np.array([look.shirt], np.float64), len(facets), axis=0)
    ring = np.arange(len(facets)) // SIDES
    if look.pattern == "stripes":
        colours[ring % 2 == 0] = np.clip(np.array(look.shirt) * 0.62 + 80, 0, 255)
    colours[ring == ring.max()] *= 0.86
    keep = ring >= first
    draw_mesh(image, figure.camera, world, facets[keep], colours[keep], gloss=0.62)
    if look.pattern == "collar" and not figure.lies:
        collar = np.array([[-0.06, 0.0, -0.05], [0.06, 0.0, -0.05], [0.0, -0.09, -0.1]])
        polygon(image, figure.see(figure.body.neck[k] + collar @ turn.T), (224, 224, 220))


def _draw_arm(image: Image, figure: Figure, side: int) -> None:
    look, px = figure.look, figure.px
    near = (figure.camera.focal / figure.depth[[11 + side, 13 + side, 15 + side]]).tolist()
    shoulder, elbow, wrist = px[11 + side], px[13 + side], px[15 + side]
    wide = look.build**0.5
    long_sleeve = look.sleeve > 0.9
    cloth = look.shirt if long_sleeve else look.skin
    limb(image, shoulder, elbow, 0.056 * near[0] * wide, 0.044 * near[1] * wide, cloth)
    if not long_sleeve:
        limb(image, shoulder, shoulder + (elbow - shoulder) * 0.55, 0.062 * near[0] * wide, 0.056 * near[0] * wide, look.shirt)
    limb(image, elbow, wrist, 0.044 * near[1] * wide, 0.031 * near[2], cloth)
    _draw_hand(image, figure, side, near[2])


def _draw_hand(image: Image, figure: Figure, side: int, near: float) -> None:
    wrist, pinky, index, thumb = figure.points[[15 + side, 17 + side, 19 + side, 21 + side]]
    fist, skin = float(figure.body.fists[figure.step, side]), figure.look.skin
    share = np.array([0.0, 0.33, 0.67, 1.0])[:, None]
    ahead = (pinky - wrist) * (1 - share) + (index - wrist) * share
    tips = wrist + ahead * (1.22 - 0.34 * fist + 0.16 * np.sin(np.pi * (0.25 + 0.6 * share)))
    px = figure.see(np.concatenate([[wrist, wrist + (thumb - wrist) * 0.62, thumb], wrist + ahead * 0.61, tips]))
    limb(image, px[0], px[1], 0.016 * near, 0.014 * near, tone(skin, 0.97))
    limb(image, px[1], px[2], 0.013 * near, 0.0095 * near, skin)
    limb(image, px[0], (px[3] + px[6]) / 2, 0.024 * near, 0.034 * near, skin)
    for k in range(4):
        limb(image, px[3 + k], px[7 + k], 0.0105 * near, 0.0085 * near, tone(skin, 0.96 + 0.05 * (k > 1)))


def _draw_neck_and_head(image: Image, figure: Figure) -> None:
    body, k, look = figure.body, figure.step, figure.look
    turn, near = body.head_turn[k], figure.scale
    if figure.lies:
        draw_hair_behind(image, figure)
    ends = np.stack([body.neck[k] - body.torso_turn[k][:, 1] * 0.02, body.head[k] - turn[:, 1] * 0.06 + turn[:, 2] * 0.02])
    px = figure.see(ends)
    limb(image, px[0], px[1], 0.056 * near * look.build**0.4, 0.05 * near, tone(look.skin, 0.86))
    vertices, facets, hair = make_close_head(look.hair_style) if figure.is_close else make_head(look.hair_style)
    radii = HEAD_RADII * look.head * np.array([look.face, 1.0, 1.0])
    world = figure.origin + body.head[k] + (vertices * radii) @ turn.T
    colours = np.where(hair[:, None], np.array(look.hair, np.float64), np.array(look.skin, np.float64))
    draw_face(image, figure, world, facets, colours)
