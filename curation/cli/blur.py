"""`curate blur`: copies of clips on which nobody can be recognised."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curation.cli.common import emit_result, json_option, workspace_option

if TYPE_CHECKING:
    from curation.blur import Level
    from curation.config import Workspace

__all__ = ["blur"]


@click.command()
@click.argument("clips", nargs=-1, metavar="[FILE_OR_CLIP…]")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the copies.")
@click.option("--level", type=click.Choice(["faces", "heads"]), default="heads", show_default=True, help="What is covered.")
@workspace_option
@json_option
def blur(workspace: Workspace, clips: tuple[str, ...], out: Path, level: Level, as_json: bool) -> None:
    """Write copies of clips with faces or heads covered: the same frames at the same times, without sound.

    All clips of the workspace, or those named by file or id. `curate preannotate` must have been through them: heads are covered by
    pose where no face is seen. Sources are only read.
    """
    from tqdm import tqdm

    from curation.blur import Blurrer
    from curation.copies import write_copy
    from curation.store import Catalogue
    from schemas.errors import UnknownName

    with Catalogue.open(workspace.catalogue_url, create=False) as catalogue:
        known = catalogue.list_clips()
    by_name = {name: clip for clip in known for name in (clip.id, clip.uri)}
    names = [name if name in by_name else str(Path(name).resolve()) for name in clips]
    for name in names:
        if name not in by_name:
            raise UnknownName("clip", name, [clip.uri for clip in known[:5]])
    chosen = [by_name[name] for name in names] or known
    frames = sum(clip.n_frames for clip in chosen)
    with Blurrer(level) as blurrer, tqdm(total=frames, desc="blur", unit="frame", delay=2, file=sys.stderr, leave=False) as bar:
        written = [write_copy(workspace, clip, out, blurrer, tick=bar.update) for clip in chosen]
    data = {"copies": [str(path) for path in written], "level": level, "frames": frames}
    emit_result(f"{len(written)} copies with {level} covered in {out}", data, as_json=as_json)
