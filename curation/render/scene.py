"""The room: seats on low tiers, desks, cameras that see everybody, and the parts of the picture that do not move."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.render.geometry import Camera, Desk, unit
from curation.render.strokes import polygon

__all__ = ["CAMERAS", "VIEWS", "Layer", "Room", "Seating", "make_camera", "make_room", "paint_background", "paint_seat"]

Image = NDArray[np.uint8]
Array = NDArray[np.float64]

CAMERAS: dict[str, tuple[float, float, float]] = {
    "front": (0.25, 2.3, -0.7),
    "front-left": (-2.5, 2.4, -0.3),
    "front-right": (2.6, 2.3, -0.2),
    "elevated": (-0.7, 3.0, -0.6),
}
"""Camera name → position in the room of 3 columns, metres."""

VIEWS = {"room": CAMERAS, "close": {"desk": (0.2, 1.5, 1.8), "desk-left": (-1.2, 1.55, 2.0)}}
"""View → its cameras: high at the board, or near the first row at the height of the faces, as a webcam stands."""

FIRST_ROW, ROW_PITCH, COLUMN_PITCH, TIER = 4.4, 1.45, 1.15, 0.28


@frozen(kw_only=True)
class Seating:
    """One place: `origin` is the floor under the hips (world metres), `desk` the desk before it."""

    row: int
    column: int
    origin: tuple[float, float, float]
    desk: Desk


@frozen(kw_only=True)
class Room:
    """A room of rows and columns of seats, and its colours (RGB)."""

    seats: tuple[Seating, ...]
    rows: int
    columns: int
    wall: tuple[int, int, int]
    floor: tuple[int, int, int]
    wood: tuple[int, int, int]


def make_room(rows: int, columns: int, rng: np.random.Generator) -> Room:
    """Return a room with staggered rows on tiers, coloured by `rng`."""
    seats = []
    for row in range(rows):
        for column in range(columns):
            shift = (0.25 if row % 2 else -0.25) * (rows > 1)
            x = (column - (columns - 1) / 2 + shift) * COLUMN_PITCH
            z, floor = FIRST_ROW + row * ROW_PITCH, row * TIER
            desk = Desk(x1=x - 0.46, x2=x + 0.46, z1=z - 0.74, z2=z - 0.19, top=floor + 0.72, floor=floor)
            seats.append(Seating(row=row, column=column, origin=(x, floor, z), desk=desk))
    walls = ((206, 204, 190), (186, 198, 204), (214, 200, 178), (190, 202, 184))
    woods = ((186, 146, 100), (204, 172, 128), (150, 112, 78), (196, 190, 178))
    floors = ((128, 118, 108), (108, 112, 118), (142, 124, 102))
    return Room(
        seats=tuple(seats), rows=rows, columns=columns,
        wall=walls[rng.integers(len(walls))], floor=floors[rng.integers(len(floors))], wood=woods[rng.integers(len(woods))],
    )  # fmt: skip


def make_camera(name: str, room: Room, size: tuple[int, int], rng: np.random.Generator) -> Camera:
    """Return camera `name` hung a little differently in every school, aimed and zoomed so that every seat is in the picture."""
    wide = max(1.0, room.columns / 3)
    x, y, z = next(cameras[name] for cameras in VIEWS.values() if name in cameras)
    position = (x * wide + rng.normal(0, 0.08), y + rng.normal(0, 0.05), z - 0.9 * (wide - 1) + rng.normal(0, 0.08))
    corners = np.array(
        [
            [s.origin[0] + dx, s.origin[1] + y, s.origin[2] + dz]
            for s in room.seats
            for dx in (-0.4, 0.4)
            for y, dz in ((0.55, -0.6), (1.72, 0))
        ]
    )
    target = corners.mean(axis=0)
    for _ in range(8):
        probe = Camera(name=name, position=position, target=tuple(target), focal=1000.0, size=size)
        px, _ = probe.project(corners)
        middle = (px.min(axis=0) + px.max(axis=0)) / 2 - np.array(size) / 2
        ahead = unit(target - np.array(position))
        right = unit(np.cross(np.array([0.0, 1.0, 0.0]), ahead))
        distance = float(np.linalg.norm(target - np.array(position)))
        target = target + (right * middle[0] - np.cross(ahead, right) * middle[1]) / 1000 * distance
    half = np.abs(px - np.array(size) / 2).max(axis=0)
    focal = 1000 * float(np.min(np.array(size) / 2 * 0.985 / half))
    return Camera(
        name=name, position=position, target=(float(target[0]), float(target[1]), float(target[2])), focal=focal, size=size
    )


def _shade(colour: Any, factor: float) -> tuple[float, float, float]:
    r, g, b = (float(np.clip(c * factor, 0, 255)) for c in colour)
    return r, g, b


def paint_background(camera: Camera, room: Room, rng: np.random.Generator) -> Image:
    """Return the empty room (H, W, 3) RGB: back wall with posters, side wall with windows, tiers, floor."""
    import cv2

    width, height = camera.size
    image = np.empty((height, width, 3), np.uint8)
    image[:] = _shade(room.wall, 0.9)
    back, half = FIRST_ROW + room.rows * ROW_PITCH + 0.6, (room.columns + 1.5) / 2 * COLUMN_PITCH + 0.8

    def face(points: list[tuple[float, float, float]], colour: Any) -> None:
        polygon(image, camera.project(np.array(points, np.float64))[0], colour)

    face([(-half, 0, back), (half, 0, back), (half, 3.6, back), (-half, 3.6, back)], room.wall)
    for side, tone in ((-half, 0.84), (half, 0.78)):
        face([(side, 0, back), (side, 0, 1.2), (side, 3.6, 1.2), (side, 3.6, back)], _shade(room.wall, tone))
    for k in range(3):
        z = 2.2 + 1.5 * k
        face(
            [(-half + 0.01, 1.1, z), (-half + 0.01, 1.1, z + 1.1), (-half + 0.01, 2.6, z + 1.1), (-half + 0.01, 2.6, z)],
            (226, 236, 244),
        )
    for _ in range(4):
        x, y, w, h = rng.uniform(-half + 0.3, half - 1.2), rng.uniform(1.7, 2.3), rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.6)
        face(
            [(x, y, back - 0.01), (x + w, y, back - 0.01), (x + w, y + h, back - 0.01), (x, y + h, back - 0.01)],
            rng.integers(70, 230, 3),
        )
    for row in range(room.rows, -1, -1):
        z, y = FIRST_ROW + (row - 0.55) * ROW_PITCH, row * TIER
        if row == room.rows:
            y, end, tone = y - TIER, back, 0.95
        else:
            end, tone = z + ROW_PITCH, 0.92 + 0.05 * row
            face([(-half, y - TIER, z), (half, y - TIER, z), (half, y, z), (-half, y, z)], _shade(room.floor, 0.7))
        face([(-half, y, z), (half, y, z), (half, y, end), (-half, y, end)], _shade(room.floor, tone))
    coarse = rng.normal(0, 2.5, (height // 16, width // 16)).astype(np.float32)
    grain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    painted: Image = np.clip(cv2.GaussianBlur(image, (5, 5), 1.1) + grain, 0, 255).astype(np.uint8)
    return painted


class Layer:
    """A part of the picture that stands still: painted once, then laid over each frame."""

    def __init__(self, image: Image, mask: Image) -> None:
        ys, xs = np.nonzero(mask)
        self._window = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)) if len(ys) else (slice(0, 0), slice(0, 0))
        self._image, self._mask = image[self._window].copy(), mask[self._window].copy()

    def lay(self, image: Image) -> None:
        """Lay the layer over a frame of the same size."""
        import cv2

        if self._mask.size:
            cv2.copyTo(self._image, self._mask, image[self._window])


def paint_seat(camera: Camera, seat: Seating, room: Room) -> tuple[Layer, Layer]:
    """Return the chair's back and the desk of one seat as layers."""
    layers = []
    for paint in (_paint_chair, _paint_desk):
        width, height = camera.size
        image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
        for points, colour in paint(seat, room):
            px = camera.project(np.array(points, np.float64))[0]
            polygon(mask, px, (255.0,))
            polygon(image, px, colour)
        solid = np.where(mask > 127, 255, 0).astype(np.uint8)
        layers.append(Layer(image, solid))
    return layers[0], layers[1]


