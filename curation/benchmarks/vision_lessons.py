"""Rendered lessons as pictures and poses for `curate bench vision`, kept from run to run: the same settings give the same bytes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.errors import FormatError
from schemas.sequences import SequenceSet, read_sequences, write_sequences

__all__ = ["CACHE", "draw_lessons"]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate" / "bench"

WINDOW, POSE_FPS, CROP_FPS = 2.0, 6.0, 2.0
_VERSION = 2
"""Counts up when the same settings give other pictures or poses."""


def draw_lessons(*, seed: int, lessons: int, seconds: float, light: str, size: int = 40) -> SequenceSet:
    """Return labelled sequences with pictures of rendered lessons: another class, and another camera in turn, in each.

    The pictures are drawn and recorded by the renderer's sensor in this light; the poses are the true ones with the errors that
    the pose model showed on drawn frames (`curation.render.simulate`), the same in every light. Nothing is encoded as video.

    Args:
        seed: another seed, other students, rooms and motions.
        lessons: number of groups.
        seconds: length of a lesson.
        light: a level of `curation.render.light.LIGHTS`.
        size: px of a crop's side.
    """
    path = CACHE / f"vision-{_VERSION}-{lessons}-lessons-{seconds:g}-s-{size}-px-{light}-{seed}.npz"
    try:
        return read_sequences(path)
    except FormatError:
        sequences = _draw(seed, lessons, seconds, light, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sequences(path, sequences)
    return sequences


def _draw(seed: int, lessons: int, seconds: float, light: str, size: int) -> SequenceSet:
    from curation.render.classroom import RenderConfig
    from curation.render.simulate import simulate_poses

    config = RenderConfig(seed=seed, lessons=lessons, seconds=seconds, light=light)
    poses = simulate_poses(seed=seed, lessons=lessons, seconds=seconds, window=WINDOW, fps=POSE_FPS, config=config)
    if poses.id is None:
        raise FormatError("rendered lessons", "id", "an id for every sequence")
    crops = {key: crop for lesson in range(lessons) for key, crop in _draw_lesson(config, lesson, size).items()}
    ids = poses.id.tolist()
    drawn = np.array([key in crops for key in ids])
    kept = poses.take(drawn)
    return SequenceSet(
        pose=kept.pose, label=kept.label, group=kept.group, id=kept.id, skeleton=kept.skeleton, fps=kept.fps,
        crops=np.stack([crops[key] for key in ids if key in crops]),
    )  # fmt: skip


def _draw_lesson(config: object, lesson: int, size: int) -> dict[str, NDArray[np.uint8]]:
    """Return the pictures (F, size, size, 3) of every student and window, by the ids that `simulate_poses` gives."""
    from curation.crops import cut_region, find_region
    from curation.render.classroom import RenderConfig, set_up
    from curation.render.paint import paint_frames
    from curation.render.scene import CAMERAS
    from curation.render.stage import observe, seed_for

    if not isinstance(config, RenderConfig):
        raise TypeError(f"not a RenderConfig: {config!r}")
    room, camera, plan = set_up(config, lesson, list(CAMERAS)[lesson % len(CAMERAS)])
    n_windows, per = int(config.seconds / WINDOW + 1e-6), round(WINDOW * CROP_FPS)
    times = (np.arange(n_windows)[:, None] * WINDOW + np.arange(per) / CROP_FPS).ravel()
    truth, bodies = observe(plan, room, camera, times, CROP_FPS)
    rng = seed_for(config.seed, "sensor", lesson, camera.name, config.light)
    crops: dict[str, NDArray[np.uint8]] = {}
    for step, frame in enumerate(paint_frames(plan, room, camera, truth, bodies, config.light, rng)):
        window, place = divmod(step, per)
        for person, member in enumerate(plan.members):
            boxes = truth.boxes[window * per : (window + 1) * per, person]
            if np.isfinite(boxes).any():
                key = f"{plan.name}/{member.name}/{window}"
                cut = crops.setdefault(key, np.zeros((per, size, size, 3), np.uint8))
                cut[place] = cut_region(frame, find_region(boxes), size)
    return crops
