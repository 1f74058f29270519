"""`curate bench vision`: the models that see pictures, each against its parts, on rendered lessons and faces."""

from __future__ import annotations

from collections.abc import Sequence

from backends.registry import Registry
from curation.benchmarks import BenchResult

__all__ = ["PARTS", "bench_vision"]

PARTS = Registry(
    "part of `bench vision`",
    {
        "fusion": "curation.benchmarks.vision_fusion:bench_fusion",
        "faces": "curation.benchmarks.vision_faces:bench_faces",
        "identity": "curation.benchmarks.vision_faces:bench_identity",
        "fatigue": "curation.benchmarks.vision_fatigue:bench_fatigue",
    },
)
"""Name → function (rounds, seed) → `BenchResult`. Each stands alone: `curate bench vision --part NAME`."""


def bench_vision(*, rounds: int, seed: int = 0, parts: Sequence[str] = ()) -> BenchResult:
    """Run the parts named, or all, one after another.

    Raises:
        UnknownName: if there is no such part.
    """
    results: dict[str, BenchResult] = {name: PARTS.load(name)(rounds=rounds, seed=seed) for name in (parts or PARTS)}
    missed = tuple(f"{name}: {what}" for name, result in results.items() for what in result.missed)
    rows = tuple(row for name, result in results.items() for row in (f"-- {name}", *result.rows, result.line))
    line = f"bench vision: {len(results)} parts, " + (f"{len(missed)} figures missed" if missed else "all figures reached")
    return BenchResult(rows=rows, line=line, data={name: result.data for name, result in results.items()}, missed=missed)
