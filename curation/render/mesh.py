"""Closed surfaces of rings, lit and drawn facet by facet: torso, head and hair."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from curation.render.geometry import Camera, unit

__all__ = ["draw_mesh", "make_head", "make_torso"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

LIGHT = unit(np.array([-0.35, 0.85, -0.6]))
SIDES = 14


def _facets(rings: int, sides: int) -> NDArray[np.int64]:
    ring, side = np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij")
    a = ring * sides + side
    b = ring * sides + (side + 1) % sides
    return np.stack([a, b, b + sides, a + sides], axis=-1).reshape(-1, 4)


@cache
def make_torso(build: float) -> tuple[Array, NDArray[np.int64]]:
    """Return a torso's vertices (n, 3) around the middle of the hips, in metres for a body of size 1, and its facets (m, 4)."""
    levels = (
        # height, half width, half depth, forward
        (-0.08, 0.150, 0.100, 0.00), (0.12, 0.148, 0.100, 0.00), (0.38, 0.142, 0.098, 0.00), (0.66, 0.160, 0.108, 0.004),
        (0.88, 0.180, 0.096, 0.0), (0.99, 0.184, 0.076, -0.008), (1.06, 0.150, 0.064, -0.012), (1.115, 0.075, 0.052, -0.012),
    )  # fmt: skip
    angle = np.arange(SIDES) / SIDES * 2 * np.pi
    rings = []
    for height, wide, deep, ahead in levels:
        x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.85 * wide * build
        z = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.85 * deep * build - ahead
        rings.append(np.stack([x, np.full(SIDES, height * 0.47), z], axis=-1))
    return np.concatenate(rings), _facets(len(levels), SIDES)


@cache
def make_head(
    style: str, rings: int = 12, sides: int = 16, *, dense_front: bool = False
) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
    """Return a head's vertices (n, 3) in units of the head's radii, its facets (m, 4) and which facets are hair."""
    polar = np.linspace(0.02, np.pi - 0.02, rings)
    angle = np.arange(sides) / sides * 2 * np.pi
    if dense_front:
        polar, angle = polar + 0.3 * np.sin(2 * polar), angle + 0.65 * np.sin(angle)
    y = np.repeat(np.cos(polar), sides)
    around = np.repeat(np.sin(polar), sides)
    x, z = around * np.tile(np.sin(angle), rings), around * np.tile(np.cos(angle), rings)
    low = np.clip(-y, 0, 1)
    front = np.clip(-z, 0, 1)
    shaped = np.stack([x * (1 - 0.26 * low**1.4), y, z * (1 - 0.18 * low) - 0.1 * low * (front > 0)], axis=-1)
    facets = _facets(rings, sides)
    centre = np.stack([x, y, z], axis=-1)[facets].mean(axis=1)
    hair = _covers(style, centre)
    puff = {"crop": 1.03, "curly": 1.2, "short": 1.07}.get(style, 1.09)
    grow = np.ones(len(shaped))
    grow[np.unique(facets[hair])] = puff
    return shaped * grow[:, None], facets, hair


def _covers(style: str, at: Array) -> NDArray[np.bool_]:
    """Say which directions (n, 3) of the head are covered by hair."""
    x, y, z = at.T
    line = {"crop": 0.66, "side": 0.42 + 0.22 * np.sign(x) * (np.abs(x) > 0.1), "curly": 0.5, "bob": 0.5}.get(style, 0.55)
    top = y > line
    side = (z > -0.28) & (np.abs(x) > 0.35) & (y > (0.1 if style in ("short", "crop", "side") else -0.35))
    back = (z > 0.1) & (y > (-0.45 if style in ("short", "crop", "side") else -0.8))
    covered: NDArray[np.bool_] = top | side | back
    return covered


def draw_mesh(image: Image, camera: Camera, vertices: Array, facets: NDArray[np.int64], colours: Array, gloss: float) -> None:
    """Draw the facets that face the camera, far ones first, each in its colour (m, 3) by the light that falls on it.

    `vertices` (n, 3) are world metres; the outer side of a facet is the one away from the middle of the surface. `gloss` in
    [0, 1] is how much the light matters.
    """
    import cv2

    px, depth = camera.project(vertices)
    corners = vertices[facets]
    normal = unit(np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]))
    middle = corners.mean(axis=1)
    outward = np.sign(np.sum(normal * (middle - vertices.mean(axis=0)), axis=1, keepdims=True) + 1e-12)
    normal = normal * outward
    facing = np.sum(normal * (np.asarray(camera.position) - middle), axis=1) > 0
    bright = 1 - gloss + gloss * np.clip(normal @ LIGHT * 0.65 + 0.45, 0, 1.15)
    shaded = np.clip(colours * bright[:, None], 0, 255)
    order = np.flatnonzero(facing)
    order = order[np.argsort(-depth[facets[order]].mean(axis=1), kind="stable")]
    fixed = np.round(np.clip(px, -2000, 4000) * 16 - 8).astype(np.int32)[facets[order]]
    for points, colour in zip(fixed, shaded[order].tolist(), strict=True):
        cv2.fillConvexPoly(image, points, colour, cv2.LINE_8, 4)
