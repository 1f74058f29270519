"""``curate label push | pull | status``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from curation.cli.common import blur_option, emit_result, json_option, tell_replaced, workspace_option

if TYPE_CHECKING:
    from curation.blur import Level
    from curation.config import Workspace

__all__ = ["label"]


@click.group()
def label() -> None:
    """Push tasks to Label Studio, pull annotations back."""


@label.command()
@click.option("--only", "only", type=click.File(), help="A file with one tubelet id per line: push only their windows (- = stdin).")
@blur_option
@workspace_option
@json_option
def push(workspace: Workspace, only: TextIO | None, blur: Level | None, as_json: bool) -> None:
    """Give every window its task in Label Studio: the key frame, boxes, skeletons and proposed behaviours.

    Run again after an interruption, after `add`, or with a newer model: each task is there once, unlabelled ones get new proposals.
    """
    from attrs import asdict

    from curation.labelstudio.push import push_tasks
    from curation.store import ArrayStore, Catalogue

    ids = [line.strip() for line in only if line.strip()] if only is not None else None
    arrays = ArrayStore(workspace.folder("arrays"))
    with Catalogue.open(workspace.catalogue_url) as catalogue, _show_tasks("push") as progress:
        done = push_tasks(workspace, catalogue, arrays, tubelet_ids=ids, blur=blur, progress=progress)
    tell_replaced(done.replaced, "curate review open")
    if not done.backend and not as_json:
        click.echo("the ML backend does not run, so Label Studio was not connected to it; `curate up` starts it", err=True)
    taken = f", {done.removed} doubles removed" if done.removed else ""
    line = f"{done.created} tasks created, {done.there} there already, {done.predicted} with newer proposals{taken}: {done.url}"
    emit_result(line, asdict(done), as_json=as_json)


@label.command()
@workspace_option
@json_option
def pull(workspace: Workspace, as_json: bool) -> None:
    """Bring the annotators' labels into the catalogue. What is there is not added again; what does not fit is listed (exit 1)."""
    from attrs import asdict

    from curation.labelstudio.pull import pull_annotations
    from curation.store import ArrayStore, Catalogue

    with Catalogue.open(workspace.catalogue_url) as catalogue, _show_tasks("pull") as progress:
        done = pull_annotations(workspace, catalogue, ArrayStore(workspace.folder("arrays")), progress=progress)
    for problem in done.problems:
        click.echo(f"curate: {problem}", err=True)
    line = (
        f"{done.annotations} annotations ({done.skipped} skipped, {done.empty} empty): {done.labels} new labels, "
        f"{done.people} new people, {len(done.problems)} problems"
    )
    emit_result(line, asdict(done), as_json=as_json)
    if done.problems:
        sys.exit(1)


@label.command()
@workspace_option
@json_option
def status(workspace: Workspace, as_json: bool) -> None:
    """Count tasks, annotations, and what of them was pulled."""
    from attrs import asdict

    from curation.labelstudio.pull import read_label_status
    from curation.store import Catalogue

    with Catalogue.open(workspace.catalogue_url) as catalogue:
        found = read_label_status(workspace, catalogue)
    where = f": {found.url}" if found.project is not None else f"; no project {workspace.config.project!r} yet"
    line = (
        f"{found.tasks} tasks, {found.labelled_tasks} labelled; {found.annotations} annotations, {found.skipped} skipped, "
        f"{found.pulled} pulled{where}"
    )
    emit_result(line, asdict(found), as_json=as_json)


@contextmanager
def _show_tasks(what: str) -> Iterator[Callable[[int, int], None]]:
    from tqdm import tqdm

    bar = tqdm(desc=what, unit="task", delay=2, file=sys.stderr, leave=False, mininterval=0.5)

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        bar.close()
