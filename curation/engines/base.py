"""What an engine must be able to do, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

__all__ = ["Engine", "Outcome", "Tick"]

Tick = Callable[[int], None]
"""What a stage calls while it works, with the number of units (frames) done since the last call."""


@frozen(kw_only=True)
class Outcome:
    """What became of one task: its result, or the reason for which it was set aside (then `value` is None)."""

    index: int
    value: Any = None
    error: str | None = None


class Engine(Protocol):
    """Runs one stage over many tasks."""

    def run(
        self,
        tasks: Sequence[Any],
        stage: str,
        *,
        options: Mapping[str, Any] | None = None,
        on_tick: Callable[[int, int], None] | None = None,
    ) -> Iterator[Outcome]:
        """Yield one `Outcome` per task, in the order of the tasks.

        A task that fails is set aside with its reason and the others go on. A task that takes its process down is tried once more
        in a new process first. Close the iterator to stop the work.

        Args:
            tasks: what can be pickled.
            stage: "package.module:factory". ``factory(**options)`` is a context manager that is entered once per process and
                gives a function ``(task, tick) -> result``.
            options: for the factory.
            on_tick: called as ``on_tick(task index, units)`` while a task is worked on.

        Raises:
            CurationError: if the stage cannot be set up.
        """
        ...
