"""A stage for the tests of engines, which says in files what it did: who worked, on what, and when it was closed."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from curation.engines.base import Step
from schemas.errors import MediaError


@contextmanager
def square(folder, fail=False):
    """Tasks are numbers n (n large parts), seconds to sleep, or names of accidents."""
    folder = Path(folder)
    (folder / f"pid-{os.getpid()}").touch()
    if fail:
        raise MediaError("models", "are not there")

    def work(task):
        (folder / f"seen-{task}-{time.time_ns()}").touch()
        n_tries = len(list(folder.glob(f"seen-{task}-*")))
        if task == "poison":
            raise MediaError("clip.mp4", "has\na hole")
        if task == "bug":
            raise KeyError("x")
        if task == "killer" or (task == "once" and n_tries == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(task, float):
            time.sleep(task)
        yield Step(units=2)
        said = os.environ[task.partition(":")[2]] if str(task).startswith("environment:") else task
        yield Step(units=3, part=("task", said))
        if task == "halfway" and n_tries == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "halfway":
            raise MediaError("clip.mp4", "ends here")
        for number in range(task if isinstance(task, int) else 0):
            (folder / f"part-{task}-{number}").touch()
            yield Step(part=np.full(100_000, number, np.float32))

    yield work
    (folder / f"closed-{os.getpid()}").touch()


@contextmanager
def dies(folder):
    """Cannot even start."""
    os._exit(3)
    yield


def prepare():
    """Say that this process is ready before it knows any options, where the tests want to know."""
    if "ENGINE_STAGE_PREPARED" in os.environ:
        Path(os.environ["ENGINE_STAGE_PREPARED"], f"prepared-{os.getpid()}").touch()
