"""`curate bench people --part workers`: what a run of `curate preannotate` takes, and the wait for the first tubelets.

Seconds are those of the clock, so an idle machine is needed; CPU seconds are told beside them, which show how much one worker slows
down another one, whatever else the machine does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from attrs import frozen

from curation.benchmarks import BenchResult, compare_side_by_side, describe_spread
from curation.benchmarks.lessons import render_lesson

__all__ = ["Finding", "bench_workers", "compare_workers", "time_first_tubelets"]

_LEAST_WORKERS, _LEAST_FRAMES, _MOST_WAIT = 1.8, 3.0, 10.0


@frozen(kw_only=True)
class Finding:
    """Rows to print, numbers, and what was wanted and not reached."""

    rows: list[str]
    data: dict[str, Any]
    missed: list[str]


def bench_workers(*, rounds: int, seed: int = 0) -> BenchResult:
    """Measure, on rendered lessons of 30 students: one worker beside two, frames per second, the wait for the first tubelets."""
    workers, first = compare_workers(rounds, seed), time_first_tubelets(rounds, seed)
    line = (
        f"workers (rendered): 2 workers {workers.data['speed_up']:.2f} x 1; "
        f"30 students {workers.data['frames_per_second']:.2f} frames/s; first tubelets {first.data['median']:.1f} s"
    )
    data = {"workers": workers.data, "first": first.data}
    return BenchResult(rows=(*workers.rows, *first.rows), line=line, data=data, missed=(*workers.missed, *first.missed))


def compare_workers(rounds: int, seed: int) -> Finding:
    """Compare `preannotate` with one and with two workers on two lessons of 30 students, from nothing to rows in the catalogue."""
    clips = [render_lesson(30, seconds=24.0, seed=seed + number) for number in range(2)]
    runs: dict[int, Any] = {}
    computed: dict[int, list[float]] = {1: [], 2: []}

    def run(workers: int) -> None:
        before = _count_cpu_seconds()
        with TemporaryDirectory(prefix="curate-bench-") as folder:
            runs[workers] = _preannotate(Path(folder), clips, workers)
        computed[workers].append(_count_cpu_seconds() - before)

    seconds = compare_side_by_side({"1 worker": partial(run, 1), "2 workers": partial(run, 2)}, rounds=rounds)
    one, two = (float(np.median(values)) for values in seconds.values())
    rate = runs[2].frames / two
    rows = [
        f"{name:<32} {describe_spread(values, 1)} s, {runs[2].frames / np.median(values):.2f} frames/s of 30 students, 1920x1080, "
        f"{describe_spread(cpu, 1)} CPU s"
        for (name, values), cpu in zip(seconds.items(), computed.values(), strict=True)
    ]
    rows.append(f"load of the machine {os.getloadavg()[0]:.1f}")
    missed = [] if one / two >= _LEAST_WORKERS else [f"2 workers {one / two:.2f} x 1, wanted {_LEAST_WORKERS}"]
    missed += [] if rate >= _LEAST_FRAMES else [f"30 students at {rate:.2f} frames/s on 2 cores, wanted {_LEAST_FRAMES:g}"]
    data = {"speed_up": one / two, "frames_per_second": rate, "people": runs[2].people, "seconds": seconds, "cpu": computed}
    return Finding(rows=rows, data=data, missed=missed)


def _count_cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it has started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _preannotate(folder: Path, clips: Sequence[Path], workers: int) -> Any:
    from curation.config import create_workspace
    from curation.ingest import add_media
    from curation.preannotate import preannotate
    from curation.store import ArrayStore, Catalogue

    workspace = create_workspace(folder / "work")
    catalogue = Catalogue.open(workspace.catalogue_url)
    try:
        add_media(workspace, catalogue, clips, workers=workers)
        return preannotate(workspace, catalogue, ArrayStore(workspace.folder("arrays")), workers=workers)
    finally:
        catalogue.close()


def time_first_tubelets(rounds: int, seed: int) -> Finding:
    """Time `curate preannotate` as a process of its own, from its start until a tubelet of a long lesson is in the catalogue."""
    clip = render_lesson(30, seconds=24.0, seed=seed)
    waits = []
    for _ in range(rounds):
        with TemporaryDirectory(prefix="curate-bench-") as folder:
            waits.append(_wait_for_tubelets(Path(folder), clip))
    median = float(np.median(waits))
    rows = [f"{'first tubelets of 30 students':<32} {describe_spread(waits)} s after the start of `curate preannotate`"]
    missed = [] if median < _MOST_WAIT else [f"first tubelets after {median:.1f} s, wanted less than {_MOST_WAIT:g}"]
    return Finding(rows=rows, data={"median": median, "seconds": waits}, missed=missed)


def _wait_for_tubelets(folder: Path, clip: Path) -> float:
    from curation.config import create_workspace
    from curation.ingest import add_media
    from curation.store import Catalogue

    workspace = create_workspace(folder / "work")
    catalogue = Catalogue.open(workspace.catalogue_url)
    command = [sys.executable, "-c", "from curation.cli import main; main()", "preannotate"]
    try:
        add_media(workspace, catalogue, [clip])
        start = time.perf_counter()
        with subprocess.Popen(command, cwd=workspace.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not catalogue.list_tubelets():
                time.sleep(0.05)
            waited = time.perf_counter() - start
            process.terminate()
        return waited if catalogue.list_tubelets() else float("inf")
    finally:
        catalogue.close()
