"""Rendered lessons for benchmarks, kept from run to run: the same settings give the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["FPS", "SHAPES", "read_lesson", "render_lesson"]

FPS = 6.0
"""Sampled frames per second, as pre-annotation does."""
Frame = tuple[int, float, NDArray[np.uint8]]

SHAPES = {
    2: (1, 2, (1280, 720)),
    6: (2, 3, (960, 540)),
    20: (4, 5, (1280, 720)),
    30: (5, 6, (1920, 1080)),
    40: (5, 8, (1920, 1080)),
}
"""Students → rows, columns and size of the picture (width, height)."""


def render_lesson(students: int, *, seconds: float, seed: int, fps: float = 12.0, light: str = "normal") -> Path:
    """Return a lesson from one camera, rendered now if it is not in ``$XDG_CACHE_HOME/curate/bench`` (``~/.cache``) yet.

    Args:
        students: a key of `SHAPES`.
        seconds: length.
        seed: another seed, another class and room.
        fps: frames per second.
        light: a level of `curation.render.light.LIGHTS`.
    """
    from curation.render.classroom import render_classroom

    rows, columns, size = SHAPES[students]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate" / "bench"
    folder = cache / f"{students}-students-{seconds:g}-s-{fps:g}-fps-{light}-{seed}"
    (clip,) = render_classroom(
        folder,
        seed=seed,
        lessons=1,
        cameras=1,
        rows=rows,
        columns=columns,
        seconds=seconds,
        fps=fps,
        size=size,
        light=light,
        view="close" if students == 2 else "room",
    )
    return clip


@cache
def _probe_times(clip: Path) -> NDArray[np.float64]:
    """Return the times of a clip's frames; pre-annotation knows them, too, from when the clip was added."""
    from curation.media import probe_media

    return probe_media(clip).timestamps


def read_lesson(clip: Path) -> Iterator[Frame]:
    """Yield the frames of a clip that pre-annotation samples."""
    from curation.media import iter_frames

    times = _probe_times(clip)
    wanted = np.arange(times[0], times[-1] + 1e-6, 1 / FPS)
    yield from iter_frames(clip, np.unique(np.searchsorted(times, wanted + 1e-6, side="right") - 1), timestamps=times)
