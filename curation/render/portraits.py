"""Portraits: drawn faces of made-up people with attributes and expressions, for the face models; the same seed, the same bytes.

Simple pictures of a few shapes, not photographs: what is learnt of them says whether a model works, not how well it knows people.
Lengths are in half widths of a head; x to the right, y down, around the middle of the face.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.render.looks import HAIRS, SKINS
from curation.render.stage import seed_for
from curation.render.strokes import dot, polygon, stroke
from schemas.faces import FaceSet

__all__ = ["ATTRIBUTES", "EXPRESSIONS", "draw_portraits"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

ATTRIBUTES = ("glasses", "beard", "long-hair", "fringe", "dark-hair", "thick-brows")


@frozen(kw_only=True)
class Mimic:
    """How a face is moved: opening of the eyes (1 = open), height of the brows' ends, and what the mouth and the nose do."""

    eyes: float = 1.0
    brow_in: float = 0.0
    brow_out: float = 0.0
    corners: float = 0.0
    opening: float = 0.0
    width: float = 1.0
    one_sided: float = 0.0
    wrinkle: float = 0.0


EXPRESSIONS: dict[str, Mimic] = {
    "neutral": Mimic(),
    "angry": Mimic(eyes=0.7, brow_in=-0.2, brow_out=0.08, corners=-0.05, width=0.8),
    "contempt": Mimic(eyes=0.85, corners=0.02, one_sided=0.22),
    "disgust": Mimic(eyes=0.5, brow_in=-0.08, corners=-0.12, opening=0.07, wrinkle=1.0),
    "fear": Mimic(eyes=1.45, brow_in=0.18, brow_out=0.02, corners=-0.06, opening=0.15, width=1.1),
    "happy": Mimic(eyes=0.8, corners=0.22, opening=0.1, width=1.25),
    "sad": Mimic(eyes=0.7, brow_in=0.16, brow_out=-0.1, corners=-0.2, width=0.9),
    "surprise": Mimic(eyes=1.5, brow_in=0.2, brow_out=0.2, opening=0.34, width=0.75),
}
"""After the muscles that P. Ekman, W. Friesen, "Facial Action Coding System" (1978), name for each expression."""


@frozen(kw_only=True)
class Person:
    """What stays the same of one person in all pictures."""

    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    long: bool
    fringe: bool
    beard: bool
    glasses: bool
    thick: bool
    jaw: float
    tall: float
    apart: float
    eye: float
    nose: float
    mouth: float
    brow: float
    iris: tuple[int, int, int]


def draw_portraits(*, seed: int = 0, people: int = 40, pictures: int = 16, size: int = 48) -> FaceSet:
    """Return `people` × `pictures` faces of `size` px, with every expression about as often; group = the person.

    Half of the people who wear glasses are without them in half of their pictures, so that glasses tell nobody apart.
    """
    images, expressions, marks, groups = [], [], [], []
    names = list(EXPRESSIONS)
    for number in range(people):
        rng = seed_for(seed, "portrait", number)
        person = _sample_person(rng)
        order = rng.permutation(np.arange(pictures) % len(names))
        for k in order.tolist():
            wears = person.glasses and rng.random() < 0.75
            images.append(_draw(person, _vary(EXPRESSIONS[names[k]], rng), wears, size, rng))
            expressions.append(names[k])
            dark = sum(person.hair) < 180
            marks.append([wears, person.beard, person.long, person.fringe, dark, person.thick])
            groups.append(f"person-{seed}-{number + 1:03d}")
    return FaceSet(image=np.stack(images), expression=expressions, attribute=marks, attributes=ATTRIBUTES, group=groups)


def _sample_person(rng: np.random.Generator) -> Person:
    def colour(choice: Any, spread: int) -> tuple[int, int, int]:
        r, g, b = (int(np.clip(c + rng.integers(-spread, spread + 1), 8, 250)) for c in choice)
        return r, g, b

    def near(spread: float) -> float:
        return float(rng.uniform(1 - spread, 1 + spread))

    return Person(
        skin=colour(SKINS[rng.integers(len(SKINS))], 10), hair=colour(HAIRS[rng.integers(len(HAIRS))], 12),
        long=bool(rng.random() < 0.45), fringe=bool(rng.random() < 0.45), beard=bool(rng.random() < 0.3),
        glasses=bool(rng.random() < 0.4), thick=bool(rng.random() < 0.45), jaw=float(rng.uniform(0.55, 0.95)), tall=near(0.13),
        apart=near(0.14), eye=near(0.2), nose=near(0.25), mouth=near(0.2), brow=near(0.5), iris=colour((80, 80, 70), 50),
    )  # fmt: skip