Face = tuple[list[tuple[float, float, float]], tuple[float, float, float]]


def _paint_chair(seat: Seating, room: Room) -> list[Face]:
    x, y, z = seat.origin
    back = [(x - 0.2, y + 0.6, z + 0.2), (x + 0.2, y + 0.6, z + 0.2), (x + 0.19, y + 0.9, z + 0.25), (x - 0.19, y + 0.9, z + 0.25)]
    lower = [(a, b - 0.03, c) for a, b, c in back]
    return [(back, _shade(room.wood, 0.62)), (lower, _shade(room.wood, 0.72))]


def _paint_desk(seat: Seating, room: Room) -> list[Face]:
    desk, wood = seat.desk, room.wood
    x1, x2, z1, z2, top, floor = desk.x1, desk.x2, desk.z1, desk.z2, desk.top, desk.floor
    legs: list[Face] = [
        ([(x, floor, z), (x + 0.03, floor, z), (x + 0.03, top, z), (x, top, z)], (70, 72, 76))
        for z in (z2, z1) for x in (x1 + 0.02, x2 - 0.05)
    ]  # fmt: skip
    edge, low = top - 0.03, floor + 0.08
    front, lit = z1 + 0.01, z1 + 0.2
    return [
        *legs,
        ([(x1 + 0.03, low, z1), (x2 - 0.03, low, z1), (x2 - 0.03, top, z1), (x1 + 0.03, top, z1)], _shade(wood, 0.66)),
        ([(x1, edge, z1), (x1, edge, z2), (x1, top, z2), (x1, top, z1)], _shade(wood, 0.78)),
        ([(x2, edge, z1), (x2, edge, z2), (x2, top, z2), (x2, top, z1)], _shade(wood, 0.74)),
        ([(x1, top, z1), (x2, top, z1), (x2, top, z2), (x1, top, z2)], wood),
        ([(x1 + 0.01, top, front), (x2 - 0.01, top, front), (x2 - 0.01, top, lit), (x1 + 0.01, top, lit)], _shade(wood, 1.05)),
        ([(x1, edge, z1), (x2, edge, z1), (x2, top, z1), (x1, top, z1)], _shade(wood, 0.84)),
    ]
