"""`curate bench people --part quality`: how many students of rendered lessons are found, and how close their keypoints are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult
from curation.render.measure import PeopleMeasure, measure_people

__all__ = ["ROOMS", "RoomSize", "bench_quality"]

_SECONDS, _FPS = 5.0, 6.0
_LEAST_PCK = 0.85


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


def bench_quality(*, rounds: int, seed: int = 0, detectors: tuple[str, ...] = ("tiles", "faces")) -> BenchResult:
    """Measure recall, precision and PCK@0.2 of nose, shoulders, elbows and wrists, per size of room and detector.

    `rounds` is the number of lessons per size, each of another class and light. Two matches are counted: by box (IoU of 0.5) or by
    head and shoulders, see `curation.render.measure.measure_people`; and by box alone. The better of the detectors is held against
    what is wanted.
    """
    rows, data, missed = [], {}, []
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as folder:
        for room in ROOMS:
            clips = _render(Path(folder) / str(room.students), room, rounds, seed)
            found = {name: _measure(clips, name) for name in detectors}
            for name, (loose, strict, seconds) in found.items():
                rows.append(_describe(room, name, loose, strict, seconds))
                data[f"{room.students} students, {name}"] = {
                    "recall": loose.person_recall, "precision": loose.person_precision, "pck": loose.pck,
                    "recall by box": strict.person_recall, "precision by box": strict.person_precision,
                    "cpu seconds a frame": seconds,
                }  # fmt: skip
            missed += _list_missed(room, max((f[0] for f in found.values()), key=lambda m: m.person_recall))
    line = f"quality: {rounds} rendered lessons of {_SECONDS:g} s per size, {len(missed)} figures missed"
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))


def _render(folder: Path, room: RoomSize, lessons: int, seed: int) -> list[Path]:
    from curation.render import RenderConfig, render_classroom

    config = RenderConfig(
        seed=seed, lessons=lessons, cameras=1, rows=room.rows, columns=room.students // room.rows,
        seconds=_SECONDS, fps=_FPS, size=room.size,
    )  # fmt: skip
    return render_classroom(folder, config=config)


def _measure(clips: list[Path], detector: str) -> tuple[PeopleMeasure, PeopleMeasure, float]:
    """Return the measures by box or pose and by box alone, and the CPU seconds that a frame took."""
    from backends.people.people import PeopleFinder
    from curation.render.truth import read_truth

    truth = {clip.stem: read_truth(clip) for clip in clips}
    start = time.process_time()
    with PeopleFinder(detector) as finder:
        tracks: Any = {clip.stem: finder.process(_read_frames(clip)) for clip in clips}
    seconds = (time.process_time() - start) / sum(len(t.boxes) for t in truth.values())
    return measure_people(tracks, truth), measure_people(tracks, truth, by_pose=False), seconds


def _read_frames(path: Path) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    import av

    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            yield index, float(frame.time or 0.0), frame.to_ndarray(format="rgb24")


def _describe(room: RoomSize, detector: str, loose: PeopleMeasure, strict: PeopleMeasure, seconds: float) -> str:
    by_box = f"by box alone {strict.person_recall:.3f} / {strict.person_precision:.3f}"
    return (
        f"rendered, {room.students:>2} students {room.size[0]}x{room.size[1]}  {detector:<6} recall {loose.person_recall:.3f}"
        f"  precision {loose.person_precision:.3f}  PCK@0.2 {loose.pck:.3f}   {by_box}   {seconds:.2f} s CPU a frame"
    )


def _list_missed(room: RoomSize, found: PeopleMeasure) -> list[str]:
    wanted = (
        ("recall", found.person_recall, room.least_recall),
        ("precision", found.person_precision, room.least_precision),
        ("PCK@0.2", found.pck, _LEAST_PCK),
    )
    return [f"{room.students} students: {name} {value:.3f}, wanted {least}" for name, value, least in wanted if value < least]
