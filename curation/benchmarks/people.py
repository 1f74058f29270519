"""`curate bench people`: what finding people costs and how well it is done, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends.registry import Registry
from curation.benchmarks import BenchResult

__all__ = ["PARTS", "bench_people"]

PARTS = Registry(
    "part of `bench people`",
    {
        "quality": "curation.benchmarks.people_quality:bench_quality",
        "photos": "curation.benchmarks.people_photos:bench_photos",
        "speed": "curation.benchmarks.people_speed:bench_speed",
        "workers": "curation.benchmarks.people_workers:bench_workers",
        "tracks": "curation.benchmarks.people_tracks:bench_tracks",
        "faces": "curation.benchmarks.people_faces:bench_faces",
        "memory": "curation.benchmarks.people_memory:bench_memory",
        "ray": "curation.benchmarks.people_ray:bench_ray",
        "fuzz": "curation.benchmarks.people_fuzz:bench_fuzz",
    },
)
"""Name → function (rounds, seed) → `BenchResult`. Each stands alone: `curate bench people --part NAME`."""


def bench_people(*, rounds: int, seed: int = 0, parts: Sequence[str] = ()) -> BenchResult:
    """Run the parts named, or all, one after another.

    Raises:
        UnknownName: if there is no such part.
    """
    chosen = {name: PARTS.load(name) for name in (parts or PARTS)}
    rows: list[str] = []
    data: dict[str, Any] = {}
    missed: list[str] = []
    for name, run in chosen.items():
        result: BenchResult = run(rounds=rounds, seed=seed)
        rows += [f"-- {name}", *result.rows, result.line]
        data[name] = result.data
        missed += [f"{name}: {what}" for what in result.missed]
    line = f"bench people: {len(chosen)} parts, " + (f"{len(missed)} figures missed" if missed else "all figures reached")
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))
