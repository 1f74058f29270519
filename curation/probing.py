"""Probing media in a process of its own: a decoder that crashes, hangs or eats the memory on a bad file costs that file only."""

from __future__ import annotations

import os
import resource
import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from attrs import frozen

from curation.media import MediaInfo, hash_file, probe_media
from schemas.errors import CurationError, MediaError

__all__ = ["Probed", "Prober", "probe_files"]

_MOST_MEMORY = 8 << 30
_TICK_EVERY = 50
_AHEAD = 4
"""Files that wait for each process, so that a long one among short ones holds nobody up."""


@frozen(kw_only=True)
class Probed:
    """A file, and what is in it or what is the matter with it; None if its content is known already."""

    path: Path
    sha256: str = ""
    outcome: MediaInfo | CurationError | None = None


def probe_files(
    files: Sequence[Path], *, is_known: Callable[[str], bool], patience: float = 60.0, workers: int = 1
) -> Generator[Probed, None, None]:
    """Yield every file, in their order, while the next ones are read in other processes.

    A generator that is left early must be closed (`contextlib.closing`): then nobody reads on.

    Args:
        files: which.
        is_known: says of a SHA-256 (hex) whether its file need not be read; called in threads.
        patience: see `Prober`.
        workers: processes, at least 1.
    """
    probers = [Prober(patience=patience) for _ in range(max(1, min(workers, len(files))))]
    free: SimpleQueue[Prober] = SimpleQueue()
    for prober in probers:
        free.put(prober)

    def read(path: Path) -> Probed:
        try:
            sha256 = hash_file(path)
            if is_known(sha256):
                return Probed(path=path, sha256=sha256)
            prober = free.get()
            try:
                return Probed(path=path, sha256=sha256, outcome=prober.probe(path, sha256=sha256))
            finally:
                free.put(prober)
        except CurationError as error:
            return Probed(path=path, outcome=error)

    rest, waiting = iter(files), deque[Future[Probed]]()
    with ThreadPoolExecutor(len(probers)) as pool:
        try:
            while True:
                waiting += [pool.submit(read, path) for path in islice(rest, _AHEAD * len(probers) - len(waiting))]
                if not waiting:
                    break
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            for prober in probers:
                prober.stop()
    for prober in probers:
        prober.close()


class Prober:
    """Calls `probe_media` in another process, which is started at the first file and again after each one that broke it.

    A context manager; it belongs to one thread, but for `stop`.

    Args:
        patience: seconds without a new frame after which a file is given up.

    Examples:
        >>> with Prober() as prober:  # doctest: +SKIP
        ...     info = prober.probe("lesson.mp4")
    """

    def __init__(self, *, patience: float = 60.0) -> None:
        self._patience = patience
        self._process: ForkServerProcess | None = None
        self._connection: Connection | None = None
        self._stopped = False

    def probe(self, path: str | Path, *, sha256: str | None = None) -> MediaInfo:
        """Return what `probe_media` returns.

        Raises:
            MediaError: as `probe_media`, and if the file crashes its decoder or lets it stand still.
        """
        connection = self._start()
        try:
            connection.send((str(path), sha256))
            while True:
                if not connection.poll(self._patience):
                    self.close()
                    raise MediaError(path, f"its decoder stands still (no new frame in {self._patience:g} s)")
                answer = connection.recv()
                if isinstance(answer, MediaInfo):
                    return answer
                if isinstance(answer, str):
                    raise MediaError(path, answer)
        except (EOFError, OSError) as error:
            raise MediaError(path, f"its decoder crashed ({self._describe_end()})") from error

    def stop(self) -> None:
        """End the process for good, from any thread: a file that is being probed is a bad file."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process. Closing twice is fine."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._connection = self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self) -> Connection:
        if self._connection is not None:
            return self._connection
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__, "av", "PIL.Image"])
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        self._process = process
        if self._stopped:
            process.kill()
        theirs.close()
        self._connection = ours
        return ours

    def _describe_end(self) -> str:
        process = self._process
        if process is not None:
            process.join(5)
        code = None if process is None else process.exitcode
        self.close()
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


def _serve(connection: Connection) -> None:
    """Probe one file after another until the other end hangs up. Runs in the process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold pictures of the people in the file
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    with suppress(EOFError, OSError):
        while True:
            path, sha256 = connection.recv()
            connection.send(_probe(path, sha256, connection))


def _probe(path: str, sha256: str | None, connection: Connection) -> MediaInfo | str:
    def tick(frames: int) -> None:
        if frames % _TICK_EVERY == 0:
            connection.send(frames)

    try:
        return probe_media(path, sha256=sha256, tick=tick)
    except MediaError as error:
        return error.reason
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:  # whatever a decoder raises
        return f"cannot be decoded ({type(error).__name__}: {' '.join(str(error).split())})"
