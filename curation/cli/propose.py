"""``curate propose``: no workspace needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curation.cli.common import emit_result, json_option

if TYPE_CHECKING:
    from curation.blur import Level

__all__ = ["propose"]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="IMAGE_OR_VIDEO…")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The tasks, as Label Studio imports them."
)
@click.option(
    "--taxonomy", default="learning-behaviours", show_default=True, help="Vocabulary: a shipped one's name, or a YAML file."
)
@click.option("--model", type=click.Path(path_type=Path), help="Folder of the model that proposes [default: the one shipped].")
@click.option(
    "--image-root", type=click.Path(path_type=Path), help="Label Studio's local-files root; pictures are addressed below it."
)
@click.option("--fps", type=click.FloatRange(0, 240, min_open=True), help="Sampled frames per second [default: 6].")
@click.option("--window", type=click.FloatRange(0, 60, min_open=True), help="Seconds per task of a video [default: 2].")
@click.option("--detector", help="Who finds people: tiles, faces, ssd or, with a network, onnx, mediapipe-object [default: tiles].")
@click.option("--network", type=click.Path(dir_okay=False), help="File of that network.")
@click.option("--network-sha256", help="SHA-256 of that file.")
@click.option("--network-confidence", type=click.FloatRange(0, 1), help="A box counts from here on [default: 0.3].")
@click.option("--allow-truncated", is_flag=True, help="Take what can be decoded of a damaged or truncated video.")
@click.option("--blur", type=click.Choice(["faces", "heads"]), help="Cover faces or heads in the pictures that the tasks show.")
@json_option
def propose(
    paths: tuple[str, ...],
    out: Path,
    taxonomy: str,
    model: Path | None,
    image_root: Path | None,
    allow_truncated: bool,
    blur: Level | None,
    as_json: bool,
    **settings: float | str | None,
) -> None:
    """Write Label Studio tasks with proposals: boxes, keypoints and behaviours.

    One task per image, and one per window of a video, whose middle frame is written beside OUT, to <OUT's name>-pictures. Pictures
    are addressed by absolute path, or below --image-root as /data/local-files/?d=….
    """
    from curation.config import Preannotation
    from curation.proposals import load_proposer
    from curation.propose import propose_tasks, write_tasks
    from schemas.vocabulary import load_taxonomy

    said = {name: value for name, value in settings.items() if value is not None}
    vocabulary = load_taxonomy(taxonomy)
    with _show_frames() as progress:
        result = propose_tasks(
            paths,
            pictures=out.with_name(f"{out.stem}-pictures"),
            image_root=image_root,
            taxonomy=vocabulary,
            settings=Preannotation.model_validate(said),
            proposer=load_proposer(model),
            allow_truncated=allow_truncated,
            blur=blur or "none",
            progress=progress,
        )
    write_tasks(out, result.tasks)
    counts = {"tasks": len(result.tasks), "people": result.people, "regions": result.regions, "proposals": result.proposals}
    line = f"{counts['tasks']} tasks, {result.people} people, {result.proposals} proposals written to {out}"
    emit_result(line, {**counts, "out": str(out)}, as_json=as_json)


@contextmanager
def _show_frames() -> Iterator[Callable[[int, int], None]]:
    """Show frames with rate and time left on stderr, once two seconds have gone by."""
    from tqdm import tqdm

    bar = tqdm(desc="propose", unit="frame", delay=2, file=sys.stderr, leave=False, mininterval=0.5)

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        bar.close()
