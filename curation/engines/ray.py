"""Ray actors, one stage in each: on this machine, or on every machine of a cluster that is running already.

Only the places where work is done differ from `curation.engines.local`: who works on what, and what becomes of a task whose worker
is lost, is the same code (`curation.engines.crew`). Considered and not used: Ray Data, which tries blocks of rows again and
ends the run on an error, where here one clip is begun again or set aside.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from curation.engines.base import Event
from curation.engines.crew import run_crew
from curation.engines.local import count_cores
from curation.engines.worker import Message, describe_error, follow_task, open_stage
from schemas.errors import CurationError

__all__ = ["RayEngine", "connect_quietly", "import_ray", "join_cluster"]

_log = logging.getLogger(__name__)
_STORE_BYTES = 256 * 2**20
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_CLUSTER = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's own switch for "this machine only": at 0, all of its processes listen on the loopback address. It is read when Ray
is imported; where that has happened already in this process, the constant that it became is set, too."""
_LOST = "its worker process or the machine it was on was lost"


class _StageActor:
    """What runs on the other side: a stage, and the task it is on. It does nothing that it is not asked for: one step per call."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._work: Any = None
        self._messages: Iterator[tuple[Message, Any]] = iter(())

    def open(self, stage: str, options: dict[str, Any], path: list[str]) -> tuple[Message, Any]:
        """Set the stage up; modules are looked for where the asking process looks for them, too."""
        sys.path += [folder for folder in path if folder not in sys.path]
        try:
            self._work = self._stack.enter_context(open_stage(stage, options))
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine must hear of it
            return Message.FAILED, describe_error(error)
        return Message.READY, None

    def begin(self, task: Any) -> tuple[Message, Any]:
        """Begin a task and return its first message."""
        self._messages = follow_task(self._work, task)
        return self.advance()

    def advance(self) -> tuple[Message, Any]:
        """Return the task's next message."""
        return next(self._messages)

    def close(self) -> None:
        """Let go of the models."""
        self._stack.close()


class _Worker:
    """One actor and its answer to come (None = it waits for a task)."""

    def __init__(self, stage: str, options: dict[str, Any]) -> None:
        import ray

        make = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(_StageActor)
        self._actor = make.remote()
        self.answer: Any = self._actor.open.remote(stage, options, sys.path)

    def give(self, task: Any) -> None:
        """Hand a task over."""
        self.answer = self._actor.begin.remote(task)

    def receive(self) -> tuple[Message, Any]:
        """Return the next message, and ask for the one after a step at once."""
        import ray

        try:
            kind, content = ray.get(self.answer)
        except ray.exceptions.RayError:
            return Message.LOST, _LOST
        self.answer = self._actor.advance.remote() if kind is Message.STEP else None
        return kind, content

    def stop(self) -> None:
        """End the process: one that waits for work lets go of its models first."""
        import ray

        if self.answer is None:
            ray.wait([self._actor.close.remote()], timeout=5)
        ray.kill(self._actor)


class RayEngine:
    """Runs a stage in Ray actors of one core each; see `curation.engines.base.Engine`.

    Every machine must have this package installed and see the media under the same paths; a file that differs there is set aside.
    """

    def __init__(self, *, workers: int = 0, log: str | Path | None = None, address: str | None = None) -> None:
        """Choose where to run.

        Args:
            workers: number of actors; 0 = one per core, of this machine or of the cluster.
            log: not used: what actors print goes to Ray's own logs.
            address: "host:port" of a running cluster, or "auto"; None = Ray is started on this machine, for this run only, and
                listens on the loopback address alone.
        """
        self.workers, self.address = workers, address

    def count_threads(self, n_tasks: int) -> int:
        """Return 1: an actor asks the cluster for one core."""
        return 1

    def prepare(self, stage: str) -> None:
        """Do nothing: where actors run is known once the cluster is."""

    def run(self, tasks: Sequence[Any], stage: str, *, options: Mapping[str, Any] | None = None) -> Generator[Event, None, None]:
        """Yield what happens to the tasks; see `curation.engines.base.Engine.run`.

        Raises:
            CurationError: if Ray is not installed, the cluster cannot be reached, or the stage cannot be set up.
        """
        if not tasks:
            return
        with join_cluster(self.workers, self.address) as n_cores:
            hire = partial(_Worker, stage, dict(options or {}))
            yield from run_crew(tasks, size=self.workers or n_cores, hire=hire, wait=_wait_for_any)


def _wait_for_any(workers: Sequence[_Worker]) -> list[_Worker]:
    import ray

    by_answer = {worker.answer: worker for worker in workers if worker.answer is not None}
    ready, _ = ray.wait(list(by_answer), num_returns=1)
    return [by_answer[answer] for answer in ready]


def import_ray(*, loopback: bool) -> Any:
    """Import Ray with its reports to the outside off and, if wanted, in a way that its processes listen on the loopback only.

    Raises:
        CurationError: if it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if loopback:
        os.environ[_CLUSTER] = "0"
    try:
        import ray
        from ray._private import ray_constants
    except ImportError as error:
        raise CurationError("the engine 'ray' needs Ray: pip install 'curate-behaviour[ray]'") from error
    ray_constants.ENABLE_RAY_CLUSTER = not loopback
    return ray


@contextmanager
def connect_quietly(address: str, **options: Any) -> Iterator[None]:
    """Connect this process to a cluster, or start one ("local"), with nothing of Ray's on standard output: that is for results.

    Ray prints there what befalls its processes, a lost node with the last lines of its log, even if told to keep logs away from the
    driver. The engine says itself what is lost; Ray's words go to the log of this module, as information.
    """
    import ray
    from ray._private import worker as driver

    def note(data: Mapping[str, Any], *, ignore_prefix: bool = False) -> None:
        del ignore_prefix
        for line in data["lines"]:
            _log.info("%s: %s", data["pid"], line)

    loud = driver.print_to_stdstream
    driver.print_to_stdstream = note
    try:
        ray.init(address, log_to_driver=False, logging_level="error", **options)
        yield
    finally:
        ray.shutdown()
        driver.print_to_stdstream = loud


@contextmanager
def join_cluster(workers: int, address: str | None) -> Iterator[int]:
    """Connect to a cluster, or start one for the time being; yield its number of cores. A connection that is there is used."""
    ray = import_ray(loopback=address is None or address.rpartition(":")[0] in _LOOPBACK)
    if ray.is_initialized():
        yield _count_cluster_cores()
        return
    with tempfile.TemporaryDirectory(prefix="curate-ray-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        here = {"num_cpus": workers or count_cores(), "object_store_memory": _STORE_BYTES, "_temp_dir": folder}
        alone = {} if address else {"_node_ip_address": "127.0.0.1", **here}
        try:
            stack.enter_context(connect_quietly(address or "local", include_dashboard=False, **alone))
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"the Ray cluster {address} cannot be reached" if address else "Ray cannot be started"
            raise CurationError(f"{where}: {describe_error(error)}") from error
        if address is None and ray.util.get_node_ip_address() not in _LOOPBACK:
            raise CurationError(f"Ray would listen on the network; set {_CLUSTER}=0 before Ray is imported")
        yield _count_cluster_cores()


def _count_cluster_cores() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 0)))
