"""`curate review`: open the review, say what its verdicts change, undo."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from curation.cli.common import blur_option, emit_result, json_option, tell_replaced, workspace_option
from curation.config import Workspace

if TYPE_CHECKING:
    from curation.blur import Level
    from curation.store import CurrentLabel

__all__ = ["review"]


@click.group()
def review() -> None:
    """Look at the most suspect labels in FiftyOne, and keep, drop or relabel them, or set them aside."""


@review.command("open")
@workspace_option
@click.option("--axis", help="The axis to review [default: the taxonomy's first].")
@click.option("--port", type=click.IntRange(1024, 65535), help="Port of the app [default: the workspace's].")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option("--build", is_flag=True, help="Only build the review; start no app.")
@blur_option
@json_option
def open_(
    workspace: Workspace, axis: str | None, port: int | None, no_browser: bool, build: bool, blur: Level | None, as_json: bool
) -> None:
    """Build the review from the catalogue and open it, the most suspect label first.

    An app that `curate up` has started shows the new review at the same address; otherwise one is started here, until Ctrl-C.
    """
    from curation.privacy import protect_copies
    from curation.review.app import build_review, find_page, is_running, run_app

    axis = workspace.taxonomy.primary.id if axis is None else workspace.taxonomy.axis(axis).id
    port = port or workspace.config.ports.fiftyone
    running = is_running(workspace, port)
    tell_replaced(protect_copies(workspace, blur), "curate label push")
    built = build_review(workspace, axis)
    page = find_page(built.name, port)
    for clip, reason in built.problems.items():
        click.echo(f"left out {clip}: {reason}", err=True)
    data = {"dataset": built.name, "samples": built.n_samples, "page": page, "problems": built.problems, "running": running}
    emit_result(f"{built.n_samples} labels to review on axis {axis}: {page}", data, as_json=as_json)
    if running and not no_browser:
        click.launch(page)
    if not running and not build:
        run_app(workspace, port, axis=axis, browser=not no_browser, built=built.name)


@review.command("apply")
@workspace_option
@click.option("--axis", help="The axis [default: the taxonomy's first].")
@click.option("--no-tasks", is_flag=True, help="Only count; give Label Studio no tasks.")
@json_option
def apply_(workspace: Workspace, axis: str | None, no_tasks: bool, as_json: bool) -> None:
    """Say what the verdicts change, and ask the annotators again about what was ambiguous.

    Verdicts are in the catalogue since the click: the next score, export and training follow them. Each ambiguous label becomes one
    task in Label Studio; `curate label pull` brings the answers. Running it again adds nothing.
    """
    from curation.labelstudio.again import push_reviews
    from curation.store import ArrayStore, Catalogue

    axis = workspace.taxonomy.primary.id if axis is None else workspace.taxonomy.axis(axis).id
    with Catalogue.open(workspace.catalogue_url, create=False) as catalogue:
        labels = catalogue.current_labels(axis)
        pushed = None if no_tasks else push_reviews(workspace, catalogue, ArrayStore(workspace.folder("arrays")), axis)
    counts = _count_verdicts(labels)
    changes = Counter((c.original.value, c.span.value) for c in labels if not c.dropped and c.original.value != c.span.value)
    if not as_json:
        for (old, new), n in sorted(changes.items()):
            click.echo(f"  {old} -> {new}: {n}")
    usable = len(labels) - counts["dropped"] - counts["ambiguous"]
    line = (
        f"{len(labels)} labels on axis {axis}: {counts['kept']} kept, {counts['relabelled']} relabelled, "
        f"{counts['dropped']} dropped, {counts['ambiguous']} ambiguous, {counts['waiting']} not reviewed; "
        f"{usable} count in the next export"
    )
    tasks = {"created": pushed.created, "there": pushed.there, "url": pushed.url} if pushed else None
    if tasks is not None and not as_json:
        click.echo(f"  asked again in Label Studio: {tasks['created']} new, {tasks['there']} already there: {tasks['url']}")
    relabelled = [{"from": old, "to": new, "labels": n} for (old, new), n in sorted(changes.items())]
    emit_result(
        line,
        {"axis": axis, "labels": len(labels), "usable": usable, **counts, "changes": relabelled, "tasks": tasks},
        as_json=as_json,
    )


@review.command("undo")
@workspace_option
@click.option("--last", default=1, show_default=True, type=click.IntRange(min=1), help="How many decisions to take back.")
@click.option("--axis", help="Only decisions on this axis.")
@click.option("--curator", help="Who takes them back [default: CURATE_CURATOR, else your account].")
@json_option
def undo(workspace: Workspace, last: int, axis: str | None, curator: str | None, as_json: bool) -> None:
    """Take back the newest decisions; nothing is deleted. One decision made on many labels counts as one."""
    from curation.review.actions import undo_last
    from curation.store import Catalogue

    if axis is not None:
        workspace.taxonomy.axis(axis)
    with Catalogue.open(workspace.catalogue_url, create=False) as catalogue:
        undone = undo_last(catalogue, last, axis=axis, curator=curator)
    tubelets = [verdict.tubelet_id for verdict in undone]
    line = f"took back {last} decision{'' if last == 1 else 's'} on {len(tubelets)} label{'' if len(tubelets) == 1 else 's'}"
    emit_result(f"{line}; `curate review open` shows it", {"decisions": last, "tubelets": tubelets}, as_json=as_json)


def _count_verdicts(labels: list[CurrentLabel]) -> dict[str, int]:
    names = {"keep": "kept", "relabel": "relabelled", "drop": "dropped", "ambiguous": "ambiguous"}
    found = Counter("waiting" if label.verdict is None else names[label.verdict.kind] for label in labels)
    return {name: found[name] for name in (*names.values(), "waiting")}
