"""``curate add`` and ``curate preannotate``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.cli.common import emit_result, json_option, show_progress, workspace_option

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.preannotate import PreannotateProgress, PreannotateResult
    from curation.proposals import Proposer
    from curation.readings import ReadResult
    from curation.store import Catalogue

__all__ = ["add", "preannotate"]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--lesson", help="What was filmed; a lesson never stands on two sides of a split [default: the file's name].")
@click.option("--camera", help="Which camera [default: camera].")
@click.option("--school", help="Where [default: school].")
@click.option("--context", multiple=True, metavar="CATEGORY=VALUE", help="user, task, location, time, equipment or infrastructure.")
@click.option(
    "--allow-truncated",
    is_flag=True,
    help="Take what is whole of a damaged or truncated video; lost frames are counted and marked.",
)
@workspace_option
@json_option
def add(workspace: Workspace, paths: tuple[str, ...], as_json: bool, allow_truncated: bool, **said: Any) -> None:
    """Add videos and images, or folders of them, to the workspace.

    Files stay where they are and are never changed. What is said here overrides what <name>.clip.json beside a file says. Bad files
    are listed and left out (exit 1); the good ones are added.
    """
    from curation.ingest import add_media, parse_context
    from curation.store import Catalogue

    said["context"] = parse_context(said["context"])
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        result = add_media(workspace, catalogue, paths, allow_truncated=allow_truncated, progress=show_progress, **said)
        names = {clip.id: clip.uri for clip in catalogue.list_clips()}
    for path, clip_id in result.there:
        if not as_json and str(path.resolve()) != names[clip_id]:
            click.echo(f"{path}: same content as {names[clip_id]}")
    data = {
        "added": [{"clip": clip.id, "file": clip.uri, "frames": clip.n_frames, "lost": clip.n_lost} for clip in result.added],
        "there": [{"clip": clip_id, "file": str(path)} for path, clip_id in result.there],
        "failed": [{"file": str(path), "reason": reason} for path, reason in result.failed],
    }
    gappy = [clip for clip in result.added if clip.gaps]
    for clip in gappy:
        click.echo(f"{clip.uri}: {clip.n_lost} frames are lost in {len(clip.gaps)} places", err=True)
    lost = f", {len(gappy)} of them with lost frames" if gappy else ""
    line = f"{len(result.added)} clips added{lost}, {len(result.there)} there already, {len(result.failed)} left out"
    emit_result(line, data, as_json=as_json)
    _exit_with([(str(path), reason) for path, reason in result.failed])


@click.command()
@click.option("--engine", help="Where to run: local or ray [default: as in curate.toml].")
@click.option("--address", metavar="HOST:PORT", help="A running Ray cluster; without it, ray starts on this machine.")
@click.option("--workers", type=click.IntRange(0, 256), help="Worker processes; 0 = one per core [default: as in curate.toml].")
@click.option("--fps", type=click.FloatRange(0.01, 240), help="Samples per second [default: as in curate.toml].")
@click.option("--resume", is_flag=True, help="Go on where an earlier run ended; this happens without the option too.")
@click.option("--repropose", is_flag=True, help="Only propose behaviours anew, for the people there are.")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Folder of the model that proposes [default: the promoted one, else the one shipped].",
)
@workspace_option
@json_option
def preannotate(workspace: Workspace, resume: bool, repropose: bool, model: Path | None, as_json: bool, **how: Any) -> None:
    """Find people, tracks, poses and tubelets in all clips, and propose behaviours.

    What is found can be labelled while a clip is still worked on. Clips that are done are not done again. A clip that cannot be
    worked on is set aside with its reason (exit 1), and tried again by the next run.
    """
    from curation import preannotate as work
    from curation.proposals import load_proposer
    from schemas.vocabulary import load_taxonomy

    engine = work.choose_engine(workspace, how["engine"], how["workers"], how["address"])
    if not repropose:
        engine.prepare(work.STAGE)
    from curation.store import ArrayStore, Catalogue  # half a second, in which the worker starts

    load_taxonomy(workspace.config.taxonomy)
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        arrays = ArrayStore(workspace.folder("arrays"))
        given = load_proposer(model) if model else None
        if repropose:
            proposer = given or _load_champion(workspace, catalogue)
            new = work.repropose(workspace, catalogue, arrays, proposer=proposer)
            emit_result(f"{new} new proposals by {proposer.name} {proposer.version}", {"proposals": new}, as_json=as_json)
            return
        with _show_board() as progress:
            load = given or partial(_load_champion, workspace, catalogue)
            result = work.preannotate(workspace, catalogue, arrays, engine=engine, fps=how["fps"], proposer=load, progress=progress)
        read = _read_closely(workspace, catalogue, how)
    line = f"{_describe(result)}; {read.faces} faces and {read.hands} hands read" if read.clips else _describe(result)
    emit_result(line, {**_to_data(result), "faces": read.faces, "hands": read.hands}, as_json=as_json)
    _exit_with([*result.set_aside, *read.set_aside])


def _load_champion(workspace: Workspace, catalogue: Catalogue) -> Proposer:
    """Return the model in use; what that needs is imported here, when the workers are busy already."""
    from curation.batch import load_champion_proposer

    return load_champion_proposer(workspace, catalogue)


def _read_closely(workspace: Workspace, catalogue: Catalogue, how: dict[str, Any]) -> ReadResult:
    """Read faces and hands where the workspace asks for it, in frames with their rate on stderr."""
    from tqdm import tqdm

    from curation.readings import read_people

    chosen = {name: how[name] for name in ("engine", "workers", "address")}
    with tqdm(desc="faces and hands", unit="frame", delay=2, file=sys.stderr, leave=False, mininterval=0.5) as bar:
        return read_people(workspace, catalogue, progress=bar.update, **chosen)


@contextmanager
def _show_board() -> Iterator[Callable[[PreannotateProgress], None]]:
    """Show frames with rate and time left, clips and people, on stderr, once two seconds have gone by."""
    from tqdm import tqdm

    bar = tqdm(desc="preannotate", unit="frame", delay=2, file=sys.stderr, leave=False, mininterval=0.5)

    def show(state: PreannotateProgress) -> None:
        bar.total = state.n_frames
        bar.set_postfix_str(f"clips {state.clips}/{state.n_clips}, people {state.people}", refresh=False)
        bar.update(state.frames - bar.n)

    try:
        yield show
    finally:
        bar.close()


def _describe(result: PreannotateResult) -> str:
    aside = f", {len(result.set_aside)} set aside" if result.set_aside else ""
    there = f" ({result.there} done before)" if result.there else ""
    rate = f", {result.frames / result.seconds:.1f} frames/s" if result.frames and result.seconds else ""
    return (
        f"{result.clips} clips{there}{aside}: {result.people} people, {result.tubelets} tubelets, {result.proposals} proposals "
        f"in {result.seconds:.1f} s{rate}"
    )


def _to_data(result: PreannotateResult) -> dict[str, Any]:
    names = ("clips", "there", "people", "tubelets", "proposals", "frames", "seconds")
    aside = [{"file": path, "reason": reason} for path, reason in result.set_aside]
    return {**{name: getattr(result, name) for name in names}, "set_aside": aside}


def _exit_with(failed: list[tuple[str, str]]) -> None:
    """List what failed, one line each on stderr, and exit 1 if anything did."""
    for path, reason in failed:
        click.echo(f"curate: {path}: {reason}", err=True)
    if failed:
        sys.exit(1)
