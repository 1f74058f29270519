"""``curate simulate``."""

from __future__ import annotations

from pathlib import Path

import click

from curation.cli.common import emit_result, json_option
from curation.cli.score import show_rounds

__all__ = ["simulate"]


@click.command()
@click.option("--sequences", type=click.Path(path_type=Path), required=True, help="s.npz: pose, label and group.")
@click.option("--strategy", required=True, help="How the next labels are chosen; an unknown name lists the known.")
@click.option("--test-groups", required=True, metavar="A,B", help="Groups that are never labelled, to measure on.")
@click.option("--budgets", required=True, metavar="20,40,80", help="How many labels there are after each round.")
@click.option("--model", default="extra-trees", show_default=True, help="Which model to train.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="curve.csv: round,n_labelled,accuracy,macro_f1.")
@json_option
def simulate(
    sequences: Path, strategy: str, test_groups: str, budgets: str, model: str, seed: int, out: Path, as_json: bool
) -> None:
    """Play active learning through on a labelled sequence file. Needs no workspace."""
    from curation.select.simulate import simulate_labelling, write_curve
    from schemas.sequences import read_sequences

    loaded = read_sequences(sequences)
    groups = [name.strip() for name in test_groups.split(",") if name.strip()]
    with show_rounds(strategy, unit="round") as advance:
        points = simulate_labelling(
            loaded,
            strategy=strategy,
            test_groups=groups,
            budgets=_parse_budgets(budgets),
            seed=seed,
            model=model,
            advance=advance,
        )
    write_curve(out, points)
    last, full = points[-2], points[-1]
    data = {
        "out": str(out), "strategy": strategy, "model": model, "n_labelled": last.n_labelled,
        "accuracy": round(last.accuracy, 4), "macro_f1": round(last.macro_f1, 4),
        "full": {"n_labelled": full.n_labelled, "accuracy": round(full.accuracy, 4), "macro_f1": round(full.macro_f1, 4)},
    }  # fmt: skip
    reached = f"macro-F1 {last.macro_f1:.3f} with {last.n_labelled} labels by {strategy}"
    line = f"{out}: {reached}, {full.macro_f1:.3f} with all {full.n_labelled}"
    emit_result(line, data, as_json=as_json)


def _parse_budgets(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"whole numbers divided by commas, not {text!r}", param_hint="--budgets")
    return [int(part) for part in parts]
