"""`curate bench NAME`: measurements side by side with peers, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curation.cli.common import emit_result, json_option

BENCHMARKS = {
    "loop": "curation.benchmarks.loop:bench_loop",
    "models": "curation.benchmarks.models:bench_models",
    "mislabels": "curation.benchmarks.mislabels:bench_mislabels",
    "people": "curation.benchmarks.people:bench_people",
    "rank": "curation.benchmarks.rank:bench_rank",
    "review": "curation.benchmarks.review:bench_review",
    "vision": "curation.benchmarks.vision:bench_vision",
}
IN_PARTS = {"mislabels", "models", "people", "rank", "vision"}
DRAWS = {"mislabels"}


@click.command()
@click.argument("name", type=click.Choice(sorted(BENCHMARKS)))
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(1, 1000), help="Runs of each side; medians are reported."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Same seed, same data.")
@click.option("--part", "parts", multiple=True, help="Only this part; may be given several times.")
@click.option("--out", type=click.Path(path_type=Path), help="Draw the curves of mislabels' retraining there (PNG).")
@json_option
def bench(name: str, rounds: int, seed: int, parts: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Run the benchmark NAME; peers run beside it in the same process (A B A B).

    A figure that the project wants of itself and that was not reached is listed at the end.
    """
    from backends.registry import Registry

    options: dict[str, Any] = {"rounds": rounds, "seed": seed}
    if name in IN_PARTS:
        options["parts"] = parts
    elif parts:
        raise click.UsageError(f"bench {name} has no parts")
    if out is not None:
        if name not in DRAWS:
            raise click.UsageError(f"bench {name} draws nothing")
        options["out"] = out
    result = Registry("benchmark", BENCHMARKS).load(name)(**options)
    for row in (*result.rows, *(f"missed: {what}" for what in result.missed)):
        click.echo(row, err=as_json)
    emit_result(result.line, {**result.data, "missed": list(result.missed)}, as_json=as_json)
