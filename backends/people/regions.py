"""Regions: rotated squares of the full frame that a network looks at, and the way there and back.

A region is (cx, cy, size, angle): centre and side in px, clockwise rotation in radians (y points down). Frame coordinates have
their origin at the outer corner of the top left pixel, so the centre of pixel (0, 0) is (0.5, 0.5); crops follow the same
convention, which makes the way back exact to a fraction of a pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "crop_region",
    "narrow_regions",
    "region_from_points",
    "regions_from_boxes",
    "regions_from_faces",
    "to_crop",
    "to_frame",
    "turn_upright",
]

_WIDER = 1.25
"""A region is this much wider than the circle around the body (BlazePose, `scale_x` of its rectangle transformation)."""

_UPPER_BODY = 3.0
"""Side of a region by the height of a box around head, trunk and arms."""


_BODIES_BY_FACE = ((3.2, 10.5), (2.6, 8.4), (2.0, 6.5), (1.4, 8.4))
"""Middle of a region below a face, and its side, by the side of the face box.

The first is the median of the bodies in three photos and a rendered lesson, the others are the sequence of three, of eight
regions tried, that found most of whom the first did not on rendered lessons of 20 and 40 students.
"""


def region_from_points(centre: NDArray[Any], edge: NDArray[Any]) -> NDArray[np.float64]:
    """Return the regions (N, 4) of bodies whose circle has this centre (mid hip) and this point on it, both (N, 2) px.

    The rotation turns the line from centre to edge upright, as MediaPipe's pose graphs do.
    """
    centre, edge = np.asarray(centre, np.float64), np.asarray(edge, np.float64)
    across, down = (edge - centre).T
    angle = np.arctan2(across, -down)
    size = 2 * _WIDER * np.hypot(across, down)
    return np.column_stack([centre, size, angle])


def regions_from_boxes(boxes_xyxy: NDArray[Any]) -> NDArray[np.float64]:
    """Return two guesses (2, N, 4) for the regions of people with boxes (N, 4) px: the box holds the whole body, or the upper half.

    The region of an upper body reaches as far below the box as the hidden legs would, since the network expects a whole body.
    """
    x1, y1, x2, y2 = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4).T
    zero, x, long = np.zeros_like(x1), (x1 + x2) / 2, np.maximum(x2 - x1, y2 - y1)
    whole = np.column_stack([x, (y1 + y2) / 2, _WIDER * long, zero])
    upper = np.column_stack([x, y2 + 0.1 * (y2 - y1), _UPPER_BODY * (y2 - y1), zero])
    return np.stack([whole, upper])


def regions_from_faces(boxes_xyxy: NDArray[Any]) -> NDArray[np.float64]:
    """Return four guesses (4, N, 4) for the regions of upright bodies with faces (N, 4) px: whole, then less and less of it.

    Where somebody sits in front, a region of the whole body is centred on that person, and the network takes them.
    """
    x1, y1, x2, y2 = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4).T
    side = np.maximum(x2 - x1, y2 - y1)
    x, y, zero = (x1 + x2) / 2, (y1 + y2) / 2, np.zeros_like(side)
    return np.stack([np.column_stack([x, y + below * side, size * side, zero]) for below, size in _BODIES_BY_FACE])


def narrow_regions(regions: NDArray[Any], shoulders: NDArray[Any]) -> NDArray[np.float64]:
    """Return regions (N, 4) that look at the upper body alone: closer to the shoulders (N, 2) and smaller.

    A region is centred on the hips; where somebody sits in front, that is another person's head, and the network takes that one.
    """
    narrow = np.array(regions, np.float64).reshape(-1, 4)
    narrow[:, :2] += 0.4 * (np.asarray(shoulders, np.float64) - narrow[:, :2])
    narrow[:, 2] *= 0.8
    return narrow


def _matrix(region: NDArray[Any], side: int) -> NDArray[np.float64]:
    """Affine (2, 3) from crop coordinates (px of a crop of `side` px) to the frame."""
    cx, cy, size, angle = np.asarray(region, np.float64).tolist()
    scale, cos, sin = size / side, np.cos(angle), np.sin(angle)
    matrix = np.empty((2, 3))
    matrix[:, :2] = scale * np.array([[cos, -sin], [sin, cos]])
    matrix[:, 2] = np.array([cx, cy]) - matrix[:, :2] @ np.array([side / 2, side / 2])
    return matrix


def crop_region(image_rgb: NDArray[np.uint8], region: NDArray[Any], side: int) -> NDArray[np.uint8]:
    """Return the region as an upright crop (side, side, 3); black outside the frame."""
    import cv2

    matrix = _matrix(region, side)
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop: NDArray[np.uint8] = cv2.warpAffine(image_rgb, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return crop


def to_frame(points: NDArray[Any], region: NDArray[Any], side: int) -> NDArray[np.float64]:
    """Return crop points (..., 2), px of a crop of `side` px, as px of the full frame."""
    matrix = _matrix(region, side)
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def to_crop(points: NDArray[Any], region: NDArray[Any], side: int) -> NDArray[np.float64]:
    """Return frame points (..., 2) px as px of a crop of `side` px: the way back of `to_frame`."""
    matrix = _matrix(region, side)
    placed: NDArray[np.float64] = (np.asarray(points, np.float64) - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T.astype(
        np.float64
    )
    return placed


def turn_upright(vectors: NDArray[Any], region: NDArray[Any]) -> NDArray[np.float64]:
    """Return vectors (..., 3) along the axes of a region's crop as vectors along the axes of the frame; z stays."""
    cos, sin = np.cos(region[3]), np.sin(region[3])
    turned: NDArray[np.float64] = np.asarray(vectors, np.float64) @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return turned
