"""What runs inside a worker process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from importlib import import_module
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

from schemas.errors import CurationError

__all__ = ["Message", "serve_tasks"]


class Message(Enum):
    """Kinds of message from a worker to its engine, each with its content."""

    READY = "ready"
    """The stage is set up: None."""
    FAILED = "failed"
    """The stage cannot be set up: why."""
    TICK = "tick"
    """Units done since the last tick: a number."""
    DONE = "done"
    """The task's result."""
    REFUSED = "refused"
    """Why the task cannot be done."""


def serve_tasks(connection: Connection, stage: str, options: dict[str, Any], log: str | None) -> None:
    """Set the stage up, then do one task after another until the engine hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_follow_parent, daemon=True).start()
    _redirect_output(log)
    try:
        module, _, name = stage.partition(":")
        opened = getattr(import_module(module), name)(**options)
        with opened as work:
            connection.send((Message.READY, None))
            for task in _receive(connection):
                connection.send(_do(work, task, connection))
    except BrokenPipeError:
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the engine must hear of it
        connection.send((Message.FAILED, _describe(error)))


def _receive(connection: Connection) -> Iterator[Any]:
    """Yield tasks until the engine hangs up."""
    with suppress(EOFError, ConnectionResetError):
        while True:
            yield connection.recv()


def _do(work: Any, task: Any, connection: Connection) -> tuple[Message, Any]:
    try:
        return Message.DONE, work(task, lambda units: connection.send((Message.TICK, units)))
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - one bad task must not end the others
        return Message.REFUSED, _describe(error)


def _describe(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, CurationError) else f"{type(error).__name__}: {text}"


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
