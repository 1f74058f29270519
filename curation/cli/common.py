"""Options, output and progress shared by the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

from curation.config import Workspace, find_workspace

__all__ = ["blur_option", "emit_result", "json_option", "show_progress", "tell_replaced", "workspace_option"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def workspace_option(function: F) -> F:
    """Add ``--workspace/-w DIR``; the command gets an opened `Workspace` as `workspace`."""

    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> Workspace:
        return find_workspace(value)

    return click.option(
        "-w",
        "--workspace",
        callback=convert,
        metavar="DIR",
        help="The workspace [default: CURATE_WORKSPACE, else the nearest at or above the current folder].",
    )(function)


def json_option(function: F) -> F:
    """Add ``--json``; the command gets `as_json` and hands it to `emit_result`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")(function)


def blur_option(function: F) -> F:
    """Add ``--blur faces|heads``; the command gets None where it is not given."""
    return click.option(
        "--blur",
        type=click.Choice(["faces", "heads"]),
        help="Cover faces or heads in every copy of the media, from now on [default: as in curate.toml]. Sources stay as they are.",
    )(function)


def tell_replaced(copies: int, command: str) -> None:
    """Say on stderr that copies of media were deleted because they showed more than they may, and what makes the others anew."""
    if copies:
        click.echo(f"{copies} copies showed more than they may and were deleted; `{command}` makes its own anew", err=True)


def emit_result(line: str, data: dict[str, Any], *, as_json: bool) -> None:
    """Print a command's result as its last line on stdout: `line` for people, `data` as JSON for machines."""
    click.echo(json.dumps(data, sort_keys=True, default=str) if as_json else line)


def show_progress(items: Iterable[T], *, total: int, label: str, unit: str = "it") -> Iterator[T]:
    """Yield `items` with a bar on stderr (rate and ETA) for anything that takes over two seconds."""
    from tqdm import tqdm

    yield from tqdm(items, total=total, desc=label, unit=unit, delay=2, file=sys.stderr, leave=False, mininterval=0.5)
