"""`curate bench NAME`: measurements side by side with peers, in one run."""

from __future__ import annotations

import click

from curation.cli.common import emit_result, json_option

BENCHMARKS = {"rank": "curation.benchmarks:bench_rank"}


@click.command()
@click.argument("name", type=click.Choice(sorted(BENCHMARKS)))
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(1, 1000), help="Runs of each side; medians are reported."
)
@json_option
def bench(name: str, rounds: int, as_json: bool) -> None:
    """Run the benchmark NAME; peers run beside it in the same process (A B A B)."""
    from backends.registry import Registry

    result = Registry("benchmark", BENCHMARKS).load(name)(rounds=rounds)
    for row in result.rows:
        click.echo(row, err=as_json)
    emit_result(result.line, result.data, as_json=as_json)
