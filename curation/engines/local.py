"""Worker processes on this machine: spawned, one copy of the models in each; one that dies costs nothing but its own try."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from curation.engines.base import Outcome
from curation.engines.worker import Message, serve_tasks
from schemas.errors import CurationError

__all__ = ["LocalEngine", "count_cores"]

_TRIES = 2
_AHEAD = 2


class _Worker:
    """One process and the task it is on (None = it waits, -1 = it is getting ready)."""

    def __init__(self, stage: str, options: Mapping[str, Any], log: Path | None) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.task: int | None = -1
        self.process: SpawnProcess = context.Process(
            target=serve_tasks, args=(theirs, stage, dict(options), None if log is None else str(log)), daemon=True
        )
        with _interrupts_ignored():
            self.process.start()
        theirs.close()

    def give(self, index: int, task: Any) -> None:
        """Hand a task over; if the process is gone, the next look at its connection says so."""
        self.task = index
        with suppress(OSError):
            self.connection.send(task)

    def stop(self) -> None:
        """End the process: one that waits for work lets go of its models first."""
        self.connection.close()
        if self.task is None:
            self.process.join(5)
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def describe_end(self) -> str:
        """Say how the process ended."""
        self.process.join(5)
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"its worker process was ended by {name}{hint}"
        return f"its worker process ended with exit code {code}"


class LocalEngine:
    """Runs a stage in worker processes of this machine; see `curation.engines.base.Engine`.

    At most twice as many tasks as there are workers are ahead of the one whose outcome is waited for, so that a slow task or a slow
    reader does not fill the memory with results.
    """

    def __init__(self, *, workers: int = 0, log: str | Path | None = None) -> None:
        """Choose how to run.

        Args:
            workers: number of processes; 0 = one per core.
            log: the file to which whatever the workers print is added; None = nowhere.
        """
        self.workers = workers or count_cores()
        self.log = None if log is None else Path(log)

    def run(
        self,
        tasks: Sequence[Any],
        stage: str,
        *,
        options: Mapping[str, Any] | None = None,
        on_tick: Callable[[int, int], None] | None = None,
    ) -> Iterator[Outcome]:
        """Yield one `Outcome` per task in their order; see `curation.engines.base.Engine.run`.

        Raises:
            CurationError: if the stage cannot be set up.
        """
        crew: list[_Worker] = []
        state = _State(len(tasks), on_tick)
        try:
            while state.next_out < len(tasks):
                for _ in range(min(self.workers, state.n_open) - len(crew)):
                    crew.append(_Worker(stage, options or {}, self.log))
                for worker in crew:
                    index = state.take(limit=_AHEAD * self.workers) if worker.task is None else None
                    if index is not None:
                        worker.give(index, tasks[index])
                if state.next_out in state.outcomes:
                    yield state.outcomes.pop(state.next_out)
                    state.next_out += 1
                    continue
                for connection in wait([worker.connection for worker in crew]):
                    worker = next(w for w in crew if w.connection is connection)
                    if not state.hear(worker):
                        crew.remove(worker)
                        worker.stop()
        finally:
            for worker in crew:
                worker.stop()


class _State:
    """Which tasks wait, which outcomes are there, and how often a task has taken its process down."""

    def __init__(self, n_tasks: int, on_tick: Callable[[int, int], None] | None) -> None:
        self.waiting = deque(range(n_tasks))
        self.outcomes: dict[int, Outcome] = {}
        self.next_out = 0
        self._n_tasks = n_tasks
        self._deaths: dict[int, int] = {}
        self._stillborn = 0
        self._on_tick = on_tick

    @property
    def n_open(self) -> int:
        """How many tasks have no outcome yet."""
        return self._n_tasks - self.next_out - len(self.outcomes)

    def take(self, *, limit: int) -> int | None:
        """Return the next task to hand out, or None if there is none or enough are ahead."""
        if self.waiting and self.waiting[0] < self.next_out + limit:
            return self.waiting.popleft()
        return None

    def hear(self, worker: _Worker) -> bool:
        """Take in one message of a worker; return False if the worker is gone."""
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return False
        index = worker.task
        if kind is Message.FAILED:
            raise CurationError(content)
        if kind is Message.TICK:
            if self._on_tick is not None and index is not None:
                self._on_tick(index, content)
            return True
        worker.task = None
        if kind is Message.DONE and index is not None:
            self.outcomes[index] = Outcome(index=index, value=content)
        elif kind is Message.REFUSED and index is not None:
            self.outcomes[index] = Outcome(index=index, error=content)
        return True

    def _bury(self, worker: _Worker) -> None:
        index, how = worker.task, worker.describe_end()
        if index is None:
            return
        if index < 0:
            self._stillborn += 1
            if self._stillborn > _TRIES:
                raise CurationError(f"worker processes cannot start: {how}")
            return
        self._deaths[index] = self._deaths.get(index, 0) + 1
        if self._deaths[index] < _TRIES:
            self.waiting.appendleft(index)
        else:
            self.outcomes[index] = Outcome(index=index, error=f"{how}, {_TRIES} times")


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Start a process that never sees Ctrl-C: the parent ends its workers itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
