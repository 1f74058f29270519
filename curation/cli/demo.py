"""`curate demo`: the whole loop on a rendered classroom, or one's own video up to the tasks in Label Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curation.cli.common import emit_result, json_option
from schemas.errors import CurationError


@click.command()
@click.argument("folder", default="demo", type=click.Path(file_okay=False))
@click.option("--serve", is_flag=True, help="Leave the servers up at the end.")
@click.option("--video", type=click.Path(), help="Your own video instead: as far as the tasks that wait in Label Studio.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the classroom, the mistakes and the splits.")
@click.option("--lessons", type=click.IntRange(1), help="Rendered lessons.")
@click.option("--seconds", type=click.FloatRange(4, 600), help="Length of a rendered lesson.")
@json_option
def demo(folder: str, serve: bool, video: str | None, seed: int, as_json: bool, **size: Any) -> None:
    """Run the whole loop once, from rendered lessons to the next batch, with 20 % of the labels wrong on purpose.

    The annotator and the curator are simulated, the servers and all else are real. Everything lies in FOLDER.
    """
    from curation.demo.run import run_demo, run_video
    from curation.demo.settings import DemoSettings

    def say(line: str) -> None:
        click.echo(line, err=True)

    settings = DemoSettings(root=Path(folder), seed=seed, **{name: value for name, value in size.items() if value is not None})
    if video is not None:
        line, addresses = run_video(settings, Path(video), say)
        _tell_addresses(addresses, as_json=as_json)
        emit_result(f"demo: {line}; stop the servers with `make down`", {"result": line, "addresses": addresses}, as_json=as_json)
        return
    report = run_demo(settings, say, serve=serve)
    if not as_json:
        click.echo(report.table)
    if serve:
        _tell_addresses(report.addresses, as_json=as_json)
    elif not as_json:
        click.echo(f"to look around: curate up -w {settings.root / 'workspace'}, then open")
        _tell_addresses(report.addresses, as_json=as_json)
    if not report.passed:
        raise CurationError(f"demo: {'; '.join(report.failures)}")
    f1 = report.data["f1"]
    line = (
        "demo: passed; {:.0%} of the k most suspect labels are wrong; macro-F1 {:.3f} before curation, {:.3f} after, {:.3f} later"
    )
    means = [sum(f1[name]) / len(f1[name]) for name in ("before", "after", "next")]
    emit_result(line.format(report.data["review"]["precision"], *means), report.data, as_json=as_json)


def _tell_addresses(addresses: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        return
    for name, address in addresses.items():
        click.echo(f"  {name:<12} {address}")
