"""Where a head looks: yaw, pitch and roll from the 478 points of its face.

Conventions, here and everywhere: degrees against the line from the camera to the head, so that 0, 0, 0 looks straight into the
camera; yaw > 0 turns to the person's own left, pitch > 0 bows, roll > 0 tilts to the own right. Turned in that order: yaw about
the upright axis, then pitch about the axis of the ears, then roll about the line of sight. Upright is the picture's vertical.
Yaw and roll are in ±180°, pitch in ±90°. Pitch is 0 where the middle of the hairline stands right above the chin.

Considered and not used: `cv2.solvePnP` with a canonical face needs a focal length, which nobody knows of a lesson's camera, and
throws the network's depth away; MediaPipe's own face geometry needs the metadata of a bundle that is not to be had everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.checks import check_array

__all__ = ["compute_head_angles", "compute_pose_yaw"]

_PAIRS = (
    [33, 133, 61, 234, 127, 93, 58, 70, 105, 132, 172, 54],
    [263, 362, 291, 454, 356, 323, 288, 300, 334, 361, 397, 284],
)
"""Points of the right half of the face, and their mirror images of the left half: corners of eyes and mouth, brows, outline."""
_HAIRLINE, _CHIN = 10, 152
_NOSE, _EARS = 0, (8, 7)
_NOSE_BY_EARS = 0.75
"""How far the tip of the nose lies before the line between the ears, by their distance."""


def compute_head_angles(points_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return yaw, pitch and roll (N, 3) in degrees of faces (N, 478, 3) = x px, y px, z (px scale, smaller is nearer).

    The axis of the ears is the mean of the lines between mirrored points, the upright axis the line from chin to hairline; the
    rotation is the nearest one to them and their cross product (orthogonal Procrustes). NaN where a point is.

    Raises:
        InvalidField: if the points are not (N, at least 468, 3).
    """
    points = check_array("points_px", points_px, (None, None, 3)).astype(np.float64) * [1.0, -1.0, 1.0]
    left = (points[:, _PAIRS[1]] - points[:, _PAIRS[0]]).sum(axis=1)
    up = points[:, _HAIRLINE] - points[:, _CHIN]
    angles = np.full((len(points), 3), np.nan)
    known = np.flatnonzero(np.isfinite(left).all(axis=1) & np.isfinite(up).all(axis=1))
    if len(known):
        angles[known] = _decompose(_find_rotations(_unit(left[known]), _unit(up[known])))
    return angles


def compute_pose_yaw(pose_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return the yaw (N,) in degrees of the heads of poses (N, 33, 4), for faces too small or too far turned to be read.

    Nose and ears are taken for a rigid triangle seen from the side: its offset along the picture's horizontal is the sine, the
    distance of the ears the cosine. About as exact as `compute_head_angles` up to 45°, less beyond; NaN where a point is.

    Raises:
        InvalidField: if the poses are not (N, 33, at least 2).
    """
    x = check_array("pose_px", pose_px, (None, 33, None)).astype(np.float64)[..., 0]
    right, left = x[:, _EARS[0]], x[:, _EARS[1]]
    yaw: NDArray[np.float64] = np.degrees(np.arctan2((x[:, _NOSE] - (right + left) / 2) / _NOSE_BY_EARS, left - right))
    return yaw


def _unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return scaled


def _find_rotations(left: NDArray[np.float64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rotations (N, 3, 3), columns = own left, up, back; for directions (N, 3) along picture left to right, up, away."""
    axes: NDArray[np.float64] = np.stack([left, up, _unit(np.cross(left, up))], axis=-1).astype(np.float64)
    u, _, vt = np.linalg.svd(axes)
    rotations: NDArray[np.float64] = u @ vt
    return rotations


def _decompose(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    yaw = np.arctan2(-rotations[:, 0, 2], rotations[:, 2, 2])
    pitch = np.arcsin(np.clip(rotations[:, 1, 2], -1, 1))
    roll = np.arctan2(rotations[:, 1, 0], rotations[:, 1, 1])
    angles: NDArray[np.float64] = np.degrees(np.column_stack([yaw, pitch, roll]))
    return angles
