"""`curate bench people --part memory`: peak memory of workers and of recording, over videos of 1, 10 and 60 minutes.

What a worker holds depends on the models, the picture and the people in sight; what the command holds, on how many boxes and poses
it has to record. The first is measured on videos of two rendered seconds, repeated by copying their packets and looked at once in
four; the second on boxes and poses that are drawn by lot, as many as 30 students at 6 samples a second give.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from curation.benchmarks import BenchResult
from curation.config import Config, Preannotation, create_workspace
from curation.engines.base import Step
from schemas.errors import CurationError

__all__ = ["bench_memory", "draw_people", "measure_recording", "repeat_video", "watch_command"]

_MINUTES = (1, 10, 60)
_MOST_MIB = 1.2 * 1024
_FLAT = 1.10
"""A peak over the longest video of at most so many times the peak over a sixth of it is flat."""
_RARELY = Preannotation(workers=1, fps=0.25, window=4.0, detect_every=600.0, detect_rarest=600.0)
_EVERY = 0.2
_STUDENTS, _FPS, _PART = 30, 6.0, 30.0


def bench_memory(*, rounds: int, seed: int = 0) -> BenchResult:
    """Measure videos of 1, 10 and 60 min, and two windows of 30 students. Each is measured once, whatever `rounds` says."""
    from curation.benchmarks.lessons import render_lesson
    from curation.render.classroom import render_classroom

    data: dict[str, Any] = {"workers": {}, "recording": {}}
    rows = []
    with tempfile.TemporaryDirectory(prefix="curate-memory-") as name:
        folder = Path(name)
        size = (640, 360)
        (short,) = render_classroom(folder, seed=seed, lessons=1, cameras=1, rows=1, columns=2, seconds=2, fps=2, size=size)
        for minutes in _MINUTES:
            video = repeat_video(short, folder / f"{minutes}-min.mp4", 30 * minutes)
            seen = data["workers"][minutes] = watch_command(folder / f"video-{minutes}", video, _RARELY)
            rows.append(f"{minutes:3d} min of video: worker {seen['worker_mib']:.0f} MiB, command {seen['command_mib']:.0f} MiB")
        for minutes in _MINUTES:
            made = data["recording"][minutes] = measure_recording(folder / f"rows-{minutes}", minutes, seed=seed)
            rows.append(
                f"{minutes:3d} min of {_STUDENTS} students: {made['rows']} boxes and poses in {made['file_mib']:.0f} MiB recorded, "
                f"{made['peak_mib']:.0f} MiB at the peak, {made['cpu_seconds']:.0f} s"
            )
        crowd = data["workers"]["30 students"] = watch_command(
            folder / "crowd", render_lesson(_STUDENTS, seconds=4, seed=seed), Preannotation(workers=1)
        )
        rows.append(
            f"4 s of {_STUDENTS} students (rendered): worker {crowd['worker_mib']:.0f} MiB, command {crowd['command_mib']:.0f} MiB"
        )
    return _judge(rows, data)


def _judge(rows: list[str], data: dict[str, Any]) -> BenchResult:
    worst = max(seen["worker_mib"] for seen in data["workers"].values())
    last, before = _MINUTES[-1], _MINUTES[-2]
    growth = data["workers"][last]["worker_mib"] / data["workers"][before]["worker_mib"]
    recording = data["recording"][last]["peak_mib"] / data["recording"][before]["peak_mib"]
    missed = [f"worker's peak {worst:.0f} MiB (wanted < {_MOST_MIB:.0f})"] if worst >= _MOST_MIB else []
    for what, ratio in (("worker's", growth), ("recording's", recording)):
        missed += [f"{what} peak grows x {ratio:.2f} from {before} to {last} min"] if ratio > _FLAT else []
    line = (
        f"memory: worker {worst:.0f} MiB at the peak, x {growth:.2f} from {before} to {last} min; "
        f"recording {_STUDENTS} students {data['recording'][last]['peak_mib']:.0f} MiB, x {recording:.2f}"
    )
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))


def repeat_video(source: Path, target: Path, times: int) -> Path:
    """Write a video several times, one after the other, without decoding it."""
    import av

    with av.open(str(target), "w") as out:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                end = offset
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    end = max(end, packet.pts + packet.duration)
                    out.mux(packet)
                offset = end
    return target


def watch_command(folder: Path, video: Path, settings: Preannotation) -> dict[str, float]:
    """Run `curate preannotate` on one video in a new workspace, and look at it from outside.

    Args:
        folder: of the new workspace.
        video: what to preannotate.
        settings: of the workspace.

    Returns:
        Peaks of resident memory in MiB of the worker (`worker_mib`) and of the command itself (`command_mib`), and how many
        `tubelets` there are at the end.

    Raises:
        CurationError: if the command fails.
    """
    from curation.ingest import add_media
    from curation.store import Catalogue

    workspace = create_workspace(folder, Config(preannotation=settings))
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        add_media(workspace, catalogue, [video])
        peaks = {"command": 0.0, "worker": 0.0}
        words = [str(Path(sys.executable).with_name("curate")), "preannotate", "-w", str(folder)]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            for role, mib in _watch(process):
                peaks[role] = max(peaks[role], mib)
            error = process.communicate()[1]
        if process.returncode:
            raise CurationError(f"preannotate ended with exit code {process.returncode}: {error.strip()[-200:]}")
        n_tubelets = len(catalogue.list_tubelets())
    return {"worker_mib": peaks["worker"], "command_mib": peaks["command"], "tubelets": n_tubelets}


def _watch(process: subprocess.Popen[str]) -> Iterator[tuple[str, float]]:
    """Yield (role, resident MiB) of a command and its workers, several times a second, as long as it runs."""
    import psutil

    this = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            yield "command", this.memory_info().rss / 2**20
            for child in this.children(recursive=True):
                yield "worker", child.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            continue
        time.sleep(_EVERY)


def measure_recording(folder: Path, minutes: int, *, seed: int) -> dict[str, float]:
    """Record a made-up lesson in a process of its own; return its peak in MiB, CPU seconds, and how much was recorded."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_record, args=(theirs, folder, minutes, seed))
    process.start()
    theirs.close()
    try:
        made: dict[str, float] = ours.recv()
    except EOFError:
        raise CurationError("the recording process ended early") from None
    finally:
        process.join()
    return made


