"""``curate split`` and ``curate export``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from curation.cli.common import emit_result, json_option, workspace_option

if TYPE_CHECKING:
    from curation.config import Workspace

__all__ = ["export", "split"]


@click.command()
@click.option(
    "--test-share", type=float, help="Share of every class that a first split sends to test [default: as in curate.toml]."
)
@click.option("--val-share", type=float, default=0.0, show_default=True, help="Share for a validation side.")
@click.option("--test-lesson", "test_lessons", multiple=True, metavar="LESSON", help="Put this lesson (and its group) in test.")
@click.option("--axis", help="Whose classes are balanced [default: the primary axis].")
@click.option("--seed", type=click.IntRange(0), help="[default: as in curate.toml]")
@workspace_option
@json_option
def split(workspace: Workspace, as_json: bool, **asked: Any) -> None:
    """Split by lesson and student, with a certificate that none of them is on two sides.

    The first split deals whole groups of lessons that share students. From then on test is frozen: new lessons join train, and one
    with a student of a test lesson is set aside.
    """
    from curation.split import make_split
    from curation.store import Catalogue

    with Catalogue.open(workspace.catalogue_url, create=False) as catalogue:
        made, certificate = make_split(workspace, catalogue, **asked)
    if not as_json:
        for side, facts in certificate.to_dict()["sides"].items():
            unknown = f", {facts['n_unknown']} of unknown students" if facts["n_unknown"] else ""
            click.echo(
                f"{side}: {len(facts['lessons'])} lessons, {facts['n_tubelets']} tubelets{unknown}: {', '.join(facts['lessons'])}"
            )
        for lesson, reason in made.reasons.items():
            click.echo(f"aside: {lesson}: {reason}")
    data = {
        "split": made.id,
        "new": made.new,
        "sides": dict(made.sides),
        "reasons": dict(made.reasons),
        "certificate": certificate.to_dict(),
    }
    state = "new" if made.new else "unchanged"
    line = f"split {made.id} ({state}): no lesson and no known student on two sides, certificate {certificate.sha256[:12]}"
    emit_result(line, data, as_json=as_json)


@click.command()
@click.argument("out", metavar="OUT", type=click.Path())
@click.option("--format", "formats", multiple=True, default=("sequences",), show_default=True, help="May be given several times.")
@click.option("--balance", default="capped", show_default=True, help="How the train side is balanced; test never is.")
@click.option("--ratio", type=float, default=1.0, show_default=True, help="How much imbalance the method leaves.")
@click.option("--name", help="Name of the set [default: that of the folder].")
@click.option("--axis", help="Which labels [default: the primary axis].")
@click.option("--seed", type=click.IntRange(0), help="[default: as in curate.toml]")
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Write the key frames that COCO names.")
@click.option(
    "--crops", type=click.IntRange(8, 512), metavar="PX", help="Write pictures of this size beside the poses of sequences."
)
@workspace_option
@json_option
def export(workspace: Workspace, out: str, as_json: bool, **asked: Any) -> None:
    """Write the labels as they stand now to the folder OUT: a balanced train side, untouched test lessons, a certificate.

    Only what people said is exported, never a proposal. The folder appears whole or not at all; equal labels give equal bytes.
    """
    from curation.export import export_set
    from curation.store import ArrayStore, Catalogue

    with Catalogue.open(workspace.catalogue_url, create=False) as catalogue:
        manifest = export_set(workspace, catalogue, ArrayStore(workspace.folder("arrays")), out, **asked)
    counts = {side: dict(Counter(record.label for record in rows)) for side, rows in manifest.splits.items()}
    if not as_json:
        for side, table in counts.items():
            click.echo(f"{side}: " + ", ".join(f"{name} {table[name]}" for name in manifest.classes if name in table))
    sizes = ", ".join(f"{side} {len(rows)}" for side, rows in manifest.splits.items())
    data = {"export": manifest.name, "folder": out, "counts": counts, "files": manifest.files, "certificate": manifest.certificate}
    emit_result(f"export {manifest.name}: {sizes}, balance {manifest.balance}, written to {out}", data, as_json=as_json)
