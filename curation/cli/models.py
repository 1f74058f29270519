"""``curate models``: fetch or build the pose, hand and face bundles, and list what there is."""

from __future__ import annotations

import click

from curation.cli.common import emit_result, json_option

__all__ = ["models"]


@click.group()
def models() -> None:
    """Fetch or build the pose, hand and face bundles; list models."""


@models.command()
@click.option("--offline-only", is_flag=True, help="Leave MediaPipe's own addresses alone; build from the package index only.")
@json_option
def pull(*, offline_only: bool, as_json: bool) -> None:
    """Fetch or build the bundles that are missing or damaged, into $CURATE_MODELS or ~/.cache/curate/models."""
    from backends.people.bundles import find_folder, pull_bundles

    statuses = pull_bundles(offline_only=offline_only, progress=lambda line: click.echo(line, err=True))
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
