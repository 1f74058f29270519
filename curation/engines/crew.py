"""What all engines share: who works on which task, what becomes of a task whose worker is lost, and when to stop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, TypeVar

from curation.engines.base import Advanced, Begun, Ended, Event
from curation.engines.worker import Message
from schemas.errors import CurationError

__all__ = ["Worker", "run_crew"]

_TRIES = 2
_STARTING = -1


class Worker(Protocol):
    """One process with a stage in it, here or elsewhere."""

    def give(self, task: Any) -> None:
        """Hand a task over to a worker that waits for one."""
        ...

    def receive(self) -> tuple[Message, Any]:
        """Return its next message; a worker that is gone says `Message.LOST`."""
        ...

    def stop(self) -> None:
        """End the process and wait until it has ended."""
        ...


W = TypeVar("W", bound=Worker)


def run_crew(
    tasks: Sequence[Any], *, size: int, hire: Callable[[], W], wait: Callable[[Sequence[W]], Sequence[W]]
) -> Generator[Event, None, None]:
    """Work through the tasks with up to `size` workers; see `curation.engines.base.Engine.run` for what is yielded.

    Args:
        tasks: what to do.
        size: of the crew.
        hire: starts a worker; its first message is READY or FAILED.
        wait: returns those of the workers that have a message, once there is one.

    Raises:
        CurationError: if the stage cannot be set up, or workers die before they are ready.
    """
    desk = _Desk(tasks)
    crew: dict[W, int | None] = {}
    try:
        while desk.n_open:
            while len(crew) < min(size, desk.n_open):
                crew[hire()] = _STARTING
            for worker in [worker for worker, task in crew.items() if task is None]:
                yield from desk.employ(worker, crew)
            for worker in wait(list(crew)):
                kind, content = worker.receive()
                event = desk.hear(crew[worker], kind, content)
                begun: list[Begun] = []
                if kind is Message.LOST:
                    del crew[worker]
                    worker.stop()
                elif kind is not Message.STEP:
                    crew[worker] = None
                    begun = desk.employ(worker, crew)  # now: what the reader does with the end of a task takes a while
                if event is not None:
                    yield event
                yield from begun
    finally:
        for worker in crew:
            worker.stop()


class _Desk:
    """Which tasks wait, how many are open, and how often a task has taken its worker down."""

    def __init__(self, tasks: Sequence[Any]) -> None:
        self.n_open = len(tasks)
        self._tasks = tasks
        self._waiting = deque(range(len(tasks)))
        self._deaths = [0] * len(tasks)
        self._stillborn = 0

    def employ(self, worker: W, crew: dict[W, int | None]) -> list[Begun]:
        """Give a worker the next task, if there is one; return what is to be told of it."""
        if not self._waiting:
            return []
        crew[worker] = index = self._waiting.popleft()
        worker.give(self._tasks[index])
        return [Begun(index=index)]

    def hear(self, index: int | None, kind: Message, content: Any) -> Event | None:
        """Return what a worker's message means for its task."""
        if kind is Message.FAILED:
            raise CurationError(content)
        if kind is Message.LOST:
            return self._bury(index, content)
        if kind is Message.READY or index is None:
            return None
        if kind is Message.STEP:
            return Advanced(index=index, units=content.units, part=content.part)
        return self._end(index, content)

    def _end(self, index: int, error: str | None) -> Ended:
        self.n_open -= 1
        return Ended(index=index, error=error)

    def _bury(self, index: int | None, how: str) -> Ended | None:
        if index is None:
            return None
        if index == _STARTING:
            self._stillborn += 1
            if self._stillborn > _TRIES:
                raise CurationError(f"worker processes cannot start: {how}")
            return None
        self._deaths[index] += 1
        if self._deaths[index] >= _TRIES:
            return self._end(index, f"{how}, {_TRIES} times")
        self._waiting.appendleft(index)
        return None
