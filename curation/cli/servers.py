"""``curate up | down | status`` and ``curate backend serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from curation.cli.common import emit_result, json_option, workspace_option

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.servers import ServerStatus

__all__ = ["backend", "down", "status", "up"]


@click.command()
@workspace_option
@json_option
def up(workspace: Workspace, as_json: bool) -> None:
    """Start Label Studio, the ML backend and FiftyOne's app on loopback, wait until they answer, and print where they are.

    The first start of Label Studio on a machine takes about a minute. A port in use is an error, and then nothing is left running.
    """
    from curation.servers import start_servers

    found = start_servers(workspace, progress=lambda line: click.echo(line, err=True))
    _show(workspace, found, {}, as_json=as_json)


@click.command()
@workspace_option
@json_option
def down(workspace: Workspace, as_json: bool) -> None:
    """Stop the servers that `up` started for this workspace, and nothing else."""
    from curation.servers import stop_servers

    stopped = stop_servers(workspace)
    emit_result(f"stopped {', '.join(stopped)}" if stopped else "nothing was running", {"stopped": stopped}, as_json=as_json)


@click.command()
@workspace_option
@json_option
def status(workspace: Workspace, as_json: bool) -> None:
    """Say which servers run, how annotators log in, and how far the work is."""
    from curation.servers import read_status

    _show(workspace, read_status(workspace), _count_work(workspace), as_json=as_json)


@click.group()
def backend() -> None:
    """Serve the models to Label Studio."""


@backend.command()
@click.option("--port", type=click.IntRange(1024, 65535), help="Port on loopback [default: as in curate.toml].")
@workspace_option
def serve(workspace: Workspace, port: int | None) -> None:
    """Serve proposals and models over Label Studio's ML protocol, until Ctrl-C."""
    from curation.labelstudio.backend import serve_backend

    port = port or workspace.config.ports.backend
    click.echo(f"ML backend at http://127.0.0.1:{port}", err=True)
    serve_backend(workspace, port)


def _count_work(workspace: Workspace) -> dict[str, int]:
    from curation.store import Catalogue

    with Catalogue.open(workspace.catalogue_url) as catalogue:
        axis = workspace.taxonomy.primary.id
        current, clips = catalogue.current_labels(axis), catalogue.list_clips()
        return {
            "clips": len(clips),
            "lost_frames": sum(clip.n_lost for clip in clips),
            "tubelets": len(catalogue.list_tubelets()),
            "proposals": len(catalogue.list_predictions(axis)),
            "labelled": len(current),
            "verdicts": len(catalogue.list_verdicts(axis)),
        }


def _show(workspace: Workspace, found: list[ServerStatus], work: dict[str, int], *, as_json: bool) -> None:
    from attrs import asdict

    from curation.servers import read_login

    login = read_login(workspace)
    data: dict[str, Any] = {
        "servers": {entry.name: asdict(entry) for entry in found},
        "login": login,
        **({"work": work} if work else {}),
    }
    if not as_json:
        for entry in found:
            state = "runs" if entry.healthy else "does not answer" if entry.running else "stopped"
            click.echo(f"{entry.name:13} {state:16} {entry.url}")
        if login is not None:
            click.echo(f"{'annotators':13} user {login['user']}  password {login['password']}")
        if work:
            click.echo(f"{'work':13} " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in work.items()))
    healthy = sum(entry.healthy for entry in found)
    emit_result(f"{healthy} of {len(found)} servers run", data, as_json=as_json)
