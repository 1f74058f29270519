"""The stage that finds people: one clip in, its people out, part by part. Imported by worker processes only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from curation.engines.base import Step
from curation.media import hash_file, iter_frames
from curation.tubelets import plan_windows, sample_frames, split_at_gaps
from schemas.errors import MediaError
from schemas.records import Clip

if TYPE_CHECKING:
    from backends.people.people import PeopleFinder

__all__ = ["list_options", "open_people_stage", "prepare"]

_Frame = tuple[int, float, NDArray[np.uint8]]
_NEEDED = ("av", "backends.people.people", "backends.people.tiles", "backends.people.tracker")
_STEP_EVERY = 8
_PART_SECONDS = 30.0
"""How much of a clip a part holds. The first part comes as soon as the first window can be cut."""
_SETTLED_AFTER = 3
"""Frames after which a window's last frame is certain; see `backends.people.tracker.Tracker.settle`."""
_FOLLOWED_OVER = 2.0
"""Seconds of lost recording after which whoever is seen is somebody new, as for somebody out of sight."""


def list_options(settings: Any) -> dict[str, Any]:
    """Return what `open_people_stage` takes, from a workspace's settings for pre-annotation."""
    options = {
        name: getattr(settings, name) for name in ("detector", "detect_every", "detect_rarest", "tracker", "pose", "window", "fps")
    }
    network = {"path": settings.network, "sha256": settings.network_sha256, "classes": list(settings.network_classes)}
    return options | {"network": network | {"confidence": settings.network_confidence}}


def prepare() -> None:
    """Import what every clip needs, and lay the body detector out for pictures of any size."""
    for name in _NEEDED:
        import_module(name)
    from backends.people.dense import BODIES, DenseNetwork

    DenseNetwork(BODIES).close()  # the layout is kept


@contextmanager
def open_people_stage(
    *,
    detector: str,
    detect_every: float,
    window: float,
    fps: float,
    detect_rarest: float = 16.0,
    tracker: str = "landmarks",
    pose: str = "full",
    network: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> Iterator[Callable[[Clip], Iterator[Step]]]:
    """Load the models and yield a function from a clip to steps through the frames that its windows sample.

    The parts of the steps are lists of `PersonTrack`: parts of tracks, those of one person with the same number.

    Args:
        detector: an entry of `backends.people.DETECTORS`.
        detect_every: seconds between two looks at the whole picture where it changes.
        window: length of a window in seconds.
        fps: samples per second.
        detect_rarest: seconds between two looks at the whole picture in a still room.
        tracker: an entry of `backends.people.TRACKERS`.
        pose: an entry of `backends.people.networks.POSE_NETWORKS`.
        network: fields of `backends.people.boxes.BoxSettings`, for a detector that comes without a network.
        threads: for each worker to compute on.

    Raises:
        ModelError: if the models are not there.
        MediaError: from the function: if the clip's file is gone, changed, or cannot be read.
    """
    from backends.people.boxes import BoxSettings
    from backends.people.people import PeopleFinder

    boxes = BoxSettings(**network) if network else None
    settings: dict[str, Any] = {
        "detect_rarest": detect_rarest,
        "network": boxes,
        "tracker": tracker,
        "pose": pose,
        "threads": threads,
    }
    with PeopleFinder(detector, detect_every, **settings) as finder, ThreadPoolExecutor(1, thread_name_prefix="hash") as checking:

        def find_people(clip: Clip) -> Iterator[Step]:
            digest = checking.submit(hash_file, clip.uri)
            try:
                for step in find_in_order(clip):
                    _check_unchanged(clip, digest)
                    yield step
            except MediaError:
                _check_unchanged(clip, digest)
                raise
            _check_unchanged(clip, digest)

        def find_in_order(clip: Clip) -> Iterator[Step]:
            windows = plan_windows(clip.timestamps, window=window, fps=fps, gaps=clip.gaps)
            first_part = len(windows[0].frames) + _SETTLED_AFTER
            n_people = following = 0
            for stretch in split_at_gaps(sample_frames(windows), clip, longest=_FOLLOWED_OVER):
                frames = iter_frames(Path(clip.uri), stretch, timestamps=clip.timestamps)
                for step in _follow(finder, _read_ahead(frames) if threads > 1 else frames, first_part):
                    part = [evolve(person, number=person.number + n_people) for person in step.part]
                    following = max([following, *(person.number + 1 for person in part)])
                    yield Step(units=step.units, part=part or None)
                n_people = following

        yield find_people


def _check_unchanged(clip: Clip, digest: Future[str]) -> None:
    """Raise unless a clip's file is what was added: the reading does not wait for that to be known."""
    if digest.result() != clip.sha256:
        raise MediaError(clip.uri, "has changed since it was added; add it again")


def _read_ahead(frames: Iterator[_Frame]) -> Iterator[_Frame]:
    """Yield the same frames, the next one decoded on another core in the meantime."""
    with ThreadPoolExecutor(1, thread_name_prefix="frames") as pool:
        coming = pool.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = pool.submit(next, frames, None)
            yield frame


def _follow(finder: PeopleFinder, frames: Iterator[_Frame], first_part: int) -> Iterator[Step]:
    """Yield steps through one stretch of a clip in which nobody is lost for the lack of frames."""
    following = finder.follow()
    units, taken_at = 0, None
    for number, (index, seconds, image) in enumerate(frames, 1):
        following.look(index, seconds, image)
        units += 1
        is_due = number >= first_part if taken_at is None else seconds - taken_at >= _PART_SECONDS
        part = following.take() if is_due else []
        if part or units == _STEP_EVERY:
            taken_at = seconds if part else taken_at
            yield Step(units=units, part=part)
            units = 0
    yield Step(units=units, part=following.finish())
