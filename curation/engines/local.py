"""Worker processes on this machine: spawned, one copy of the models in each; one that dies costs nothing but its own try."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Self

from curation.engines.base import Event
from curation.engines.crew import run_crew
from curation.engines.worker import Message, serve_tasks

__all__ = ["LocalEngine", "count_cores"]


class _Worker:
    """One process and the pipe to it. The pipe holds 64 KiB: a process that has more to tell waits until it is heard."""

    def __init__(self, stage: str, log: Path | None) -> None:
        self.stage = stage
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._waits = False
        self._process: SpawnProcess = context.Process(
            target=serve_tasks, args=(theirs, stage, None if log is None else str(log)), daemon=True
        )
        with _interrupts_ignored():
            self._process.start()
        theirs.close()

    def open(self, options: Mapping[str, Any]) -> Self:
        """Have the stage set up; its first message says how that went."""
        with suppress(OSError):
            self.connection.send(dict(options))
        return self

    def give(self, task: Any) -> None:
        """Hand a task over; if the process is gone, the next look at its connection says so."""
        self._waits = False
        with suppress(OSError):
            self.connection.send(task)

    def receive(self) -> tuple[Message, Any]:
        """Return the next message."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            return Message.LOST, self._describe_end()
        self._waits = kind is not Message.STEP
        return kind, content

    def stop(self) -> None:
        """End the process: one that waits for work lets go of its models first."""
        self.connection.close()
        if self._waits:
            self._process.join(5)
        self._process.terminate()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _describe_end(self) -> str:
        """Say how the process ended."""
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"its worker process was ended by {name}{hint}"
        return f"its worker process ended with exit code {code}"


class LocalEngine:
    """Runs a stage in worker processes of this machine; see `curation.engines.base.Engine`."""

    def __init__(self, *, workers: int = 0, log: str | Path | None = None) -> None:
        """Choose how to run.

        Args:
            workers: number of cores to use, a process on each; 0 = all. Fewer tasks than that have several threads each.
            log: the file to which whatever the workers print is added; None = nowhere.
        """
        self.workers = workers or count_cores()
        self.log = None if log is None else Path(log)
        self._spare: _Worker | None = None

    def count_threads(self, n_tasks: int) -> int:
        """Return how many threads each worker may compute on."""
        return max(1, self.workers // max(n_tasks, 1))

    def prepare(self, stage: str) -> None:
        """Start a first worker; one that is not needed after all ends with this process. See `curation.engines.base.Engine`."""
        self._spare = self._spare or _Worker(stage, self.log)

    def run(self, tasks: Sequence[Any], stage: str, *, options: Mapping[str, Any] | None = None) -> Generator[Event, None, None]:
        """Yield what happens to the tasks; see `curation.engines.base.Engine.run`.

        Raises:
            CurationError: if the stage cannot be set up.
        """
        return run_crew(tasks, size=self.workers, hire=lambda: self._hire(stage).open(options or {}), wait=_wait_for_any)

    def _hire(self, stage: str) -> _Worker:
        spare, self._spare = self._spare, None
        if spare is not None and spare.stage == stage:
            return spare
        if spare is not None:
            spare.stop()
        return _Worker(stage, self.log)


def _wait_for_any(workers: Sequence[_Worker]) -> list[_Worker]:
    ready = set(wait([worker.connection for worker in workers]))
    return [worker for worker in workers if worker.connection in ready]


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