def _record(connection: Any, folder: Path, minutes: int, seed: int) -> None:
    import resource

    from curation.engines.base import Advanced
    from curation.engines.local import LocalEngine
    from curation.proposals import load_proposer
    from curation.recording import ClipRecorder, Desk
    from curation.store import ArrayStore, Catalogue
    from schemas.records import Clip

    n_frames = round(minutes * 60 * _FPS)
    times = np.arange(n_frames) / _FPS
    clip = Clip(
        id="clip_made",
        uri="made",
        sha256="0",
        n_frames=n_frames,
        fps=_FPS,
        width=1920,
        height=1080,
        timestamps=times,
        lesson="made",
    )
    workspace = create_workspace(folder)
    settings, arrays = workspace.config.preannotation, ArrayStore(workspace.folder("arrays"))
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        catalogue.add_clips([clip])
        desk = Desk(
            catalogue=catalogue,
            arrays=arrays,
            pipeline="made",
            window=settings.window,
            fps=_FPS,
            taxonomy=workspace.taxonomy,
            proposer=load_proposer(),
        )
        recorder = ClipRecorder(clip, desk)
        engine = LocalEngine(workers=1)
        for event in engine.run([n_frames], "curation.benchmarks.people_memory:draw_people", options={"seed": seed}):
            if isinstance(event, Advanced):
                recorder.add(event.part)
        recorder.finish()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    connection.send(
        {
            "peak_mib": usage.ru_maxrss / 1024,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "rows": _STUDENTS * n_frames,
            "tubelets": recorder.n_tubelets,
            "file_mib": (folder / "arrays" / "clip_made.parquet").stat().st_size / 2**20,
        }
    )


@contextmanager
def draw_people(*, seed: int) -> Iterator[Any]:
    """A stage that finds nobody: number of frames → parts with boxes and poses of `_STUDENTS` people drawn by lot."""
    from backends.people.base import PersonTrack

    rng = np.random.default_rng(seed)

    def draw(n_frames: int) -> Iterator[Step]:
        step = round(_PART * _FPS)
        for start in range(0, n_frames, step):
            frames = np.arange(start, min(start + step, n_frames))
            corners = rng.uniform(0, 900, (_STUDENTS, len(frames), 2)).astype(np.float32)
            poses = rng.uniform(0, 1, (_STUDENTS, len(frames), 33, 4)).astype(np.float32)
            worlds = rng.normal(0, 1, (_STUDENTS, len(frames), 33, 3)).astype(np.float32)
            yield Step(
                units=len(frames),
                part=[
                    PersonTrack(
                        number=n,
                        frames=frames,
                        boxes_xyxy=np.concatenate([corners[n], corners[n] + 99], axis=1),
                        pose_px=poses[n],
                        scores=np.ones(len(frames)),
                        world_m=worlds[n],
                    )
                    for n in range(_STUDENTS)
                ],
            )

    yield draw
