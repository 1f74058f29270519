"""Who the students are: an own look and an own way of moving, each drawn once per student from the seed."""

from __future__ import annotations

import numpy as np
from attrs import frozen

__all__ = ["HAIR_STYLES", "Look", "Style", "sample_look", "sample_style"]

Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = ((246, 216, 192), (232, 190, 160), (214, 165, 130), (190, 138, 102), (150, 104, 74), (108, 74, 54))
HAIRS: tuple[Colour, ...] = ((28, 24, 24), (52, 38, 30), (88, 60, 40), (128, 90, 52), (176, 138, 84), (70, 34, 26))
CLOTHES: tuple[Colour, ...] = (
    (62, 92, 140), (142, 44, 52), (70, 118, 86), (120, 150, 186), (92, 78, 126), (58, 62, 70), (204, 206, 210), (44, 110, 112),
    (84, 138, 150), (96, 54, 104), (98, 118, 70), (36, 52, 88),
)  # fmt: skip
HAIR_STYLES = ("short", "crop", "side", "bob", "long", "tail", "curly")


@frozen(kw_only=True)
class Look:
    """What one student looks like. Colours are RGB; `height` and `build` scale a body of 1.65 m (1 = average)."""

    skin: Colour
    hair: Colour
    hair_style: str
    shirt: Colour
    pattern: str
    sleeve: float
    trousers: Colour
    glasses: bool
    height: float
    build: float
    head: float
    face: float


@frozen(kw_only=True)
class Style:
    """How one student moves: `hand` +1 left-handed, -1 right-handed; amplitudes, speeds and offsets around 1 or 0."""

    hand: int
    amplitude: float
    speed: float
    slouch: float
    head_down: float
    fidget: float
    reach: float
    side: int


def sample_look(rng: np.random.Generator) -> Look:
    """Return one student's look."""

    def vary(colour: Colour, spread: int) -> Colour:
        r, g, b = (int(np.clip(c + rng.integers(-spread, spread + 1), 8, 250)) for c in colour)
        return r, g, b

    skin = vary(SKINS[rng.choice(len(SKINS), p=[0.18, 0.24, 0.2, 0.16, 0.13, 0.09])], 6)
    hair = vary(HAIRS[rng.integers(len(HAIRS))], 8)
    return Look(
        skin=skin,
        hair=hair if sum(skin) - sum(hair) > 150 else (26, 22, 22),
        hair_style=str(rng.choice(HAIR_STYLES)),
        shirt=vary(CLOTHES[rng.integers(len(CLOTHES))], 14),
        pattern=str(rng.choice(["plain", "plain", "stripes", "hoodie", "collar"])),
        sleeve=float(rng.choice([0.45, 1.0, 1.0])),
        trousers=vary((48, 54, 74), 16),
        glasses=bool(rng.random() < 0.3),
        height=float(rng.uniform(0.93, 1.07)),
        build=float(rng.uniform(0.9, 1.16)),
        head=float(rng.uniform(0.96, 1.05)),
        face=float(rng.uniform(0.94, 1.06)),
    )


def sample_style(rng: np.random.Generator) -> Style:
    """Return one student's way of moving."""
    return Style(
        hand=1 if rng.random() < 0.15 else -1,
        amplitude=float(rng.uniform(0.75, 1.25)),
        speed=float(rng.uniform(0.75, 1.3)),
        slouch=float(rng.uniform(-0.05, 0.16)),
        head_down=float(rng.normal(0, 0.06)),
        fidget=float(rng.uniform(0.5, 1.5)),
        reach=float(rng.uniform(-0.04, 0.05)),
        side=1 if rng.random() < 0.5 else -1,
    )
