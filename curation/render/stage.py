"""A lesson as it happens, before any camera: who sits where and moves how; then what one camera would see of it, exactly."""

from __future__ import annotations

import hashlib

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.render.behaviours import BEHAVIOURS, RATE, column
from curation.render.blinks import Blinks, sample_blinks
from curation.render.body import HEAD_RADII, Body, build_body
from curation.render.geometry import Camera, find_angles, find_hidden
from curation.render.looks import Look, Style, sample_look, sample_style
from curation.render.motion import Performance, perform
from curation.render.scene import Room
from curation.render.truth import Truth

__all__ = ["Lesson", "Member", "observe", "sample_bodies", "seed_for", "stage_lesson"]

Array = NDArray[np.float64]

CLOSE = 320.0
"""Px per metre from which a face is drawn in detail: forehead to chin 60 px."""


@frozen(kw_only=True)
class Member:
    """One student in one lesson."""

    name: str
    look: Look
    style: Style
    performance: Performance
    blinks: Blinks


@frozen(kw_only=True)
class Lesson:
    """One lesson: its students in the order of the room's seats."""

    name: str
    school: str
    members: tuple[Member, ...]


def seed_for(*parts: object) -> np.random.Generator:
    """Return a generator of its own for what `parts` name, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], np.uint32).tolist())


def stage_lesson(seed: int, lesson: int, group: int, seats: int, seconds: float) -> Lesson:
    """Return lesson number `lesson` (0-based) of class number `group`: same class, same students; other lesson, other motion."""
    weights = np.exp(seed_for(seed, "lesson", lesson).normal(0, 0.25, len(BEHAVIOURS)))
    members = []
    for seat in range(seats):
        look = sample_look(seed_for(seed, "look", group, seat))
        style = sample_style(seed_for(seed, "style", group, seat))
        motion = perform(seconds, style, seed_for(seed, "motion", lesson, seat), weights.tolist())
        blinks = sample_blinks(seconds, seed_for(seed, "blinks", lesson, seat))
        name = f"class-{group + 1:02d}-student-{seat + 1:02d}"
        members.append(Member(name=name, look=look, style=style, performance=motion, blinks=blinks))
    return Lesson(name=f"lesson-{lesson + 1:02d}", school=f"school-{'ab'[group % 2]}", members=tuple(members))


def sample_bodies(lesson: Lesson, times: Array) -> tuple[list[Body], NDArray[np.str_]]:
    """Return every student's body at `times` (F,) seconds, and the behaviours (F, P)."""
    bodies, labels = [], []
    for member in lesson.members:
        controls = member.performance.controls
        at = np.clip(times * RATE, 0, len(controls) - 1)
        low = np.minimum(at.astype(int), len(controls) - 2)
        part = (at - low)[:, None]
        bodies.append(build_body(controls[low] * (1 - part) + controls[low + 1] * part, member.look, member.style.hand))
        labels.append(np.array(BEHAVIOURS)[member.performance.behaviour[np.round(at).astype(int)]])
    return bodies, np.stack(labels, axis=1)


def observe(lesson: Lesson, room: Room, camera: Camera, times: Array, fps: float) -> tuple[Truth, list[Body]]:
    """Return what the camera would see at `times` (F,), exactly, and the bodies to draw."""
    bodies, behaviour = sample_bodies(lesson, times)
    origins = np.array([seat.origin for seat in room.seats])
    poses, extents, heads, eyes = [], [], [], []
    for body, origin, member in zip(bodies, origins, lesson.members, strict=True):
        seen = _see(body.points + origin, camera, room)
        seen[..., 3] *= ~_hidden_by_head(body, origin, camera)
        poses.append(seen)
        extents.append(_outline(body, member.look, origin, camera, room))
        heads.append(find_angles(np.swapaxes(camera.face_from(body.head + origin), 1, 2) @ body.head_turn))
        eyes.append(_open_eyes(member, body, times) if _is_close(origin, camera) else np.full(len(times), np.nan))
    pose = np.stack(poses, axis=1)
    _hide_behind_others(pose, bodies, origins, camera)
    boxes = np.stack(extents, axis=1)
    return Truth(
        boxes=boxes,
        pose=pose,
        behaviour=behaviour,
        student=np.array([member.name for member in lesson.members]),
        fps=fps,
        head=np.stack(heads, axis=1),
        eyes=np.stack(eyes, axis=1),
    ), bodies


def _is_close(origin: Array, camera: Camera) -> bool:
    """Say whether the eyes of whoever sits there are large enough to be drawn open or closed."""
    distance = np.linalg.norm(origin + np.array([0, 1.2, 0]) - np.asarray(camera.position))
    return bool(camera.focal / distance >= CLOSE)


