"""One student at one moment, ready to draw."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from attrs import define
from numpy.typing import NDArray

from curation.render.body import Body
from curation.render.geometry import Camera
from curation.render.looks import Look

__all__ = ["Figure"]

Array = NDArray[np.float64]


@define(kw_only=True, slots=False)
class Figure:
    """`body` at `step` before `camera`; `origin` is the seat. Landmarks `px` (33, 2), `depth` (33,) m, `seen` (33,).

    `eyes`: how far they are open, in [0, 1]; NaN = the face is too small to be drawn in detail.
    """

    body: Body
    step: int
    look: Look
    camera: Camera
    origin: Array
    px: Array
    depth: Array
    seen: NDArray[np.bool_]
    eyes: float

    @property
    def is_close(self) -> bool:
        """Whether the face is drawn in detail."""
        return self.eyes == self.eyes

    @cached_property
    def scale(self) -> float:
        """Px per metre at the shoulders."""
        return float(self.camera.focal / self.depth[11:13].mean())

    @cached_property
    def points(self) -> Array:
        """Landmarks (33, 3) in the seat frame, metres."""
        points: Array = self.body.points[self.step]
        return points

    @cached_property
    def lies(self) -> bool:
        """Whether the torso is bent over the desk."""
        return bool(self.body.chest[self.step, 2] < -0.24)

    def see(self, point: Array) -> Array:
        """Return px (..., 2) of points (..., 3) of the seat frame."""
        return self.camera.project(point + self.origin)[0]

    def towards_camera(self, point: Array) -> Array:
        """Return the direction from a point of the seat frame to the camera."""
        line: Array = np.asarray(self.camera.position) - point - self.origin
        return line / float(np.sqrt(line @ line))

    def on_desk(self, side: int) -> bool:
        """Say whether the hand of `side` (0 left, 1 right) is above the desk."""
        wrist = self.points[15 + side]
        return bool(wrist[1] > 0.72 and wrist[2] < -0.12)
