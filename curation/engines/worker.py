"""What runs inside a worker process, whichever engine has started it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from enum import Enum
from importlib import import_module
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

from schemas.errors import CurationError

__all__ = ["Message", "describe_error", "follow_task", "open_stage", "serve_tasks"]


class Message(Enum):
    """Kinds of message from a worker to its engine, each with its content."""

    READY = "ready"
    """The stage is set up: None."""
    FAILED = "failed"
    """The stage cannot be set up: why."""
    STEP = "step"
    """The task has come further: a `Step`."""
    DONE = "done"
    """The task is done: None."""
    REFUSED = "refused"
    """Why the task cannot be done."""
    LOST = "lost"
    """The worker is gone: how it ended. Said by the engine's side of a worker, never by the worker itself."""


def serve_tasks(connection: Connection, stage: str, log: str | None) -> None:
    """Prepare for a stage, set it up with the options that come first, then do one task after another until the engine hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_follow_parent, daemon=True).start()
    _redirect_output(log)
    try:
        _prepare(stage)
        options = next(_receive(connection), None)
        if options is None:
            return
        with open_stage(stage, options) as work:
            connection.send((Message.READY, None))
            for task in _receive(connection):
                for message in follow_task(work, task):
                    connection.send(message)
    except BrokenPipeError:
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the engine must hear of it
        connection.send((Message.FAILED, describe_error(error)))


def _prepare(stage: str) -> None:
    """Load ahead what the stage's module says; what is missing is told when the stage is opened."""
    with suppress(Exception):
        getattr(import_module(stage.partition(":")[0]), "prepare", lambda: None)()


def open_stage(stage: str, options: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Return the context manager that "package.module:factory" makes."""
    module, _, name = stage.partition(":")
    opened: AbstractContextManager[Any] = getattr(import_module(module), name)(**options)
    return opened


def follow_task(work: Any, task: Any) -> Iterator[tuple[Message, Any]]:
    """Yield the messages of one task: its steps, and how it ended."""
    try:
        for step in work(task):
            yield Message.STEP, step
    except Exception as error:  # noqa: BLE001 - one bad task must not end the others
        yield Message.REFUSED, describe_error(error)
    else:
        yield Message.DONE, None


def describe_error(error: Exception) -> str:
    """Return an error in one line, with its type if it is none of ours."""
    text = " ".join(str(error).split())
    return text if isinstance(error, CurationError) else f"{type(error).__name__}: {text}"


def _receive(connection: Connection) -> Iterator[Any]:
    """Yield tasks until the engine hangs up."""
    with suppress(EOFError, ConnectionResetError):
        while True:
            yield connection.recv()


def _follow_parent() -> None:
    """End this process when its parent has ended, however that happened."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _redirect_output(log: str | None) -> None:
    try:
        target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # a full disk must not keep the worker from starting
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