def _open_eyes(member: Member, body: Body, times: Array) -> Array:
    """Return (F,) how far the eyes are open: closed in sleep, and in blinks."""
    awake = np.clip(body.objects[:, column("eyes")], 0, 1)
    opened: Array = awake * member.blinks.open_at(times)
    return opened


def _see(points: Array, camera: Camera, room: Room) -> Array:
    """Return x, y, z, visibility (F, V, 4) of world points (F, V, 3): desks and the frame's edge hide."""
    px, depth = camera.project(points)
    middle = depth[:, 23:25].mean(axis=1, keepdims=True)
    z = (depth - middle) * camera.focal / middle
    hidden = np.zeros(depth.shape, bool)
    for seat in room.seats:
        hidden |= find_hidden(points, camera, seat.desk)
    outside = (px < 0).any(axis=-1) | (px >= np.array(camera.size)).any(axis=-1)
    return np.concatenate([px, z[..., None], (~(hidden | outside)).astype(float)[..., None]], axis=-1)


def _hidden_by_head(body: Body, origin: Array, camera: Camera) -> NDArray[np.bool_]:
    """Return which landmarks (F, 33) the own head covers: the far side of the face, and what is right behind the head."""
    head = body.head + origin
    centre, depth = camera.project(head)
    px, depths = camera.project(body.points + origin)
    off = np.linalg.norm(px - centre[:, None], axis=-1) * depth[:, None] / camera.focal
    hidden: NDArray[np.bool_] = (off < 0.085) & (depths > depth[:, None] + 0.03)
    return hidden


def _hide_behind_others(pose: Array, bodies: list[Body], origins: Array, camera: Camera) -> None:
    """Set the visibility of landmarks to 0 where the head or torso of a nearer student covers them."""
    heads = [camera.project(body.head + origin) for body, origin in zip(bodies, origins, strict=True)]
    for i, (_, depth_i) in enumerate(heads):
        for j, (head, depth) in enumerate(heads):
            if i == j or depth.mean() > depth_i.mean() - 0.5:
                continue
            scale = camera.focal / depth
            off = pose[:, i, :, :2] - head[:, None]
            covered = np.hypot(off[..., 0], off[..., 1]) < 0.10 * scale[:, None]
            chest = pose[:, j, [11, 12, 23, 24], :2]
            left, right = chest[..., 0].min(axis=1, keepdims=True), chest[..., 0].max(axis=1, keepdims=True)
            top, low = chest[:, :2, 1].min(axis=1, keepdims=True), chest[:, 2:, 1].max(axis=1, keepdims=True)
            x, y = pose[:, i, :, 0], pose[:, i, :, 1]
            covered |= (x > left) & (x < right) & (y > top) & (y < low)
            pose[:, i, :, 3] *= ~covered


def _outline(body: Body, look: Look, origin: Array, camera: Camera, room: Room) -> Array:
    """Return boxes (F, 4) around what is seen of the body."""
    points, radii = [], []

    def add(point: Array, radius: float) -> None:
        points.append(point)
        radii.append(radius)

    for side in (0, 1):
        shoulder, elbow, wrist, hip = (body.points[:, j + side] for j in (11, 13, 15, 23))
        for t in (0.0, 0.35, 0.7, 1.0):
            add(shoulder * (1 - t) + elbow * t, 0.05)
            add(elbow * (1 - t) + wrist * t, 0.035)
        for t in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9):
            add(shoulder * (1 - t) + hip * t, 0.02)
        for j in (17, 19, 21):
            add(body.points[:, j + side], 0.02)
        for j in (25, 27, 31):
            add(body.points[:, j + side], 0.05)
    pole = np.linspace(0, np.pi, 7)
    for a in pole:
        for b in np.linspace(0, 2 * np.pi, 9)[:-1]:
            direction = np.array([np.sin(a) * np.cos(b), np.cos(a), np.sin(a) * np.sin(b)])
            add(body.head + body.head_turn @ (direction * HEAD_RADII * look.head * 1.05), 0.0)
    world = np.stack(points, axis=1) + origin
    px, depth = camera.project(world)
    hidden = np.zeros(depth.shape, bool)
    for seat in room.seats:
        hidden |= find_hidden(world, camera, seat.desk)
    grow = (np.array(radii) * camera.focal / depth)[..., None]
    low = np.where(hidden[..., None], np.inf, px - grow).min(axis=1)
    high = np.where(hidden[..., None], -np.inf, px + grow).max(axis=1)
    size = np.array(camera.size, np.float64)
    box = np.concatenate([np.clip(low, 0, size), np.clip(high, 0, size)], axis=-1)
    empty = (box[:, 2] - box[:, 0] < 2) | (box[:, 3] - box[:, 1] < 2)
    box[empty] = np.nan
    return np.asarray(box, np.float64)
