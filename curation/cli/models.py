"""``curate models``: fetch or build the pose, hand and face bundles, list what there is, write models as ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from curation.cli.common import emit_result, json_option

if TYPE_CHECKING:
    from backends.base import BehaviourModel

__all__ = ["models"]


@click.group()
def models() -> None:
    """Fetch or build the pose, hand and face bundles; list models; write them as ONNX."""


@models.command()
@click.option("--offline-only", is_flag=True, help="Leave MediaPipe's own addresses alone; build from the package indexes only.")
@click.option(
    "--extra",
    "extras",
    multiple=True,
    help="A bundle that is not needed, too: object-boxes, pose-landmarks-heavy (need npm where offline).",
)
@json_option
def pull(*, offline_only: bool, extras: tuple[str, ...], as_json: bool) -> None:
    """Fetch or build the bundles that are missing or damaged, into $CURATE_MODELS or ~/.cache/curate/models."""
    from backends.people.bundles import find_folder, pull_bundles

    statuses = pull_bundles(offline_only=offline_only, extras=extras, progress=lambda line: click.echo(line, err=True))
    made = [status.name for status in statuses if status.state in ("fetched", "built")]
    done = f"{len(made)} made ({', '.join(made)})" if made else "nothing to do"
    data = {"folder": str(find_folder()), "bundles": {s.name: {"state": s.state, "sha256": s.sha256} for s in statuses}}
    emit_result(f"{len(statuses)} bundles in {find_folder()}: {done}", data, as_json=as_json)


@models.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the bundles with their state, and the models of behaviour; the shipped proposer is marked."""
    from backends.people.bundles import list_bundles

    bundles = list_bundles()
    behaviour, proposer = _list_behaviour_models(), _describe_proposer()
    if not as_json:
        for status in bundles:
            click.echo(
                f"{status.name:16} {status.state:8} {status.n_bytes / 1e6:6.1f} MB  {status.sha256[:12]:12}  {status.source}"
            )
        for name in behaviour:
            click.echo(f"{name:16} behaviour model")
        if proposer:
            click.echo(f"{'proposer':16} shipped: {proposer['name']} {proposer['version']}")
    data = {
        "bundles": {s.name: {"state": s.state, "path": str(s.path), "sha256": s.sha256, "source": s.source} for s in bundles},
        "behaviour": behaviour,
        "proposer": proposer,
    }
    n_there = sum(status.state == "there" for status in bundles)
    emit_result(f"{n_there} of {len(bundles)} bundles there, {len(behaviour)} behaviour models", data, as_json=as_json)


@models.command()
@click.argument("model")
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--frames", default=32, show_default=True, type=click.IntRange(1, 4096), help="Frames of a sequence to trace with.")
@click.option("-w", "--workspace", metavar="DIR", help="Where MODEL is a version of [default: as everywhere].")
@json_option
def export(model: str, out: str, frames: int, workspace: str | None, *, as_json: bool) -> None:
    """Write MODEL (a folder, a version of the workspace, or "shipped") as ONNX into the folder OUT.

    The file is compared with the model it came from, one sequence at a time and 256 at once, before it is written.
    """
    from backends.onnx_export import export_onnx

    done = export_onnx(_load_asked(model, workspace), out, n_frames=frames)
    length = "any number of frames" if done.any_length else f"{done.n_frames} frames"
    line = f"{done.path} ({done.n_bytes / 1e6:.2f} MB): takes {length}; probabilities differ by {done.difference:.1e} at most"
    data = {
        "path": str(done.path),
        "sha256": done.sha256,
        "n_bytes": done.n_bytes,
        "any_length": done.any_length,
        "difference": done.difference,
    }
    emit_result(line, data, as_json=as_json)


def _load_asked(model: str, workspace: str | None) -> BehaviourModel:
    from pathlib import Path

    from backends.behaviour import load_model, load_proposer
    from curation.config import find_workspace
    from curation.registry import load_version

    if model == "shipped":
        return load_proposer()
    return load_model(model) if Path(model).exists() else load_version(find_workspace(workspace), model)


def _list_behaviour_models() -> list[str]:
    from backends.behaviour import MODELS

    return list(MODELS)


def _describe_proposer() -> dict[str, str] | None:
    """Return name and version from the card of the shipped proposer, None where this build ships none."""
    import json
    from importlib import resources

    card = resources.files("backends") / "data" / "proposer" / "card.json"
    if not card.is_file():
        return None
    content = json.loads(card.read_text("utf-8"))
    return {key: str(content.get(key, "")) for key in ("name", "version", "taxonomy", "axis", "sha256")}
