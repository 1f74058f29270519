"""`curate bench people --part quality`: how many students of rendered lessons are found, and how close their keypoints are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult
from curation.benchmarks.people_photos import list_detectors
from curation.render.measure import PeopleMeasure, measure_people

__all__ = ["ROOMS", "RoomSize", "bench_quality"]

_SECONDS, _FPS = 3.0, 3.0
"""Nine frames a lesson: the first three detections, and the landmarks that carry everybody between them."""
_LEAST_PCK = 0.85
_TOLD_IN, _REGION_BY_TORSO = 2, 4.5
"""The frame in which the network is told where people are, and how large a region it is told; of eight tried within a point."""


@frozen(kw_only=True)
class RoomSize:
    """A rendered room, the camera that films it, and what is wanted of the people found in it."""

    students: int
    rows: int
    size: tuple[int, int]
    least_recall: float
    least_precision: float


ROOMS = (
    RoomSize(students=6, rows=2, size=(960, 540), least_recall=0.95, least_precision=0.95),
    RoomSize(students=20, rows=4, size=(1280, 720), least_recall=0.93, least_precision=0.95),
    RoomSize(students=40, rows=5, size=(1920, 1080), least_recall=0.90, least_precision=0.93),
)


def bench_quality(*, rounds: int, seed: int = 0, detectors: tuple[str, ...] = ()) -> BenchResult:
    """Measure recall, precision and PCK@0.2 of nose, shoulders, elbows and wrists, per size of room and detector.

    Without `detectors` it is tiles, faces and, where its network is there (`curate models pull --extra object-boxes`), ssd; where
    the larger landmark network is there (`--extra pose-landmarks-heavy`), the last of them is measured with it, too.

    `rounds` is the number of lessons per size, each of another class and light; the spread is that of the lessons. Two matches are
    counted: by box (IoU of 0.5) or by head and shoulders, see `curation.render.measure.measure_people`; and by box alone. Whatever
    misses fewest is held against what is wanted of a size. Seconds are CPU: of a frame, detections among them; of the first
    detection in a lesson; and of one in the same frame that is given everybody whom the first one found.

    Beside them the PCK that the full landmark network reaches where it is told everybody's true place, all others painted over.
    Those whom no detector finds are among them, so PCK of those found may be higher.
    """
    rows, data, missed = [], {}, []
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as folder:
        for room in ROOMS:
            clips = _render(Path(folder) / str(room.students), room, rounds, seed)
            found = {", ".join(how): _measure(clips, *how) for how in _list_ways(detectors or list_detectors())}
            for name, of_room in found.items():
                rows.append(_describe(room, name, of_room))
                data[f"{room.students} students, {name}"] = of_room.to_dict()
            told = data[f"{room.students} students, told where"] = {"pck": _measure_told(clips)}
            rows.append(f"{'':<43}the full landmark network, told the true places: PCK@0.2 {told['pck']:.3f}")
            fewest = min((_list_missed(room, name, of_room.loose) for name, of_room in found.items()), key=len)
            missed += fewest
    line = f"quality: {rounds} rendered lessons of {_SECONDS:g} s, {_FPS:g} frames a second, per size, {len(missed)} figures missed"
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))


def _render(folder: Path, room: RoomSize, lessons: int, seed: int) -> list[Path]:
    from curation.render import RenderConfig, render_classroom

    config = RenderConfig(
        seed=seed, lessons=lessons, cameras=1, rows=room.rows, columns=room.students // room.rows,
        seconds=_SECONDS, fps=_FPS, size=room.size,
    )  # fmt: skip
    return render_classroom(folder, config=config)


@frozen(kw_only=True)
class _Found:
    """What a detector made of the lessons of one size: by box or pose, by box alone, each lesson by itself, CPU seconds."""

    loose: PeopleMeasure
    strict: PeopleMeasure
    lessons: tuple[PeopleMeasure, ...]
    frame_seconds: float
    first_seconds: float
    known_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as they are recorded."""
        return {
            "recall": self.loose.person_recall, "precision": self.loose.person_precision, "pck": self.loose.pck,
            "recall by box": self.strict.person_recall, "precision by box": self.strict.person_precision,
            "cpu seconds a frame": self.frame_seconds, "cpu seconds of a first detection": self.first_seconds,
            "cpu seconds of one with everybody known": self.known_seconds,
            "lessons": [{"recall": m.person_recall, "precision": m.person_precision, "pck": m.pck} for m in self.lessons],
        }  # fmt: skip


