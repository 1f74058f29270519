"""Covers: other people painted over in a crop, so that the landmark network, which takes one body, takes the right one.

Of whoever sits lower in the picture, and so in front, head and trunk are painted over; of everybody else the head alone, without
which nothing is a body. What is painted over is hidden from view anyway, or not of the body looked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.body import find_heads
from backends.people.regions import to_crop

__all__ = ["Cover", "cover_people", "hide_others"]

_GREY = (110, 110, 110)
"""Like wood and cloth; black is taken for hair."""
_HEAD_REACH, _OWN_REACH = 0.68, 0.6
"""Radius of a head painted over, and of the own one, which is not, by the diameter of the head."""
_SAME_HEAD = 0.5
_IN_FRONT = 1.3
"""So many heads below the middle of the own head the shoulders begin of whoever is in front."""
_SHOULDERS_WIDER, _SHOULDERS_HIGHER = 0.25, 0.1
_REACH = 0.75
"""Distance from the middle of a region, by its side, from which on a head cannot be seen in it: half a diagonal and a little."""
_TURNS = 2 * np.pi * np.arange(12) / 12
_CIRCLE = np.column_stack([np.cos(_TURNS), np.sin(_TURNS)])
Array = NDArray[np.float64]


@frozen(kw_only=True, eq=False)
class Cover:
    """What is painted over: convex `polygons` (K, 2) px of the full frame; but not the circle `own` (3,) = x, y, radius."""

    polygons: tuple[Array, ...]
    own: Array


def cover_people(
    own_heads: NDArray[Any], regions: NDArray[Any], others_px: NDArray[Any], more_heads: NDArray[Any] | None = None
) -> list[Cover]:
    """Return what to paint over in each region (N, 4).

    Args:
        own_heads: (N, 3) = x, y, diameter in px of the person to be looked at in each of them.
        regions: see above.
        others_px: poses (M, 33, 4) of people who are known; whose head is a person's own is not painted over for that person.
        more_heads: heads (K, 3) of people of whom nothing else is known.
    """
    poses, own = np.asarray(others_px, np.float64), np.asarray(own_heads, np.float64).reshape(-1, 3)
    heads = np.concatenate([find_heads(poses), np.zeros((0, 3)) if more_heads is None else more_heads])
    rounds, trunks = _outline_heads(heads), _outline_trunks(poses, heads[: len(poses), 2])
    apart = np.linalg.norm(own[:, None, :2] - heads[None, :, :2], axis=-1)
    other = apart >= _SAME_HEAD * np.maximum(own[:, None, 2], heads[None, :, 2])
    middle = np.asarray(regions, np.float64).reshape(-1, 4)
    other &= np.linalg.norm(middle[:, None, :2] - heads[None, :, :2], axis=-1) < _REACH * middle[:, None, 2] + heads[None, :, 2]
    front = poses[:, 11:13, 1].mean(axis=1)[None] > (own[:, 1] + _IN_FRONT * own[:, 2])[:, None]
    front &= other[:, : len(poses)]
    return [
        Cover(
            polygons=(*(rounds[j] for j in np.flatnonzero(other[i])), *(trunks[j] for j in np.flatnonzero(front[i]))),
            own=own[i] * (1, 1, _OWN_REACH),
        )
        for i in range(len(own))
    ]


def _outline_heads(heads: NDArray[Any]) -> Array:
    """Return the outlines (N, 12, 2) px of heads (N, 3) = x, y, diameter."""
    found = np.asarray(heads, np.float64).reshape(-1, 3)
    outlines: Array = found[:, None, :2] + _HEAD_REACH * found[:, None, 2:] * _CIRCLE
    return outlines


def _outline_trunks(poses: Array, heads: Array) -> Array:
    """Return (N, 6, 2): shoulders, a little wider and higher than their joints, elbows, and half the way to the hips."""
    shoulders, elbows, hips = (poses[:, pair, :2] for pair in ([11, 12], [13, 14], [23, 24]))
    wide = shoulders + _SHOULDERS_WIDER * (shoulders - shoulders.mean(axis=1, keepdims=True))
    high = wide - np.column_stack([np.zeros(len(heads)), _SHOULDERS_HIGHER * heads])[:, None]
    return np.concatenate([high, elbows, 0.5 * (wide + hips)], axis=1)


def hide_others(crop_rgb: NDArray[np.uint8], region: NDArray[Any], cover: Cover) -> NDArray[np.uint8]:
    """Return the crop (side, side, 3) of a region (4,) with the cover painted on it; the crop itself stays as it is."""
    import cv2

    if not cover.polygons:
        return crop_rgb
    side = len(crop_rgb)
    covered = crop_rgb.copy()
    points = np.round(to_crop(np.concatenate([*cover.polygons, cover.own[None, :2]]), region, side)).astype(np.int32)
    start = 0
    for polygon in cover.polygons:
        cv2.fillConvexPoly(covered, cv2.convexHull(points[start : start + len(polygon)]), _GREY)
        start += len(polygon)
    own = np.zeros(crop_rgb.shape[:2], np.uint8)
    cv2.circle(own, points[-1].tolist(), max(round(float(cover.own[2] * side / region[2])), 0), 1, -1)
    result: NDArray[np.uint8] = cv2.copyTo(crop_rgb, own, covered)
    return result
