"""``curate render``: a rendered classroom with exact ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curation.cli.common import emit_result, json_option

__all__ = ["render"]


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--lessons", type=int, default=8, show_default=True, help="Number of lessons.")
@click.option("--cameras", type=int, default=2, show_default=True, help="Cameras per lesson, 1 to 4.")
@click.option("--rows", type=int, default=2, show_default=True, help="Rows of seats.")
@click.option("--columns", type=int, default=3, show_default=True, help="Seats per row.")
@click.option("--students", type=int, help="Seats in all, instead of --columns: spread over the rows, so a multiple of them.")
@click.option("--classes", type=int, default=0, help="Groups of students that share out the lessons [default: one per lesson].")
@click.option("--seconds", type=float, default=24.0, show_default=True, help="Length of a lesson.")
@click.option("--fps", type=float, default=12.0, show_default=True, help="Frames per second.")
@click.option("--size", type=(int, int), default=(960, 540), show_default=True, metavar="WIDTH HEIGHT", help="Picture size in px.")
@click.option("--light", default="mixed", show_default=True, help="bright, normal, dim, uneven or mixed (one per lesson).")
@click.option("--view", default="room", show_default=True, help="room: cameras hang high at the board; close: near the first row.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same bytes.")
@click.option("--workers", type=int, default=1, show_default=True, help="Processes that render side by side.")
@json_option
def render(out: Path, students: int | None, workers: int, as_json: bool, **settings: Any) -> None:
    """Render lessons of seated students into OUT: videos with exact boxes, landmarks and behaviours beside them.

    Clips that are there already with the same settings are kept.
    """
    import sys

    from tqdm import tqdm

    from curation.render import RenderConfig, render_classroom
    from schemas.errors import InvalidField

    if students is not None:
        if students < 1 or students % settings["rows"]:
            raise InvalidField("--students", f"a multiple of --rows {settings['rows']}", students)
        settings["columns"] = students // settings["rows"]
    config = RenderConfig(**settings)
    with tqdm(total=1, unit="frame", delay=2, file=sys.stderr, leave=False, mininterval=0.5, desc="rendering") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        paths = render_classroom(out, config=config, workers=workers, progress=show)
    data = {"clips": [str(path) for path in paths], "lessons": config.lessons, "cameras": config.cameras, "seed": config.seed}
    emit_result(f"rendered {len(paths)} clips of {config.seconds:g} s into {out}", data, as_json=as_json)