def _list_ways(detectors: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return detectors, and the last of them with the larger landmark network, if that is there."""
    from backends.people.bundles import list_bundles
    from backends.people.networks import POSE_NETWORKS

    there = {status.name for status in list_bundles() if status.state == "there"}
    more = [(detectors[-1], "heavy")] if POSE_NETWORKS["heavy"] in there else []
    return [*((name,) for name in detectors), *more]


def _measure(clips: list[Path], detector: str, pose: str = "full") -> _Found:
    from backends.people.people import PeopleFinder
    from curation.render.truth import read_truth

    truth = {clip.stem: read_truth(clip) for clip in clips}
    start = time.process_time()
    with PeopleFinder(detector, pose=pose) as finder:
        tracks: Any = {clip.stem: finder.process(_read_frames(clip)) for clip in clips}
    seconds = (time.process_time() - start) / sum(len(t.boxes) for t in truth.values())
    first, known = _time_detections(clips, detector, pose)
    return _Found(
        loose=measure_people(tracks, truth),
        strict=measure_people(tracks, truth, by_pose=False),
        lessons=tuple(measure_people({name: tracks[name]}, {name: true}) for name, true in truth.items()),
        frame_seconds=seconds,
        first_seconds=first,
        known_seconds=known,
    )


def _time_detections(clips: list[Path], name: str, pose: str) -> tuple[float, float]:
    """Return the median CPU seconds of a detection in the first frames, and in the same frames with everybody known."""
    from backends.people.detector import open_detector
    from backends.people.pose import Poses
    from backends.people.team import PoseTeam

    images = [next(_read_frames(clip))[2] for clip in clips]
    first, known = [], []
    with closing(PoseTeam(network=pose)) as team, open_detector(name, team=team) as detector:
        detector.detect(images[0])
        for image in images:
            start = time.process_time()
            found = detector.detect(image)
            between = time.process_time()
            if found.regions is not None:
                detector.detect(image, Poses(pose_px=found.pose_px, scores=found.scores, regions=found.regions))
            first.append(between - start)
            known.append(time.process_time() - between)
    return float(np.median(first)), float(np.median(known))


def _measure_told(clips: list[Path]) -> float:
    """Return the PCK@0.2 of everybody in one frame of each lesson, looked at twice from where they truly are."""
    from backends.people.body import boxes_from_poses, find_heads
    from backends.people.covers import cover_people
    from backends.people.measure import measure_people, pool_scores
    from backends.people.pose import PoseEstimator
    from curation.render.truth import read_truth

    scores = []
    with PoseEstimator() as estimator:
        for clip in clips:
            truth, (index, _, image) = read_truth(clip), list(_read_frames(clip))[_TOLD_IN]
            there = np.isfinite(truth.boxes[index]).all(axis=1)
            boxes, pose = truth.boxes[index][there], truth.pose[index][there]
            hips, shoulders = pose[:, [23, 24], :2].mean(axis=1), pose[:, [11, 12], :2].mean(axis=1)
            torsos = np.linalg.norm(hips - shoulders, axis=1)
            regions = np.column_stack([hips, _REGION_BY_TORSO * torsos, np.zeros(len(pose))])
            for _ in range(2):
                found = estimator.estimate_regions(image, regions, cover_people(find_heads(pose), regions, pose))
                regions = found.regions
            seen = boxes_from_poses(found.pose_px, image.shape[1], image.shape[0])
            scores.append(measure_people(seen, found.pose_px, boxes, pose, by_pose=True))
    return pool_scores(scores).pck


def _read_frames(path: Path) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    import av

    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            yield index, float(frame.time or 0.0), frame.to_ndarray(format="rgb24")


def _describe(room: RoomSize, detector: str, found: _Found) -> str:
    loose, strict, lessons = found.loose, found.strict, found.lessons
    parts = [f"rendered, {room.students:>2} students {room.size[0]}x{room.size[1]}  {detector:<13}"]
    for name, value, each in (
        ("recall", loose.person_recall, [m.person_recall for m in lessons]),
        ("precision", loose.person_precision, [m.person_precision for m in lessons]),
        ("PCK@0.2", loose.pck, [m.pck for m in lessons]),
    ):
        parts.append(f"{name} {value:.3f} ({min(each):.3f}-{max(each):.3f})")
    parts.append(f"by box alone {strict.person_recall:.3f} / {strict.person_precision:.3f}")
    seconds = f"{found.frame_seconds:.2f} a frame, {found.first_seconds:.2f} a detection, {found.known_seconds:.2f} with all known"
    return "  ".join([*parts, f"s CPU: {seconds}"])


def _list_missed(room: RoomSize, way: str, found: PeopleMeasure) -> list[str]:
    wanted = (
        ("recall", found.person_recall, room.least_recall),
        ("precision", found.person_precision, room.least_precision),
        ("PCK@0.2", found.pck, _LEAST_PCK),
    )
    return [
        f"{room.students} students, {way}: {name} {value:.3f}, wanted {least}" for name, value, least in wanted if value < least
    ]
