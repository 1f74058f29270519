"""The stage that finds people: one clip in, its tracks out. Imported by worker processes only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.engines.base import Tick
from curation.media import hash_file, iter_frames
from curation.tubelets import plan_windows, sample_frames
from schemas.errors import MediaError
from schemas.records import Clip

if TYPE_CHECKING:
    from backends.people.base import PersonTrack
    from curation.config import Preannotation

__all__ = ["list_options", "open_people_stage"]

_TICK_EVERY = 8


def list_options(settings: Preannotation) -> dict[str, Any]:
    """Return what `open_people_stage` takes, from a workspace's settings."""
    return {name: getattr(settings, name) for name in ("detector", "detect_every", "window", "fps")}


@contextmanager
def open_people_stage(
    *, detector: str, detect_every: float, window: float, fps: float
) -> Iterator[Callable[[Clip, Tick], list[PersonTrack]]]:
    """Load the models and yield a function from a clip to the people in it, at the frames that its windows sample.

    Args:
        detector: an entry of `backends.people.DETECTORS`.
        detect_every: seconds between two looks at the whole picture.
        window: length of a window in seconds.
        fps: samples per second.

    Raises:
        ModelError: if the models are not there.
        MediaError: from the function: if the clip's file is gone, changed, or cannot be read.
    """
    from backends.people.people import PeopleFinder

    with PeopleFinder(detector=detector, detect_every=detect_every) as finder:

        def find_people(clip: Clip, tick: Tick) -> list[PersonTrack]:
            path = Path(clip.uri)
            if hash_file(path) != clip.sha256:
                raise MediaError(path, "has changed since it was added; add it again")
            frames = sample_frames(plan_windows(clip.timestamps, window=window, fps=fps))
            found: list[PersonTrack] = finder.process(_count(iter_frames(path, frames, timestamps=clip.timestamps), tick))
            return found

        yield find_people


def _count(frames: Iterable[Any], tick: Tick) -> Iterator[Any]:
    """Yield the frames and say how many have gone by."""
    number = 0
    for number, frame in enumerate(frames, 1):
        yield frame
        if number % _TICK_EVERY == 0:
            tick(_TICK_EVERY)
    if number % _TICK_EVERY:
        tick(number % _TICK_EVERY)
