"""What a stage does, what an engine must be able to do, and what it tells while it works."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

__all__ = ["Advanced", "Begun", "Ended", "Engine", "Event", "Step"]


@frozen(kw_only=True)
class Step:
    """What a stage yields while it is on a task: units (frames) done since the last step, and a part of the result or None."""

    units: int = 0
    part: Any = None


@frozen(kw_only=True)
class Begun:
    """A task is begun. If it was begun before, its worker was lost, and its parts come again from the first on."""

    index: int


@frozen(kw_only=True)
class Advanced:
    """A task has come further by `units`; `part` is the next part of its result, or None."""

    index: int
    units: int
    part: Any = None


@frozen(kw_only=True)
class Ended:
    """A task is done (`error` None: all of its parts have come), or set aside for the reason `error`."""

    index: int
    error: str | None = None


Event = Begun | Advanced | Ended


class Engine(Protocol):
    """Runs one stage over many tasks."""

    def count_threads(self, n_tasks: int) -> int:
        """Return how many threads each worker may compute on: more than one where there are fewer tasks than cores."""
        ...

    def prepare(self, stage: str) -> None:
        """Get ready for `run` with that stage while the caller still finds out its tasks; nothing has to come of it.

        A stage's module may have a function ``prepare()`` that loads what every task of it needs.
        """
        ...

    def run(self, tasks: Sequence[Any], stage: str, *, options: Mapping[str, Any] | None = None) -> Generator[Event, None, None]:
        """Yield what happens: for every task `Begun`, then `Advanced` as often as the stage yields, at last one `Ended`.

        The parts of a task come in order, those of different tasks as they are ready. A worker is at most one step
        ahead of what has been yielded, however slow the reader is. A task that fails is set aside with its reason and the others go
        on. A task that takes its worker down is begun once more on a new worker first. Close the iterator to stop the work.

        Args:
            tasks: what can be pickled.
            stage: "package.module:factory". ``factory(**options)`` is a context manager that is entered once per worker and gives a
                function ``task -> iterable of Step``.
            options: for the factory.

        Raises:
            CurationError: if the stage cannot be set up.
        """
        ...
