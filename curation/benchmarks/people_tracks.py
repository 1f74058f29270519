"""`curate bench people --part tracks`: how often a track changes persons, and the trackers side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.benchmarks import BenchResult, describe_spread
from curation.benchmarks.lessons import read_lesson, render_lesson

if TYPE_CHECKING:
    from backends.people.base import PersonTrack
    from backends.people.pose import Poses

__all__ = ["bench_tracks", "count_per_student_minute"]

_SECONDS = 24.0
_MOST_SWITCHES = 1.0
_LEAST_FRAMES, _LEAST_CONFIRMED = 3, 0.4


def bench_tracks(*, rounds: int, seed: int = 0, students: Sequence[int] = (6, 20, 40), seconds: float = _SECONDS) -> BenchResult:
    """Count id switches per student-minute on `rounds` lessons each, and those of every tracker given the same detections.

    The trackers are compared on lessons of the fewest students, with people detected in every frame, as box trackers need it.

    Args:
        rounds: lessons, with seeds `seed`, `seed` + 1, …
        seed: see above.
        students: class sizes, keys of `curation.benchmarks.lessons.SHAPES`.
        seconds: length of a lesson.
    """
    from backends.people.people import PeopleFinder

    rows, missed, switches = [], [], {}
    for n in students:
        with PeopleFinder() as finder:
            clips = [render_lesson(n, seconds=seconds, seed=seed + number) for number in range(rounds)]
            switches[n] = [count_per_student_minute(finder.process(read_lesson(clip)), clip) for clip in clips]
        rows.append(f"{n:3d} students (rendered): {describe_spread(switches[n], 2)} id switches per student-minute")
        if np.median(switches[n]) > _MOST_SWITCHES:
            missed.append(f"{n} students: {np.median(switches[n]):.2f} id switches per student-minute, wanted {_MOST_SWITCHES:g}")
    clips = [render_lesson(min(students), seconds=seconds, seed=seed + number) for number in range(rounds)]
    beside = _compare_trackers(clips)
    rows += [
        f"{name:<10} detections in every frame: {describe_spread(found['switches'], 2)} switches, "
        f"{describe_spread(found['seconds'], 1)} s beside them"
        for name, found in beside.items()
    ]
    line = "tracks (rendered): " + ", ".join(f"{n} students {np.median(values):.2f}" for n, values in switches.items())
    data = {"switches": {str(n): values for n, values in switches.items()}, "trackers": beside}
    return BenchResult(rows=tuple(rows), line=f"{line} id switches per student-minute", data=data, missed=tuple(missed))


def count_per_student_minute(tracks: Sequence[PersonTrack], clip: Path) -> float:
    """Return the id switches in a rendered clip by the minutes for which its students can be seen.

    Boxes, or head and shoulders, make a match; see `backends.people.measure.measure_people`.
    """
    from backends.people.measure import count_id_switches
    from curation.render.truth import read_truth

    truth = read_truth(clip)
    frames = np.array([index for index, _, _ in read_lesson(clip)])
    there = np.isfinite(truth.boxes[frames]).all(axis=-1).mean(axis=0).sum() * len(truth.boxes) / truth.fps / 60
    return count_id_switches(tracks, truth.boxes, truth.pose, frames, by_pose=True) / float(there)


def _compare_trackers(clips: Sequence[Path]) -> dict[str, dict[str, list[float]]]:
    """Return by tracker its switches per student-minute, and the seconds that it computes beside the detections."""
    from backends.people import DETECTORS, TRACKERS

    found: dict[str, dict[str, list[float]]] = {name: {"switches": [], "seconds": []} for name in TRACKERS}
    for clip in clips:
        frames = list(read_lesson(clip))
        with DETECTORS.load("tiles")() as detector:
            detections = [detector.detect(image) for _, _, image in frames]
        for name in TRACKERS:
            start = time.process_time()
            tracks = _track(name, frames, detections)
            found[name]["seconds"].append(time.process_time() - start)
            found[name]["switches"].append(count_per_student_minute(tracks, clip))
    return found


def _track(name: str, frames: Sequence[Any], detections: Sequence[Any]) -> list[PersonTrack]:
    from backends.people import TRACKERS
    from backends.people.pose import PoseEstimator

    height, width = frames[0][2].shape[:2]
    tracker = TRACKERS.load(name)(width, height, lost_after=2.0)
    with PoseEstimator() as estimator:
        for (index, seconds, image), found in zip(frames, detections, strict=True):
            tracker.carry(index, seconds, partial(estimator.estimate_regions, image))
            tracker.join(index, seconds, _as_poses(found))
    tracks: list[PersonTrack] = tracker.finish(least_frames=_LEAST_FRAMES, least_confirmed=_LEAST_CONFIRMED)
    return tracks


def _as_poses(found: Any) -> Poses:
    from backends.people.pose import Poses

    return Poses(pose_px=found.pose_px, scores=found.scores, regions=found.regions, world_m=found.world_m)
