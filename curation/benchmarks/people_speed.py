"""`curate bench people --part speed`: what it costs to follow people, beside MediaPipe's landmarker and the bare network."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.benchmarks import BenchResult, compare_side_by_side, describe_spread
from curation.benchmarks.lessons import FPS, read_lesson, render_lesson
from curation.benchmarks.people_workers import Finding

if TYPE_CHECKING:
    from backends.people.base import PersonTrack
    from backends.people.networks import LiteNetwork

__all__ = ["bench_speed"]

_LEAST_BARE, _LEAST_REGIONS, _MOST_PCK_LOST = 0.90, 5.0, 0.01
_DETECT_EVERY_NTH = 6


def bench_speed(*, rounds: int, seed: int = 0) -> BenchResult:
    """Measure, on rendered lessons: the pipeline beside bare landmarkers, and regions beside detections.

    All of it runs on one core, and its seconds are those computed there.
    """
    bare, regions = _compare_with_landmarkers(rounds, seed), _compare_with_detections(rounds, seed)
    line = (
        f"speed (rendered): {bare.data['of_image']:.2f} x the landmarker on the same crops, "
        f"{bare.data['of_video']:.2f} x its video mode, {bare.data['of_network']:.2f} x the bare network; "
        f"regions {regions.data['faster']:.1f} x detections"
    )
    data = {"landmarker": bare.data, "regions": regions.data}
    return BenchResult(rows=(*bare.rows, *regions.rows), line=line, data=data, missed=(*bare.missed, *regions.missed))


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this process, and threads that it starts meanwhile, on one of its cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _compare_with_landmarkers(rounds: int, seed: int) -> Finding:
    """Compare frames to tracks, decoding and detections included, with landmarkers that are handed every person's crop."""
    from backends.people.bundles import find_bundle
    from backends.people.networks import LiteNetwork
    from backends.people.people import PeopleFinder

    clip = render_lesson(20, seconds=24.0, seed=seed)
    with on_one_core(), ExitStack() as opened:
        finder = opened.enter_context(PeopleFinder())
        tracks = finder.process(read_lesson(clip))
        crops = _cut_crops(clip, tracks)
        image_mode = opened.enter_context(_open_landmarker("IMAGE"))
        video_mode = [opened.enter_context(_open_landmarker("VIDEO")) for _ in crops]
        network = opened.enter_context(closing(LiteNetwork(find_bundle("pose-landmarks"))))
        n_crops, n_seen = sum(map(len, crops)), sum(int((~track.filled).sum()) for track in tracks)
        seconds = compare_side_by_side(
            {
                "full pipeline": lambda: finder.process(read_lesson(clip)),
                "PoseLandmarker, image mode": partial(_run_image_mode, crops, image_mode),
                "PoseLandmarker, video mode": partial(_run_video_mode, crops, video_mode, count()),
                "bare landmark network (LiteRT)": partial(_run_network, crops, network),
            },
            rounds=rounds,
            clock=time.process_time,
        )
    done = dict.fromkeys(seconds, n_crops) | {"full pipeline": n_seen}
    rates = {name: done[name] / float(np.median(values)) for name, values in seconds.items()}
    ours, image, video, bare = rates.values()
    rows = [
        f"{name:<32} {rates[name]:6.1f} people/s a core   {describe_spread(values, 1)} s   ours {ours / rates[name]:.2f} x"
        for name, values in seconds.items()
    ]
    data = {"of_image": ours / image, "of_video": ours / video, "of_network": ours / bare, "rates": rates, "seconds": seconds}
    missed = (
        [] if ours >= _LEAST_BARE * image else [f"full pipeline {ours / image:.2f} x the bare landmarker, wanted {_LEAST_BARE}"]
    )
    if ours < _LEAST_BARE * video:
        missed.append(f"full pipeline {ours / video:.2f} x the landmarker's video mode, wanted {_LEAST_BARE}")
    return Finding(rows=rows, data=data, missed=missed)


def _cut_crops(clip: Path, tracks: Sequence[PersonTrack]) -> list[list[NDArray[np.uint8]]]:
    """Return per person the crops of the frames in which they were seen: squares that hold the person in all of them."""
    from backends.people.regions import crop_region

    crops: list[list[NDArray[np.uint8]]] = [[] for _ in tracks]
    squares = []
    for track in tracks:
        low, high = np.quantile(track.boxes_xyxy[:, :2], 0.05, axis=0), np.quantile(track.boxes_xyxy[:, 2:], 0.95, axis=0)
        squares.append(np.array([*(low + high) / 2, 1.25 * (high - low).max(), 0.0]))
    for index, _, image in read_lesson(clip):
        for crop, track, square in zip(crops, tracks, squares, strict=True):
            if index in track.frames[~track.filled]:
                crop.append(crop_region(image, square, 256))
    return crops


