"""`curate bench review`: many labels into FiftyOne, beside FiftyOne's own way; and how soon the review's page can be used.

The labels are drawn at random and share one small video; no student, lesson or model is behind them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curation.benchmarks import BenchResult, compare_side_by_side, describe_spread
from schemas.errors import ServerError

__all__ = ["bench_review"]

WANTED_RATIO, WANTED_SECONDS = 5.0, 3.0
_PEER = 2000


def bench_review(*, rounds: int, n: int = 100_000, seed: int = 0) -> BenchResult:
    """Time `n` labels into FiftyOne at once against sample by sample, then the page of the review that this made.

    The peer, ``dataset.add_sample`` for each label, is timed on 2000 labels a round and compared by labels per second: its time
    grows with their number. The page's time is from the request to a drawn grid and a clip in the panel that can be judged, in a
    browser that has the app's own files in its cache, as a curator's has from the second visit on; the first is told beside it.

    Raises:
        ServerError: if MongoDB or the app does not start.
    """
    from curation.config import create_workspace
    from curation.review.bulk import insert_rows
    from curation.review.environment import prepare_fiftyone

    with tempfile.TemporaryDirectory(prefix="curate-bench-") as folder:
        workspace = create_workspace(Path(folder) / "bench")
        prepare_fiftyone(workspace)
        rows = _draw_rows(workspace, n, seed)
        with _fresh_dataset("bench-at-once") as fast, _fresh_dataset("bench-one-by-one") as slow:
            some = rows[: 10 * _PEER]
            sides: dict[str, Callable[[], object]] = {
                "at once": partial(insert_rows, fast, some),
                "sample by sample": partial(_add_each, slow, rows[:_PEER]),
            }
            seconds = compare_side_by_side(sides, rounds=rounds)
        whole = _build(workspace, rows, seed)
        page = _time_page(workspace, rounds)
    sizes = {"at once": len(some), "sample by sample": min(n, _PEER)}
    rates = {name: [sizes[name] / s for s in values] for name, values in seconds.items()}
    ratio = float(np.median(rates["at once"]) / np.median(rates["sample by sample"]))
    return _tell(n, rates, ratio, whole, page)


def _tell(n: int, rates: dict[str, list[float]], ratio: float, whole: dict[str, float], page: dict[str, Any]) -> BenchResult:
    told = [f"{name:<18} {describe_spread(values, 0)} labels a second" for name, values in rates.items()]
    told += [f"{name:<18} {value:.1f} s for {n:,} labels" for name, value in whole.items()]
    missed = [] if ratio >= WANTED_RATIO else [f"{WANTED_RATIO:g} x sample by sample; it is {ratio:.1f} x"]
    if "again" in page:
        told.append(f"{'page':<18} {describe_spread(page['again'], 2)} s; the first visit {page['first']:.2f} s")
        if float(np.median(page["again"])) > WANTED_SECONDS:
            missed.append(f"a page within {WANTED_SECONDS:g} s; it takes {np.median(page['again']):.2f} s")
    else:
        told.append(f"page: not timed: {page['problem']}")
    line = f"review {n:,}: {ratio:.1f} x sample by sample, all in {sum(whole.values()):.1f} s"
    if "again" in page:
        line += f", page {np.median(page['again']):.2f} s"
    data = {"n": n, "rates": rates, "ratio": ratio, "whole": whole, "page": page}
    return BenchResult(rows=tuple(told), line=line, data=data, missed=tuple(missed))


def _draw_rows(workspace: Any, n: int, seed: int) -> list[Any]:
    from curation.review.bulk import Row
    from curation.review.draw import encode_tile

    rng = np.random.default_rng(seed)
    values = np.array(workspace.taxonomy.primary.values)
    noise = rng.integers(0, 255, (12, 320, 480, 1), np.uint8) // 8 + np.arange(12, dtype=np.uint8)[:, None, None, None] * 16
    path = workspace.folder("crops") / "tubelets" / "bench.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_tile(list(np.repeat(noise, 3, axis=3)), rate=6, crf=26))
    metadata = {
        "size_bytes": path.stat().st_size, "mime_type": "video/mp4", "frame_width": 480, "frame_height": 320, "frame_rate": 6.0,
        "total_frame_count": 12, "duration": 2.0, "encoding_str": "avc1",
    }  # fmt: skip
    labels, wrong = rng.choice(values, n), rng.beta(0.4, 2.5, n)
    suggested = np.where(wrong > 0.5, rng.choice(values, n), labels)
    return [
        Row(
            filepath=str(path),
            metadata=metadata,
            labels={
                "label": (str(labels[i]), None), "suggested": (str(suggested[i]), None), "proposal": (str(suggested[i]), 0.7),
            },
            values={
                "p_wrong": float(wrong[i]), "suspicion": float(wrong[i]), "loss": float(-np.log(1 - wrong[i] + 1e-9)),
                "doubt": None, "verdict": None, "reason": f"drawn, {wrong[i]:.2f}", "annotator": f"annotator-{i % 5}",
                "student": f"student-{i % 997}", "lesson": f"lesson-{i % 61}", "camera": "front", "school": "bench",
                "start": 2.0 * (i % 600), "end": 2.0 * (i % 600) + 2, "clip": f"/bench/{i % 61}.mp4", "tubelet": f"tub_{i:016x}",
                "neighbours": [f"tub_{(i + k) % n:016x}" for k in range(1, 7)],
            },
        )
        for i in range(n)
    ]  # fmt: skip


@contextmanager
def _fresh_dataset(name: str) -> Iterator[Any]:
    import fiftyone as fo

    from curation.review.looks import declare_fields

    dataset = fo.Dataset(name, overwrite=True)
    declare_fields(dataset)
    try:
        yield dataset
    finally:
        dataset.delete()


def _add_each(dataset: Any, rows: list[Any]) -> None:
    from curation.review.bulk import make_sample

    for row in rows:
        dataset.add_sample(make_sample(row))


def _build(workspace: Any, rows: list[Any], seed: int) -> dict[str, float]:
    """Make the review of all rows; return the seconds of filling (with neighbours and map) and of indexes, views and workspaces."""
    import fiftyone as fo

    from curation.review.dataset import fill_dataset, name_dataset
    from curation.review.looks import arrange_dataset, declare_fields

    axis = workspace.taxonomy.primary
    dataset = fo.Dataset(name_dataset(workspace, axis.id), persistent=True)
    declare_fields(dataset)
    rng = np.random.default_rng(seed)
    motion = (rng.normal(size=(len(rows), 12)) @ rng.normal(size=(12, 120))).astype(np.float32)
    start = time.perf_counter()
    fill_dataset(dataset, rows, motion)
    filled = time.perf_counter()
    dataset.info["curate"] = {"workspace": str(workspace.root), "axis": axis.id, "problems": {}}
    arrange_dataset(dataset, axis)
    return {"filling": filled - start, "indexes and views": time.perf_counter() - filled}


def _time_page(workspace: Any, rounds: int) -> dict[str, Any]:
    """Open the page in a process of its own, which has a browser and nothing else; return seconds, or what was missing."""
    from curation.benchmarks.review_page import find_free_port, run_app

    port = find_free_port()
    try:
        with run_app(workspace, port):
            code = [sys.executable, "-m", "curation.benchmarks.review_page", str(workspace.root), str(port), str(rounds)]
            done = subprocess.run(code, capture_output=True, text=True, timeout=600, check=False)
    except (ServerError, subprocess.TimeoutExpired) as error:
        return {"problem": str(error)}
    if done.returncode:
        return {"problem": (done.stderr.strip().splitlines() or ["the browser failed"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
