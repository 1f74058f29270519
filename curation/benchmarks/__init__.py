"""Benchmarks behind `curate bench`: ours and the peer alternate in one process, medians and spread of several runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import frozen

__all__ = ["BenchResult", "compare_side_by_side", "describe_spread"]


@frozen(kw_only=True)
class BenchResult:
    """Rows for people, one line that sums up, the same as data, and what was wanted of it and did not hold (empty = all did)."""

    rows: tuple[str, ...]
    line: str
    data: dict[str, Any]
    missed: tuple[str, ...] = ()


def compare_side_by_side(
    sides: dict[str, Callable[[], object]], *, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Return the seconds of `rounds` runs of every side, alternating (A B A B …) so that a noisy machine is noisy to all.

    Args:
        sides: what to run, by name.
        rounds: how often.
        clock: tells the seconds; `time.process_time` counts those that this process computes, whatever others do meanwhile.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return seconds


def describe_spread(values: Sequence[float], digits: int = 3) -> str:
    """Return "median (lowest to highest)" of several runs."""
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
