"""`curate bench loop`: the demonstration with several seeds of the classroom and of the mistakes, one after another."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from curation.benchmarks import BenchResult, describe_spread

__all__ = ["bench_loop", "describe_loops"]

LEAST_PRECISION = 0.7
"""Of the k most suspect labels, where k labels are wrong, at least this share is to be wrong."""


def bench_loop(*, rounds: int, seed: int = 0) -> BenchResult:
    """Run the whole loop on `rounds` rendered classrooms, seeds `seed`, `seed` + 1, …; each takes some minutes.

    Raises:
        CurationError: if a part is missing or fails.
    """
    from curation.demo.run import run_demo
    from curation.demo.settings import DemoSettings

    found: dict[int, Mapping[str, Any]] = {}
    for number in range(seed, seed + rounds):
        with TemporaryDirectory(prefix="curate-bench-") as folder:

            def say(line: str, number: int = number) -> None:
                sys.stderr.write(f"seed {number}: {line}\n")

            found[number] = run_demo(DemoSettings(root=Path(folder), seed=number), say).data
    return describe_loops(found)


def describe_loops(found: Mapping[int, Mapping[str, Any]]) -> BenchResult:
    """Return what several demonstrations showed.

    Args:
        found: seed → `DemoReport.data`.
    """
    rows, missed = [], []
    gains: list[float] = []
    for seed, data in found.items():
        f1 = {name: float(np.mean(values)) for name, values in data["f1"].items()}
        precision, k, seconds = data["review"]["precision"], data["review"]["k"], sum(data["seconds"].values())
        gains.append(f1["after"] - f1["before"])
        rows.append(
            f"seed {seed}: people {data['person_recall']:.3f}; wrong among the k = {k} most suspect {precision:.3f}; "
            f"macro-F1 {f1['before']:.3f} before, {f1['after']:.3f} after curation, {f1['next']:.3f} later; {seconds / 60:.1f} min"
        )
        if precision < LEAST_PRECISION:
            missed.append(f"seed {seed}: {precision:.3f} of the k most suspect are wrong, wanted {LEAST_PRECISION}")
        if gains[-1] <= 0:
            missed.append(f"seed {seed}: macro-F1 {f1['after']:.3f} after curation is not above {f1['before']:.3f} before")
    line = (
        f"the loop on {len(found)} rendered classrooms: P@k {_spread(found, 'precision')}, "
        f"macro-F1 gained by curation {describe_spread(gains)}"
    )
    return BenchResult(
        rows=tuple(rows), line=line, data={str(seed): dict(data) for seed, data in found.items()}, missed=tuple(missed)
    )


def _spread(found: Mapping[int, Mapping[str, Any]], name: str) -> str:
    values: Sequence[float] = [data["review"][name] for data in found.values()]
    return describe_spread(values)