@contextmanager
def _open_landmarker(mode: str) -> Iterator[Any]:
    from mediapipe.tasks.python.vision import RunningMode

    from backends.people.tasks import open_task

    task = open_task("PoseLandmarker", "pose", running_mode=RunningMode[mode])
    try:
        yield task
    finally:
        task.close()


def _run_image_mode(crops: list[list[NDArray[np.uint8]]], landmarker: Any) -> None:
    from backends.people.tasks import to_task_image

    for person in crops:
        for crop in person:
            landmarker.detect(to_task_image(crop))


def _run_video_mode(crops: list[list[NDArray[np.uint8]]], landmarkers: Sequence[Any], clock: Iterator[int]) -> None:
    """Use one landmarker per person, since it carries the person's region from call to call."""
    from backends.people.tasks import to_task_image

    for person, landmarker in zip(crops, landmarkers, strict=True):
        for crop in person:
            landmarker.detect_for_video(to_task_image(crop), round(1000 * next(clock) / FPS))


def _run_network(crops: list[list[NDArray[np.uint8]]], network: LiteNetwork) -> None:
    """Run the network alone: no detector, no crop, no landmarks read from its heatmaps."""
    for person in crops:
        for crop in person:
            network.run(crop.astype(np.float32) / np.float32(255))


def _compare_with_detections(rounds: int, seed: int) -> Finding:
    """Compare following 20 students by regions with detecting them in every frame, in time and in PCK."""
    from backends.people import DETECTORS
    from backends.people.people import PeopleFinder
    from curation.render.truth import read_truth

    clip = render_lesson(20, seconds=24.0, seed=seed)
    frames, truth = list(read_lesson(clip)), read_truth(clip)
    some = frames[::_DETECT_EVERY_NTH]
    found: dict[str, Any] = {}
    with on_one_core(), PeopleFinder() as finder, DETECTORS.load("tiles")() as detector:
        seconds = compare_side_by_side(
            {
                "regions": lambda: found.update(regions=finder.process(frames)),
                "detections": lambda: found.update(detections=[detector.detect(image) for _, _, image in some]),
            },
            rounds=rounds,
            clock=time.process_time,
        )
    each = {"regions": [s / len(frames) for s in seconds["regions"]], "detections": [s / len(some) for s in seconds["detections"]]}
    by_frame = [_at_frame(found["regions"], index) for index, _, _ in some]
    pck = {
        "regions": _measure_pck(by_frame, [index for index, _, _ in some], truth),
        "detections": _measure_pck([(d.boxes_xyxy, d.pose_px) for d in found["detections"]], [i for i, _, _ in some], truth),
    }
    faster = float(np.median(each["detections"]) / np.median(each["regions"]))
    lost = pck["detections"] - pck["regions"]
    rows = [f"{name:<32} {describe_spread(each[name])} s a frame of 20 students, PCK@0.2 {pck[name]:.3f}" for name in each]
    missed = [] if faster >= _LEAST_REGIONS else [f"regions {faster:.1f} x faster than detections, wanted {_LEAST_REGIONS:g}"]
    missed += [] if lost <= _MOST_PCK_LOST else [f"regions lose {lost:.3f} of PCK, wanted at most {_MOST_PCK_LOST}"]
    return Finding(rows=rows, data={"faster": faster, "pck": pck, "seconds_per_frame": each}, missed=missed)


def _at_frame(tracks: Sequence[PersonTrack], index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows = [(track, int(at)) for track in tracks for at in np.flatnonzero((track.frames == index) & ~track.filled)]
    boxes = np.array([track.boxes_xyxy[at] for track, at in rows], np.float32).reshape(-1, 4)
    return boxes, np.array([track.pose_px[at] for track, at in rows], np.float32).reshape(-1, 33, 4)


def _measure_pck(found: Sequence[tuple[Any, Any]], frames: Sequence[int], truth: Any) -> float:
    from backends.people.measure import measure_people, pool_scores

    scores = [
        measure_people(boxes, poses, truth.boxes[frame], truth.pose[frame], by_pose=True)
        for (boxes, poses), frame in zip(found, frames, strict=True)
    ]
    return pool_scores(scores).pck
