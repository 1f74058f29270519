"""From truth to pictures: the frames of one clip, drawn from the back of the room to the front."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from curation.render.body import Body
from curation.render.draw import draw_above_desk, draw_below_desk
from curation.render.figure import Figure
from curation.render.geometry import Camera
from curation.render.light import Sensor
from curation.render.objects import draw_on_desk
from curation.render.scene import Room, paint_background, paint_seat
from curation.render.stage import Lesson
from curation.render.truth import Truth

__all__ = ["paint_frames"]

Image = NDArray[np.uint8]


def paint_frames(
    lesson: Lesson, room: Room, camera: Camera, truth: Truth, bodies: list[Body], light: str, rng: np.random.Generator
) -> Iterator[Image]:
    """Yield the recorded frames (H, W, 3) RGB of one clip."""
    background = paint_background(camera, room, rng)
    sensor = Sensor(light, camera.size, rng)
    order = sorted(range(len(room.seats)), key=lambda i: (-room.seats[i].row, -_distance(camera, room, i)))
    depths = [camera.project(body.points + np.array(seat.origin))[1] for body, seat in zip(bodies, room.seats, strict=True)]
    layers = [paint_seat(camera, seat, room) for seat in room.seats]
    for step in range(len(truth.boxes)):
        image = background.copy()
        for i in order:
            seat = room.seats[i]
            figure = Figure(
                body=bodies[i], step=step, look=lesson.members[i].look, camera=camera, origin=np.array(seat.origin),
                px=truth.pose[step, i, :, :2].astype(np.float64), depth=depths[i][step],
                seen=truth.pose[step, i, :, 3] > 0.5, eyes=float(truth.eyes[step, i]),
            )  # fmt: skip
            chair, desk = layers[i]
            chair.lay(image)
            draw_below_desk(image, figure)
            desk.lay(image)
            draw_on_desk(image, figure)
            draw_above_desk(image, figure)
        yield sensor.shoot(image)


def _distance(camera: Camera, room: Room, index: int) -> float:
    return float(np.linalg.norm(np.array(room.seats[index].origin) - np.array(camera.position)))