def _vary(mimic: Mimic, rng: np.random.Generator) -> Mimic:
    """Return a stronger or weaker version of an expression."""
    strength = float(rng.uniform(0.7, 1.15))

    def move(value: float, rest: float, spread: float) -> float:
        return rest + strength * (value - rest) + float(rng.normal(0, spread))

    return Mimic(
        eyes=max(move(mimic.eyes, 1.0, 0.06), 0.1), brow_in=move(mimic.brow_in, 0, 0.015), brow_out=move(mimic.brow_out, 0, 0.015),
        corners=move(mimic.corners, 0, 0.012), opening=max(move(mimic.opening, 0, 0.008), 0.0), width=move(mimic.width, 1, 0.04),
        one_sided=float(rng.choice([-1, 1])) * mimic.one_sided * strength, wrinkle=mimic.wrinkle * strength,
    )  # fmt: skip


class _Canvas:
    """A picture to draw on in a face's own coordinates, with the head a little turned, tilted, moved and scaled."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.scale = 2 * size * 0.36 * float(rng.uniform(0.92, 1.08))
        self.image = np.empty((2 * size, 2 * size, 3), np.uint8)
        self.image[:] = rng.integers(60, 230, 3)
        roll, self._yaw = float(rng.normal(0, 0.08)), float(rng.normal(0, 0.12))
        self._turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        self._middle = np.array([size, 1.08 * size]) + rng.normal(0, 0.03 * size, 2)

    def place(self, points: Any, depth: float = 0.0) -> Array:
        """Return px (n, 2) of points (n, 2); what stands out by `depth` moves to the side as the head turns."""
        at = np.asarray(points, np.float64) + np.array([depth * self._yaw, 0.0])
        placed: Array = at @ self._turn.T * self.scale + self._middle
        return placed


def _draw(person: Person, mimic: Mimic, wears: bool, size: int, rng: np.random.Generator) -> Image:
    import cv2

    canvas = _Canvas(size, rng)
    skin, hair = np.array(person.skin, np.float64), np.array(person.hair, np.float64)
    _draw_head(canvas, person, skin, hair)
    for side in (-1.0, 1.0):
        _draw_eye(canvas, person, mimic, side, skin)
        _draw_brow(canvas, person, mimic, side, hair * 0.8)
    _draw_nose(canvas, person, mimic, skin)
    _draw_mouth(canvas, person, mimic, skin)
    if wears:
        _draw_glasses(canvas, person)
    small = cv2.resize(canvas.image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float64)
    lit = small * rng.uniform(0.55, 1.1) + rng.normal(0, rng.uniform(1, 5), small.shape)
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def _draw_head(canvas: _Canvas, person: Person, skin: Array, hair: Array) -> None:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = np.cos(angle), np.sin(angle)
    low = np.clip(y, 0, 1)
    face = np.stack([0.8 * x * (1 - (1 - person.jaw) * low**2), 1.05 * person.tall * y], axis=1)
    cap = np.stack([0.92 * x, np.where(y > 0, 0.35 * y, 1.2 * person.tall * y) - 0.05], axis=1)
    if person.long:
        polygon(canvas.image, canvas.place([[-0.95, -0.4], [0.95, -0.4], [1.0, 1.3], [-1.0, 1.3]], -0.3), hair * 0.9)
    polygon(canvas.image, canvas.place(cap, -0.2), hair)
    polygon(canvas.image, canvas.place(face), skin)
    if person.beard:
        jaw = face[(face[:, 1] > 0.42)]
        polygon(canvas.image, canvas.place(jaw), hair * 0.7 + skin * 0.3)
    if person.fringe:
        lock = np.stack([0.72 * x, np.where(y > 0, 0.1 * y, 0.6 * y) - 0.52], axis=1)
        polygon(canvas.image, canvas.place(lock, 0.1), hair)


def _draw_eye(canvas: _Canvas, person: Person, mimic: Mimic, side: float, skin: Array) -> None:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    middle, wide = np.array([side * 0.34 * person.apart, -0.12]), 0.17 * person.eye
    rim = middle + np.stack([wide * np.cos(angle), 0.085 * person.eye * mimic.eyes * np.sin(angle)], axis=1)
    px = canvas.place(rim, 0.3)
    polygon(canvas.image, px, (240, 238, 234))
    radius = 0.075 * canvas.scale * person.eye
    dot(canvas.image, canvas.place(middle[None], 0.34)[0], min(radius, 0.1 * canvas.scale * mimic.eyes), person.iris)
    stroke(canvas.image, px[10:], skin * 0.25, 0.045 * canvas.scale)
    stroke(canvas.image, px[:11], skin * 0.7, 0.02 * canvas.scale)


def _draw_brow(canvas: _Canvas, person: Person, mimic: Mimic, side: float, colour: Array) -> None:
    inner, outer = 0.14 * person.apart, 0.56 * person.apart
    height = np.array([mimic.brow_in, 0.55 * mimic.brow_in + 0.55 * mimic.brow_out + 0.05, mimic.brow_out])
    points = np.stack([side * np.array([inner, (inner + outer) / 2, outer]), -0.36 - height], axis=1)
    stroke(canvas.image, canvas.place(points, 0.35), colour, (0.1 if person.thick else 0.045) * canvas.scale)


def _draw_nose(canvas: _Canvas, person: Person, mimic: Mimic, skin: Array) -> None:
    tip = 0.26 * person.nose
    ridge = [[-0.05, -0.1], [-0.1 * person.nose, tip - 0.03], [0.0, tip], [0.1 * person.nose, tip - 0.03]]
    stroke(canvas.image, canvas.place(ridge, 0.5), skin * 0.72, 0.035 * canvas.scale)
    for side in (-1.0, 1.0):
        if mimic.wrinkle > 0.2:
            fold = [[side * 0.05, -0.16], [side * 0.12, 0.02], [side * 0.24, 0.2]]
            stroke(canvas.image, canvas.place(fold, 0.4), skin * (1 - 0.4 * mimic.wrinkle), 0.035 * canvas.scale)


def _draw_mouth(canvas: _Canvas, person: Person, mimic: Mimic, skin: Array) -> None:
    share = np.linspace(-1, 1, 13)
    lift = mimic.corners * share**2 + mimic.one_sided * np.clip(share * np.sign(mimic.one_sided), 0, 1) ** 2
    x, arch = 0.36 * person.mouth * mimic.width * share, 1 - share**2
    line = 0.55 - lift
    above, below = line - mimic.opening * 0.5 * arch, line + mimic.opening * arch
    lips = np.concatenate([np.stack([x, above - 0.05 * arch], axis=1), np.stack([x, below + 0.06 * arch], axis=1)[::-1]])
    inside = np.concatenate([np.stack([x, above], axis=1), np.stack([x, below], axis=1)[::-1]])
    for part, colour in ((lips, skin * [0.8, 0.5, 0.5]), (inside, np.array([70.0, 30.0, 30.0]))):
        _fill(canvas.image, canvas.place(part, 0.35), colour)
    stroke(canvas.image, canvas.place(np.stack([x, above], axis=1), 0.35), skin * 0.3, 0.03 * canvas.scale)


def _fill(image: Image, points: Array, colour: Array) -> None:
    """Fill a polygon that need not be convex."""
    import cv2

    cv2.fillPoly(image, [np.rint(points * 16).astype(np.int32)], [float(c) for c in colour], cv2.LINE_AA, 4)


def _draw_glasses(canvas: _Canvas, person: Person) -> None:
    ring = np.linspace(0, 2 * np.pi, 17)
    for side in (-1.0, 1.0):
        rim = np.stack([side * 0.34 * person.apart + 0.25 * np.cos(ring), -0.11 + 0.2 * np.sin(ring)], axis=1)
        stroke(canvas.image, canvas.place(rim, 0.4), (28, 28, 34), 0.045 * canvas.scale)
    stroke(canvas.image, canvas.place([[-0.1, -0.13], [0.1, -0.13]], 0.45), (28, 28, 34), 0.045 * canvas.scale)
