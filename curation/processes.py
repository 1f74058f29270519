"""Servers as detached processes of one workspace: started, found again, and stopped only if they are still the ones we started.

Each leaves a record ``servers/<name>.json`` (process id, its start time, address) and a log ``logs/<name>.log``. The system uses
process ids again, so a record counts only while a process with that id *and* that start time exists.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict, frozen

from curation.config import Workspace
from schemas.errors import ServerError
from schemas.files import write_text

if TYPE_CHECKING:
    import psutil

__all__ = ["HOST", "ServerRecord", "check_port", "find_server", "launch_server", "stop_server", "tail_log", "wait_until"]

HOST = "127.0.0.1"
_STOP_SECONDS = 10.0


@frozen(kw_only=True)
class ServerRecord:
    """A process that we started: `created` is its start time, seconds since 1970, by the system's account."""

    name: str
    pid: int
    created: float
    port: int
    url: str


def check_port(name: str, port: int) -> None:
    """Check that nobody listens on a loopback port.

    Raises:
        ServerError: if somebody does; the line names the process where the system tells.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = f"port {port} is in use{_find_owner(port)}; stop that, or set ports.{name.replace('-', '_')} in curate.toml"
            raise ServerError(name, f"http://{HOST}:{port}", reason) from error


def launch_server(
    workspace: Workspace, name: str, command: Sequence[str], *, port: int, env: Mapping[str, str] | None = None
) -> ServerRecord:
    """Start `command` in a session of its own, so that it outlives this program, and record it.

    Raises:
        ServerError: if the port is in use or the program cannot be started.
    """
    import psutil

    check_port(name, port)
    url = f"http://{HOST}:{port}"
    log = workspace.folder("logs") / f"{name}.log"
    with log.open("ab") as stream:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                env=env,
                cwd=workspace.root,
            )
        except OSError as error:
            raise ServerError(name, url, f"could not be started: {error.strerror or error}") from error
    try:
        record = ServerRecord(name=name, pid=process.pid, created=psutil.Process(process.pid).create_time(), port=port, url=url)
        write_text(_path(workspace, name), json.dumps(asdict(record), indent=1) + "\n")
    except BaseException:
        process.kill()
        process.wait()
        raise
    return record


def wait_until(
    workspace: Workspace, record: ServerRecord, ready: Callable[[], bool], *, seconds: float, progress: Callable[[str], None]
) -> None:
    """Wait until a server answers; one that dies or takes too long is stopped.

    Raises:
        ServerError: with the last line of its log.
    """
    start = said = time.monotonic()
    try:
        while not ready():
            now = time.monotonic()
            if find_server(workspace, record.name) is None:
                raise ServerError(record.name, record.url, f"stopped while starting: {tail_log(workspace, record.name)}")
            if now - start > seconds:
                raise ServerError(
                    record.name, record.url, f"did not answer within {seconds:.0f} s; see {_log(workspace, record.name)}"
                )
            if now - said > 5:
                said = now
                progress(f"{record.name}: starting, {now - start:.0f} s …")
            time.sleep(0.2)
    except BaseException:
        stop_server(workspace, record.name)
        raise


def find_server(workspace: Workspace, name: str) -> ServerRecord | None:
    """Return the record of a server that we started and that still runs; None otherwise."""
    import psutil

    try:
        record = ServerRecord(**json.loads(_path(workspace, name).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        same = False
    return record if same else None


def stop_server(workspace: Workspace, name: str) -> bool:
    """Stop a server that we started, with its children, and forget it. Returns whether there was one."""
    import psutil

    record = find_server(workspace, name)
    stopped = record is not None
    if record is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            _end(psutil.Process(record.pid))
    _path(workspace, name).unlink(missing_ok=True)
    return stopped


def tail_log(workspace: Workspace, name: str) -> str:
    """Return the last line that a server wrote."""
    try:
        lines = _log(workspace, name).read_text("utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1].strip() if lines else "nothing in its log"


def _end(process: psutil.Process) -> None:
    """Ask a process to end, then what is left of its children, and kill what does not."""
    import psutil

    children = process.children(recursive=True)
    for group, seconds in (([process], _STOP_SECONDS), (children, _STOP_SECONDS / 2)):
        for member in group:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.terminate()
        _, alive = psutil.wait_procs(group, timeout=seconds)
        for member in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(alive, timeout=5)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def _find_owner(port: int) -> str:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.folder("servers") / f"{name}.json"


def _log(workspace: Workspace, name: str) -> Path:
    return workspace.folder("logs") / f"{name}.log"
