"""The three servers of a workspace, on loopback: Label Studio for annotators, its ML backend, FiftyOne for curators."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from attrs import frozen

from curation.config import Workspace
from curation.labelstudio.account import find_account
from curation.processes import ServerRecord, check_port, find_server, launch_server, stop_server, wait_until

__all__ = ["SERVERS", "ServerStatus", "is_answering", "read_status", "start_servers", "stop_servers"]

SERVERS = ("backend", "fiftyone", "label-studio")
"""In the order in which they are started."""

_WAIT_SECONDS = 180.0


@frozen(kw_only=True)
class ServerStatus:
    """One server: `running` = our process is alive, `healthy` = it answers."""

    name: str
    url: str
    running: bool
    healthy: bool
    pid: int | None = None


def start_servers(workspace: Workspace, *, progress: Callable[[str], None] = lambda line: None) -> list[ServerStatus]:
    """Start what does not run yet, and wait until all answer.

    Raises:
        ServerError: if a port is in use (nothing is started then) or a server does not come up; what this call has started is
            stopped again.
        AuthError: if Label Studio has a database that does not know our token.
    """
    missing = [name for name in SERVERS if find_server(workspace, name) is None]
    for name in missing:
        check_port(name, _find_port(workspace, name))
    started: list[ServerRecord] = []
    try:
        for name in missing:
            progress(f"{name}: starting on port {_find_port(workspace, name)} …")
            started.append(_launch(workspace, name, progress))
        for record in started:
            wait_until(workspace, record, lambda url=record.url: is_answering(url), seconds=_WAIT_SECONDS, progress=progress)  # type: ignore[misc]
    except BaseException:
        for record in started:
            stop_server(workspace, record.name)
        raise
    return read_status(workspace)


def stop_servers(workspace: Workspace) -> list[str]:
    """Stop the servers that `start_servers` started for this workspace; return their names."""
    return [name for name in reversed(SERVERS) if stop_server(workspace, name)]


def read_status(workspace: Workspace) -> list[ServerStatus]:
    """Return how the three servers are."""
    out = []
    for name in SERVERS:
        record = find_server(workspace, name)
        url = record.url if record else f"http://127.0.0.1:{_find_port(workspace, name)}"
        healthy = record is not None and is_answering(url)
        out.append(
            ServerStatus(name=name, url=url, running=record is not None, healthy=healthy, pid=record.pid if record else None)
        )
    return out


def read_login(workspace: Workspace) -> dict[str, str] | None:
    """Return the annotators' user and password, or None if Label Studio was never started here."""
    account = find_account(workspace)
    return None if account is None else {"url": account.url, "user": account.user, "password": account.password}


def is_answering(url: str) -> bool:
    """Say whether a web server answers at `url` with anything but an error of its own."""
    import httpx

    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False, follow_redirects=False).status_code < 500
    except httpx.HTTPError:
        return False


def _launch(workspace: Workspace, name: str, progress: Callable[[str], None]) -> ServerRecord:
    if name == "label-studio":
        from curation.labelstudio.server import start_label_studio

        return start_label_studio(workspace, progress=progress)
    port = _find_port(workspace, name)
    return launch_server(workspace, name, _plan_command(workspace, name, port), port=port)


def _plan_command(workspace: Workspace, name: str, port: int) -> list[str]:
    where = ["--workspace", str(workspace.root), "--port", str(port)]
    commands: dict[str, list[str]] = {
        "backend": ["-c", "from curation.cli import main; main()", "backend", "serve", *where],
        "fiftyone": ["-m", "curation.review.app", *where, "--no-browser"],
    }
    return [sys.executable, *commands[name]]


def _find_port(workspace: Workspace, name: str) -> int:
    ports: dict[str, Any] = workspace.config.ports.model_dump()
    return int(ports[name.replace("-", "_")])
