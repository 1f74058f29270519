"""``curate train``, ``evaluate``, ``promote``, ``rollback``, ``select``, ``round`` and ``report``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from curation.cli.common import emit_result, json_option, workspace_option

if TYPE_CHECKING:
    from backends.base import EpochReport, Progress
    from curation.analysis.report import Report
    from curation.config import Workspace
    from curation.figures import Figures
    from curation.store import ArrayStore, Catalogue

__all__ = ["evaluate", "promote", "report", "rollback", "round_", "select", "train"]


@contextmanager
def _open_stores(workspace: Workspace) -> Iterator[tuple[Workspace, Catalogue, ArrayStore]]:
    from curation.store import ArrayStore, Catalogue

    with Catalogue.open(workspace.catalogue_url, create=False) as catalogue:
        yield workspace, catalogue, ArrayStore(workspace.folder("arrays"))


@contextmanager
def _show_epochs(label: str) -> Iterator[Progress]:
    """Give a progress callback with a bar (rate and ETA) for trainings of over two seconds."""
    from tqdm import tqdm

    with tqdm(desc=label, unit="epoch", delay=2, file=sys.stderr, leave=False) as bar:

        def advance(epoch: EpochReport) -> None:
            bar.total = epoch.n_epochs
            bar.set_postfix(loss=f"{epoch.train_loss:.3f}", refresh=False)
            bar.update(epoch.epoch - bar.n)

        yield advance


def _describe(figures: Figures) -> str:
    interval = "" if figures.low is None else f" (95 % of lesson draws: {figures.low:.3f} to {figures.high:.3f})"
    size = f"{figures.n} tubelets of {figures.n_groups} lessons"
    return f"macro-F1 {figures.macro_f1:.3f}{interval}, accuracy {figures.accuracy:.3f}, {size}"


@click.command()
@click.argument("config", required=False, metavar="[CONFIG]", type=click.Path())
@click.option("--model", help="Architecture [default: CONFIG's, else as in curate.toml].")
@click.option("--seed", type=click.IntRange(0), help="[default: CONFIG's, else as in curate.toml]")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="auto = CUDA if present."
)
@click.option("--devices", "n_devices", type=click.IntRange(1), default=1, show_default=True, help="How many share each batch.")
@click.option("--precision", type=click.Choice(["auto", "float32", "bf16"]), default="auto", show_default=True,
              help="auto = bf16 on CUDA that has it.")  # fmt: skip
@workspace_option
@json_option
def train(workspace: Workspace, config: str | None, model: str | None, seed: int | None, as_json: bool, **where: Any) -> None:
    """Train a model on an export.

    CONFIG is the folder of an export, or a YAML or TOML file with the keys export, model and seed; by default the newest export of
    the workspace. The same again trains nothing; if it was interrupted, it goes on from its checkpoint. The losses are drawn into
    curves.png beside the weights.
    """
    from backends.training_plan import TrainingSession
    from curation.registry import train_model
    from curation.training_config import find_training

    with _open_stores(workspace) as (_, catalogue, _arrays), _show_epochs("train") as progress:
        asked = find_training(workspace, catalogue, config, model=model, seed=seed)
        session = TrainingSession(**where)
        record = train_model(
            workspace, catalogue, asked.export, model=asked.model, seed=asked.seed, progress=progress, session=session
        )
    line = f"model {record.version} ({record.model}) trained on {record.n_train} tubelets of export {record.export}"
    emit_result(line, record.to_dict(), as_json=as_json)


@click.command()
@click.argument("version", required=False)
@workspace_option
@json_option
def evaluate(workspace: Workspace, version: str | None, as_json: bool) -> None:
    """Measure a model on the frozen test lessons: VERSION, "shipped" for the proposer, by default the newest."""
    from curation.gate import evaluate_model

    with _open_stores(workspace) as stores:
        found, figures, side = evaluate_model(*stores, version=version)
    if not as_json:
        for name, one in figures.per_class.items():
            if one.support:
                click.echo(
                    f"{name}: F1 {one.f1:.3f}, precision {one.precision:.3f}, recall {one.recall:.3f}, {one.support} tubelets"
                )
    data = {"version": found, "axis": side.axis, "test_sha256": side.sha256, **figures.to_dict()}
    emit_result(f"model {found}: {_describe(figures)}", data, as_json=as_json)


@click.command()
@click.argument("version", required=False)
@workspace_option
@json_option
def promote(workspace: Workspace, version: str | None, as_json: bool) -> None:
    """Make a model (VERSION, by default the newest) champion if it is better on the frozen test lessons, else keep the old one."""
    from curation.gate import promote as ask_gate

    with _open_stores(workspace) as stores:
        gate = ask_gate(*stores, version=version)
    if gate.decision == "promoted":
        line = f"promoted {gate.version}: {gate.reason}"
    else:
        line = (
            f"kept {gate.after}: {gate.version} is not let through: {gate.reason}"
            if gate.candidate
            else f"kept {gate.after}: {gate.reason}"
        )
    emit_result(line, gate.to_dict(), as_json=as_json)


@click.command()
@click.option("--axis", help="Whose champion [default: of the primary axis].")
@workspace_option
@json_option
def rollback(workspace: Workspace, axis: str | None, as_json: bool) -> None:
    """Take back the newest promotion."""
    from curation.champion import rollback as take_back

    with _open_stores(workspace) as (_, catalogue, _arrays):
        before, after = take_back(workspace, catalogue, axis=axis)
    emit_result(f"rolled back from {before} to {after or 'no champion'}", {"from": before, "to": after}, as_json=as_json)


@click.command()
@click.option("--strategy", default="margin", show_default=True, help="How the next ones are chosen.")
@click.option("-n", "n", type=click.IntRange(1), default=50, show_default=True, help="How many tubelets.")
@click.option("--axis", help="On which axis [default: the primary one].")
@click.option("--seed", type=click.IntRange(0), help="[default: as in curate.toml]")
@workspace_option
@json_option
def select(workspace: Workspace, strategy: str, n: int, axis: str | None, seed: int | None, as_json: bool) -> None:
    """Choose the next batch to label among the unlabelled tubelets outside test lessons, by what the champion says of them."""
    from curation.batch import select_batch

    with _open_stores(workspace) as stores:
        batch = select_batch(*stores, strategy=strategy, n=n, axis=axis, seed=seed)
    if not as_json:
        for tubelet_id in batch.tubelet_ids:
            click.echo(tubelet_id)
    line = f"selection {batch.id}: {len(batch.tubelet_ids)} of {batch.pool} unlabelled tubelets by {strategy}, model {batch.model}"
    emit_result(line, batch.to_dict(), as_json=as_json)


@click.command("round")
@click.option("--method", default="default", show_default=True, help="How labels are scored.")
@click.option("--balance", default="capped", show_default=True, help="How the train side is balanced.")
@click.option("--ratio", type=float, default=1.0, show_default=True, help="How much imbalance the method leaves.")
@click.option("--model", help="Architecture [default: as in curate.toml].")
@click.option("--strategy", default="margin", show_default=True, help="How the next batch is chosen.")
@click.option("-n", "n_select", type=click.IntRange(1), default=50, show_default=True, help="Size of the next batch.")
@click.option("--axis", help="[default: the primary axis]")
@click.option("--seed", type=click.IntRange(0), help="[default: as in curate.toml]")
@workspace_option
@json_option
def round_(workspace: Workspace, as_json: bool, **asked: Any) -> None:
    """Score, export, train, ask the gate and select, in one go; an interrupted round goes on where it was."""
    from curation.rounds import RoundOptions, run_round

    with _open_stores(workspace) as stores, _show_stages() as (report_stage, advance):
        done = run_round(*stores, RoundOptions(**asked), report=None if as_json else report_stage, advance=advance)
    gate, batch = done.results["gate"], done.results["select"]
    if done.new:
        line = f"round {done.number}: {gate['decision']} ({gate['reason']}); {len(batch['tubelets'])} tubelets selected next"
    else:
        line = f"round {done.number} is finished and nothing has changed since"
    emit_result(line, {"round": done.number, "new": done.new, "stages": dict(done.results)}, as_json=as_json)


@contextmanager
def _show_stages() -> Iterator[tuple[Any, Any]]:
    """Give a round's two callbacks: one line a stage on stdout, a bar inside long stages on stderr."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def advance(stage: str, done: int, total: int) -> None:
        bar = bars.setdefault(stage, tqdm(desc=stage, delay=2, file=sys.stderr, leave=False))
        bar.total = total
        bar.update(done - bar.n)

    def report_stage(stage: str, result: Any) -> None:
        if stage in bars:
            bars.pop(stage).close()
        facts = ", ".join(f"{k} {v}" for k, v in result.items() if isinstance(v, (str, int, float)))
        click.echo(f"{stage}: {facts}")

    try:
        yield report_stage, advance
    finally:
        for bar in bars.values():
            bar.close()


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False), help="Also write a page with indicators of classes and students into this folder."
)
@click.option("--axis", help="Whose indicators [default: of the primary axis].")
@click.option("--roles", type=click.Path(dir_okay=False), help="YAML: which behaviours mean attention, participation, interaction.")
@workspace_option
@json_option
def report(workspace: Workspace, out: str | None, axis: str | None, roles: str | None, as_json: bool) -> None:
    """Say what the workspace holds and how its models did; --out: and what its lessons were like."""
    from curation.summary import format_summary, summarise

    with _open_stores(workspace) as (_, catalogue, _arrays):
        summary = summarise(workspace, catalogue)
        written = None if out is None else _write_indicators(workspace, catalogue, out, axis, roles)
    *lines, last = format_summary(summary)
    if written is not None:
        lines, last = [*lines, last], f"{written.page}: {len(written.lessons)} lessons"
        summary["indicators"] = [lesson.to_dict() for lesson in written.lessons]
    if not as_json:
        for line in lines:
            click.echo(line)
    emit_result(last, summary, as_json=as_json)


def _write_indicators(workspace: Workspace, catalogue: Catalogue, out: str, axis: str | None, roles: str | None) -> Report:
    from curation.analysis.indicators import ROLES
    from curation.analysis.report import read_roles, write_report

    return write_report(workspace, catalogue, out, axis=axis, roles=ROLES if roles is None else read_roles(roles))
