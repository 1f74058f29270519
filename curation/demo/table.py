"""The demonstration's clock and its one table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from attrs import Factory, define, frozen

__all__ = ["F1", "Row", "StageClock", "format_duration", "format_table"]


@define
class StageClock:
    """Seconds per stage, told as they pass."""

    say: Callable[[str], None]
    seconds: dict[str, float] = Factory(dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block and say when it starts and how long it took; one name used twice adds up."""
        start = time.monotonic()
        self.say(f"{name} …")
        yield
        took = time.monotonic() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        self.say(f"{name}: {format_duration(took)}")


@frozen
class F1:
    """Macro-F1 of several trainings on the frozen test lessons."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the trainings."""
        return float(np.mean(self.values))

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({min(self.values):.3f} to {max(self.values):.3f})"


@frozen
class Row:
    """One line of the table: what, how much, and a remark."""

    what: str
    figure: str
    remark: str = ""


def format_duration(seconds: float) -> str:
    """Return seconds as ``4.2 s`` or ``3 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def format_table(title: str, rows: Sequence[Row]) -> str:
    """Return the rows as an aligned table with a title and rules."""
    what = max(len(row.what) for row in rows)
    figure = max(len(row.figure) for row in rows)
    body = [f"  {row.what:<{what}}   {row.figure:<{figure}}   {row.remark}".rstrip() for row in rows]
    rule = "─" * max(len(title) + 2, *(len(line) for line in body))
    return "\n".join([rule, f"  {title}", rule, *body, rule])
