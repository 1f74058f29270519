"""One mongod for each workspace, shared by every process that needs it, gone when the last of them ends.

FiftyOne's own service looks for *any* mongod that it started for this user and joins it, whatever folder that one writes to: two
workspaces would mix. So the tool starts mongod itself, on loopback and in the workspace, and hands FiftyOne its address.

A process that uses it holds a shared lock on ``servers/mongo.clients`` (the kernel drops it however the process ends). Whoever
leaves and can get that lock alone was the last, and stops mongod. One left over by a killed process is found by mongod's own
lock file, and used again.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from attrs import frozen

from schemas.errors import ServerError

if TYPE_CHECKING:
    import psutil

__all__ = ["find_mongod", "join_mongod", "leave_mongod", "read_mongod", "stop_mongod"]

START_TIMEOUT, STOP_TIMEOUT = 60.0, 20.0
_held: dict[Path, IO[str]] = {}


def find_mongod() -> Path:
    """Return the mongod binary: FiftyOne's own, else the one on PATH.

    Raises:
        ServerError: if there is none.
    """
    spec = importlib.util.find_spec("fiftyone")
    if spec is not None and spec.origin:
        bundled = Path(spec.origin).parent / "db" / "bin" / "mongod"
        if os.access(bundled, os.X_OK):
            return bundled
    found = shutil.which("mongod")
    if found is None:
        raise ServerError(
            "MongoDB", "this machine", "no mongod binary; `curate doctor --fix` installs one, or set FIFTYONE_DATABASE_URI"
        )
    return Path(found)


def join_mongod(servers: Path) -> str:
    """Start the mongod of this `servers` folder, or join the one that runs, until this process ends; return its address.

    Raises:
        ServerError: if there is no mongod, or it does not start.
    """
    with _starting(servers):
        running = _find_running(servers)
        port = _start(servers) if running is None else running.port
        if servers not in _held:
            stream = (servers / "mongo.clients").open("w")
            fcntl.flock(stream, fcntl.LOCK_SH)
            _held[servers] = stream
            atexit.register(leave_mongod, servers)
    return f"mongodb://127.0.0.1:{port}"


def leave_mongod(servers: Path) -> None:
    """Let go of the mongod of this folder; the last one out stops it."""
    stream = _held.pop(servers, None)
    if stream is None or not servers.is_dir():
        return
    with _starting(servers):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        finally:
            stream.close()
        running = _find_running(servers)
        if running is not None:
            _terminate(running.process)


def stop_mongod(servers: Path) -> bool:
    """Stop the mongod of this folder, whoever uses it; say whether there was one."""
    with _starting(servers):
        running = _find_running(servers)
        if running is not None:
            _terminate(running.process)
    return running is not None


def read_mongod(servers: Path) -> str | None:
    """Return the address of the mongod that runs on this folder, if one does."""
    running = _find_running(servers)
    return None if running is None else f"mongodb://127.0.0.1:{running.port}"


@contextmanager
def _starting(servers: Path) -> Iterator[None]:
    servers.mkdir(parents=True, exist_ok=True)
    with (servers / "mongo.start").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _data(servers: Path) -> Path:
    return servers / "mongo"


@frozen
class _Running:
    """A mongod and the port that it listens on. Both are read at once: it may end at any moment."""

    process: psutil.Process
    port: int


def _find_running(servers: Path) -> _Running | None:
    """Return the mongod that holds this data folder: mongod writes its process id to ``mongod.lock`` there."""
    import psutil

    try:
        pid = int((_data(servers) / "mongod.lock").read_text().strip() or 0)
        process = psutil.Process(pid) if pid else None
        words = [] if process is None or process.status() == psutil.STATUS_ZOMBIE else process.cmdline()
        if process is None or str(_data(servers)) not in words:
            return None
        return _Running(process, int(words[words.index("--port") + 1]))
    except (OSError, ValueError, psutil.Error):
        return None


def _start(servers: Path) -> int:
    """Start mongod detached, so that Ctrl-C in one terminal does not end it for the others; return its port."""
    binary, data, log = find_mongod(), _data(servers), servers / "mongo.log"
    data.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        port = _free_port()
        options = ["--dbpath", str(data), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"]
        limits = ["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false"]
        with log.open("ab") as stream:
            child = subprocess.Popen(
                [str(binary), *options, *limits],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        while time.monotonic() < deadline and child.poll() is None:
            if _answers(port):
                return port
            time.sleep(0.05)
        if child.poll() is None:
            child.kill()
            raise ServerError("MongoDB", f"127.0.0.1:{port}", f"did not answer within {START_TIMEOUT:.0f} s; see {log}")
        if child.returncode != 48:  # 48: the port was taken between our look and its start
            raise ServerError("MongoDB", f"127.0.0.1:{port}", f"ended with code {child.returncode} at its start; see {log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    import pymongo
    from pymongo.errors import PyMongoError

    try:
        client: pymongo.MongoClient[dict[str, object]]
        with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=300) as client:
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def _terminate(process: psutil.Process) -> None:
    import psutil

    deadline = time.monotonic() + STOP_TIMEOUT
    try:
        process.terminate()
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # a zombie: the process that started it lives on
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        pass
