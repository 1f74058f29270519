"""Rendering whole clips: every lesson from every camera, with its truth and its description beside the video."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from curation.render.geometry import Camera
from curation.render.light import LIGHTS
from curation.render.scene import VIEWS, Room, make_camera, make_room
from curation.render.stage import Lesson, observe, seed_for, stage_lesson
from curation.render.truth import Truth, read_truth, truth_path, write_truth
from schemas.checks import check_range
from schemas.errors import FormatError, InvalidField, UnknownName
from schemas.files import write_text

__all__ = ["RenderConfig", "render_classroom", "render_clip"]

Image = NDArray[np.uint8]


VERSION = 3
"""Counts up when the same settings give another picture or another motion, so that older clips are not taken for these."""


def _pair(value: Any) -> tuple[int, int]:
    width, height = value
    return int(width), int(height)


@frozen(kw_only=True)
class RenderConfig:
    """Everything a rendered classroom depends on.

    `lessons` × `cameras` clips of `rows` × `columns` students, `seconds` long at `fps`, of `size` (width, height; even) px, seen
    from one of `VIEWS`. `light` is a level of `LIGHTS` or "mixed" (another one for each lesson). `classes` groups of students
    share the lessons; 0 = one for each lesson.
    """

    seed: int = 0
    lessons: int = 8
    cameras: int = 2
    rows: int = 2
    columns: int = 3
    seconds: float = 24.0
    fps: float = 12.0
    size: tuple[int, int] = field(default=(960, 540), converter=_pair)
    light: str = "mixed"
    classes: int = 0
    view: str = "room"

    def __attrs_post_init__(self) -> None:
        if self.view not in VIEWS:
            raise UnknownName("view", self.view, VIEWS)
        limits: dict[str, tuple[float, float]] = {"seed": (0, 2**62), "lessons": (1, 1000), "cameras": (1, len(VIEWS[self.view]))}
        limits |= {"rows": (1, 6), "columns": (1, 10), "seconds": (0.5, 7200), "fps": (1, 60), "classes": (0, self.lessons)}
        for name, (low, high) in limits.items():
            check_range(f"render.{name}", getattr(self, name), low, high)
        if any(not 64 <= n <= 4096 or n % 2 for n in self.size):
            raise InvalidField("render.size", "even width and height from 64 to 4096 px", self.size)
        if self.light not in (*LIGHTS, "mixed"):
            raise UnknownName("light level", self.light, [*LIGHTS, "mixed"])

    def light_of(self, lesson: int) -> str:
        """Return the light level of a lesson."""
        levels = ("normal", "bright", "uneven", "dim")
        return self.light if self.light != "mixed" else levels[lesson % len(levels)]


def render_classroom(
    out: str | Path,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    config: RenderConfig | None = None,
    **settings: Any,
) -> list[Path]:
    """Render all clips into `out` and return their paths in order: ``<lesson>-<camera>.mp4``, ``.truth.npz``, ``.clip.json``.

    `settings` are fields of `RenderConfig`. The same settings give the same bytes. Clips that are there, whole and of the same
    settings, are kept: an interrupted run goes on where it was. `progress(done, total)` counts frames.

    Raises:
        InvalidField: if a setting is out of its range.
        UnknownName: if the light level is unknown.
        StorageError: if a file cannot be written.
    """
    config = evolve(config or RenderConfig(), **settings)
    jobs = [(lesson, camera) for lesson in range(config.lessons) for camera in list(VIEWS[config.view])[: config.cameras]]
    paths = [Path(out) / f"lesson-{lesson + 1:02d}-{camera}.mp4" for lesson, camera in jobs]
    per_clip = round(config.seconds * config.fps)
    todo = [(path, *job) for path, job in zip(paths, jobs, strict=True) if not _is_done(path, config, *job)]
    done = (len(jobs) - len(todo)) * per_clip
    report = progress or (lambda *_: None)
    report(done, len(jobs) * per_clip)
    for _ in _run(config, todo, workers):
        done += per_clip
        report(done, len(jobs) * per_clip)
    return paths


def _run(config: RenderConfig, todo: list[tuple[Path, int, str]], workers: int) -> Iterator[None]:
    if workers <= 1 or len(todo) <= 1:
        for path, lesson, camera in todo:
            render_clip(path, config, lesson, camera)
            yield
        return
    with ProcessPoolExecutor(min(workers, len(todo), os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(render_clip, path, config, lesson, camera) for path, lesson, camera in todo]):
            future.result()
            yield


def render_clip(path: Path, config: RenderConfig, lesson: int, camera: str) -> None:
    """Render one clip: video first, truth next, description last, so that a clip with a description is whole."""
    from curation.render.paint import paint_frames
    from curation.render.video import write_video

    room, eye, plan = set_up(config, lesson, camera)
    times = np.arange(round(config.seconds * config.fps)) / config.fps
    truth, bodies = observe(plan, room, eye, times, config.fps)
    rng = seed_for(config.seed, "sensor", lesson, camera)
    description = path.with_name(f"{path.stem}.clip.json")
    description.unlink(missing_ok=True)
    write_video(path, paint_frames(plan, room, eye, truth, bodies, config.light_of(lesson), rng), fps=config.fps, size=config.size)
    write_truth(truth_path(path), truth)
    write_text(description, _describe(config, lesson, camera, plan, truth))


def set_up(config: RenderConfig, lesson: int, camera: str) -> tuple[Room, Camera, Lesson]:
    """Return the room, the camera in it and the lesson. A school keeps its room, a class its school, a camera its place."""
    group = lesson % (config.classes or config.lessons)
    room = make_room(config.rows, config.columns, seed_for(config.seed, "room", group))
    eye = make_camera(camera, room, config.size, seed_for(config.seed, "camera", group, camera))
    return room, eye, stage_lesson(config.seed, lesson, group, len(room.seats), config.seconds)


def _describe(config: RenderConfig, lesson: int, camera: str, plan: Lesson, truth: Truth) -> str:
    """Return the sidecar that `curate add` reads. A seat is the middle of where its student was seen, grown a little."""
    seats = []
    for person, name in enumerate(truth.student.tolist()):
        boxes = truth.boxes[:, person]
        if np.isnan(boxes).all():
            continue
        x1, _, x2, _ = np.nanmedian(boxes, axis=0)
        y1, y2 = np.nanmin(boxes[:, 1]), np.nanmax(boxes[:, 3])
        seats.append({"student": name, "box_xyxy": [round(float(v), 1) for v in (x1, y1, x2, y2)]})
    light = config.light_of(lesson)
    context = {
        "user": f"{len(seats)} students", "task": "lesson", "location": plan.school, "time": "daytime",
        "equipment": f"camera {camera}, {config.size[0]}x{config.size[1]} px, {config.fps:g} fps",
        "infrastructure": f"rendered classroom, light {light}",
    }  # fmt: skip
    data = {"lesson": plan.name, "camera": camera, "school": plan.school, "context": context, "seats": seats}
    return json.dumps(data | {"render": _settings(config)}, indent=1, sort_keys=True) + "\n"


def _settings(config: RenderConfig) -> dict[str, object]:
    from attrs import asdict

    return asdict(config) | {"size": list(config.size), "version": VERSION}


def _is_done(path: Path, config: RenderConfig, lesson: int, camera: str) -> bool:
    """Say whether the clip is there, whole, and was rendered with these settings."""
    try:
        told = json.loads(path.with_name(f"{path.stem}.clip.json").read_text("utf-8"))
        truth = read_truth(path)
    except (OSError, ValueError, FormatError):
        return False
    frames = round(config.seconds * config.fps)
    same = told.get("render") == _settings(config) and told.get("camera") == camera
    return bool(same and path.is_file() and path.stat().st_size > 0 and len(truth.boxes) == frames)
