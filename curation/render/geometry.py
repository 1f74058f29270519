"""Rotations, pinhole cameras and what a desk hides: the geometry of the rendered classroom.

World frame, metres: x to the right as seen from the board, y up, z from the board into the room; students look along -z, so that a
student's own left is +x. A student's local frame has its origin on the floor under the hips.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

__all__ = ["Camera", "Desk", "find_angles", "find_hidden", "rotate", "solve_elbow", "unit"]

Array = NDArray[np.float64]


def unit(vector: NDArray[Any]) -> Array:
    """Return vectors (..., 3) scaled to length 1."""
    length: Array = np.linalg.norm(vector, axis=-1, keepdims=True)
    scaled: Array = vector / np.maximum(length, 1e-9)
    return scaled


def rotate(yaw: Array, pitch: Array, roll: Array) -> Array:
    """Return rotations (..., 3, 3), columns = own left, up, back of a body part.

    Angles in radians: `yaw` > 0 turns to the own left, `pitch` > 0 bends forward and down, `roll` > 0 tilts to the own right.
    """
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    zero, one = np.zeros_like(cy), np.ones_like(cy)
    turn = _stack([[cy, zero, -sy], [zero, one, zero], [sy, zero, cy]])
    bend = _stack([[one, zero, zero], [zero, cp, sp], [zero, -sp, cp]])
    tilt = _stack([[cr, -sr, zero], [sr, cr, zero], [zero, zero, one]])
    rotation: Array = turn @ bend @ tilt
    return rotation


def find_angles(rotation: Array) -> Array:
    """Return (..., 3) = yaw, pitch, roll in degrees of rotations (..., 3, 3): what `rotate` takes, within ±90° of pitch."""
    yaw = np.arctan2(-rotation[..., 0, 2], rotation[..., 2, 2])
    pitch = np.arcsin(np.clip(rotation[..., 1, 2], -1, 1))
    roll = np.arctan2(rotation[..., 1, 0], rotation[..., 1, 1])
    angles: Array = np.degrees(np.stack([yaw, pitch, roll], axis=-1))
    return angles


def _stack(rows: list[list[Array]]) -> Array:
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def solve_elbow(shoulder: Array, target: Array, pole: Array, upper: float, fore: float) -> tuple[Array, Array]:
    """Two-bone inverse kinematics: return elbow and wrist (..., 3) for a wrist that should be at `target`.

    The elbow leaves the line from shoulder to wrist towards `pole`; a target out of reach is approached as far as the arm is long.
    """
    line = target - shoulder
    distance = np.clip(np.linalg.norm(line, axis=-1, keepdims=True), abs(upper - fore) + 0.02, upper + fore - 0.004)
    ahead = unit(line)
    along = (upper**2 - fore**2 + distance**2) / (2 * distance)
    height = np.sqrt(np.maximum(upper**2 - along**2, 0))
    side = unit(pole - ahead * np.sum(pole * ahead, axis=-1, keepdims=True))
    return shoulder + ahead * along + side * height, shoulder + ahead * distance


@frozen(kw_only=True)
class Camera:
    """A pinhole camera at `position` looking at `target` (world metres); `focal` and `size` (width, height) in px."""

    name: str
    position: tuple[float, float, float]
    target: tuple[float, float, float]
    focal: float
    size: tuple[int, int]

    axes: Array = field(init=False, eq=False, repr=False)

    @axes.default
    def _find_axes(self) -> Array:
        ahead = unit(np.asarray(self.target) - np.asarray(self.position))
        right = unit(np.cross(np.array([0.0, 1.0, 0.0]), ahead))
        return np.stack([right, -np.cross(ahead, right), ahead], axis=1)

    def project(self, points: Array) -> tuple[Array, Array]:
        """Return px (..., 2) and depth (...) in metres of world points (..., 3)."""
        seen = (points - np.asarray(self.position)) @ self.axes
        depth: Array = np.maximum(seen[..., 2], 0.05)
        middle = np.array([self.size[0] / 2, self.size[1] / 2])
        return middle + self.focal * seen[..., :2] / depth[..., None], depth

    def face_from(self, points: Array) -> Array:
        """Return (..., 3, 3), columns = left, up, back of a head at world points (..., 3) that looks straight into the camera."""
        back = unit(points - np.asarray(self.position))
        left = unit(np.cross(np.array([0.0, 1.0, 0.0]), back))
        return np.stack([left, np.cross(back, left), back], axis=-1)


@frozen(kw_only=True)
class Desk:
    """A desk with a modesty panel, in world metres: the top is x1..x2 by z1 (front) .. z2 (student's edge) at height `top`."""

    x1: float
    x2: float
    z1: float
    z2: float
    top: float
    floor: float


def find_hidden(points: Array, camera: Camera, desk: Desk) -> NDArray[np.bool_]:
    """Return which world points (..., 3) the desk hides from the camera: its top or its front panel cuts the line of sight."""
    origin = np.asarray(camera.position)
    ray = points - origin
    with np.errstate(divide="ignore", invalid="ignore"):
        at_top = (desk.top - origin[1]) / ray[..., 1]
        at_front = (desk.z1 - origin[2]) / ray[..., 2]
        on_top = origin + at_top[..., None] * ray
        on_front = origin + at_front[..., None] * ray
    margin = 1 - 0.004
    top = (at_top > 0) & (at_top < margin) & _within(on_top[..., 0], desk.x1, desk.x2) & _within(on_top[..., 2], desk.z1, desk.z2)
    front = (at_front > 0) & (at_front < margin) & _within(on_front[..., 0], desk.x1, desk.x2)
    hidden: NDArray[np.bool_] = top | (front & _within(on_front[..., 1], desk.floor + 0.08, desk.top))
    return hidden


def _within(value: Array, low: float, high: float) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (value >= low) & (value <= high)
    return inside
