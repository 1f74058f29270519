"""`curate capture`: record cameras into the workspace, live."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.cli.common import emit_result, json_option, workspace_option

if TYPE_CHECKING:
    from curation.capture import CaptureResult
    from curation.config import Workspace

__all__ = ["capture"]


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@click.option("--lesson", required=True, help="What is filmed; a lesson never stands on two sides of a split.")
@click.option("--camera", "cameras", multiple=True, help="Which camera; once for each SOURCE [default: camera-1, camera-2, …].")
@click.option("--school", help="Where [default: school].")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="How long [default: until Ctrl-C].")
@click.option("--segment", type=click.FloatRange(1), default=600.0, show_default=True, help="Seconds after which a file is closed.")
@click.option(
    "--patience", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds for which to try a lost source again."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Where the files go [default: media in the workspace]."
)
@click.option("--no-add", is_flag=True, help="Only record; `curate add` them later.")
@workspace_option
@json_option
def capture(
    workspace: Workspace,
    sources: tuple[str, ...],
    cameras: tuple[str, ...],
    out: Path | None,
    no_add: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Record cameras live and add what was filmed: rtsp:// and other addresses, /dev/video0 or its number, files.

    The stream is copied as it comes, without sound, into whole files that each begin with a key frame. A source that is lost is
    tried again, and the gap is counted. Ctrl-C ends the recording; what was filmed until then is kept.
    """
    from curation.capture import CaptureSettings, hide_login

    names = cameras or tuple(f"camera-{n}" for n in range(1, len(sources) + 1)) if len(sources) > 1 else cameras or ("camera",)
    if len(names) != len(sources) or len(set(names)) != len(names):
        raise click.UsageError(f"give --camera once for each of the {len(sources)} sources, each another name")
    folder = out or workspace.root / "media"
    settings = [CaptureSettings(source=s, camera=c, folder=folder, **said) for s, c in zip(sources, names, strict=True)]
    with _stop_on_signal() as stop:
        results, failed = _record(settings, stop)
    parts = [part for result in results for part in result.parts]
    added = 0 if no_add else _add(workspace, [part.path for part in parts], failed)
    failed += [(result.source, result.problem) for result in results if result.problem]
    lost = sum(part.gap_frames for part in parts)
    data = {"sources": [_describe(result) for result in results], "added": added, "failed": [list(entry) for entry in failed]}
    gaps = f", about {lost} frames missing between them" if lost else ""
    seconds = sum(part.seconds for part in parts)
    emit_result(f"{len(parts)} files, {seconds:.1f} s{gaps}, {added} clips added: {folder}", data, as_json=as_json)
    for name, reason in failed:
        click.echo(f"curate: {hide_login(name)}: {reason}", err=True)
    if failed:
        sys.exit(1)


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, instead of ending the program with a file open."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _record(settings: list[Any], stop: threading.Event) -> tuple[list[CaptureResult], list[tuple[str, str]]]:
    """Record all sources at once, one thread each; return what was recorded, and (source, reason) of those that were not."""
    from curation.capture import capture_source
    from schemas.errors import CurationError, MediaError

    results, failed = [], []
    with ThreadPoolExecutor(len(settings)) as pool:
        tell = partial(click.echo, err=True)
        futures = [pool.submit(capture_source, each, stop=stop, tell=tell) for each in settings]
        for each, future in zip(settings, futures, strict=True):
            try:
                results.append(future.result())
            except CurationError as error:
                failed.append((each.source, error.reason if isinstance(error, MediaError) else str(error)))
    return results, failed


def _add(workspace: Workspace, paths: list[Path], failed: list[tuple[str, str]]) -> int:
    """Add the files: also those in which the network has lost packets, with the gaps marked."""
    from curation.ingest import add_media
    from curation.store import Catalogue

    with Catalogue.open(workspace.catalogue_url) as catalogue:
        result = add_media(workspace, catalogue, paths, allow_truncated=True)
    failed += [(str(path), reason) for path, reason in result.failed]
    return len(result.added)


def _describe(result: CaptureResult) -> dict[str, Any]:
    from attrs import asdict

    parts = [{**asdict(part), "path": str(part.path), "started_at": part.started_at.isoformat()} for part in result.parts]
    return {"source": result.source, "problem": result.problem, "parts": parts}
