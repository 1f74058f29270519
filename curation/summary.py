"""What a workspace holds: material, labels, verdicts, models and how they did."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from curation.champion import read_champion
from curation.split import read_split

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import Catalogue

__all__ = ["format_summary", "summarise"]


def summarise(workspace: Workspace, catalogue: Catalogue) -> dict[str, Any]:
    """Return counts, label distributions by axis and side, verdicts by kind, models with their newest figures, and rounds."""
    contexts = catalogue.describe_tubelets()
    split = read_split(catalogue)
    axes = {axis.id: _describe_axis(workspace, catalogue, axis.id) for axis in workspace.taxonomy.axes}
    labelled = {axis: facts for axis, facts in axes.items() if facts["labelled"] or facts["proposed"]}
    records = catalogue.list_records("rounds")
    return {
        "workspace": str(workspace.root),
        "taxonomy": workspace.taxonomy.id,
        "clips": len(catalogue.list_clips()),
        "lessons": len({c.lesson for c in contexts.values()}),
        "students": len({c.student for c in contexts.values() if c.student is not None}),
        "tracks": len(catalogue.list_tracks()),
        "tubelets": len(contexts),
        "axes": labelled,
        "split": None if split is None else {side: list(split.lessons(side)) for side in ("train", "val", "test", "aside")},
        "exports": [
            {key: record[key] for key in ("name", "path", "axis", "balance", "counts")}
            for record in catalogue.list_records("exports")
        ],
        "models": _describe_models(catalogue),
        "champion": read_champion(workspace, catalogue),
        "rounds": max((record["round"] for record in records), default=0),
        "selections": len(catalogue.list_records("selections")),
    }


def _describe_axis(workspace: Workspace, catalogue: Catalogue, axis: str) -> dict[str, Any]:
    labels = catalogue.current_labels(axis)
    counts = Counter(label.span.value for label in labels if not label.dropped)
    standing = Counter(label.verdict.kind for label in labels if label.verdict is not None)
    values = workspace.taxonomy.axis(axis).values
    present = [counts[value] for value in values if counts[value]]
    return {
        "labelled": sum(counts.values()),
        "proposed": len(catalogue.list_predictions(axis)),
        "counts": {value: counts[value] for value in values},
        "imbalance": max(present) / min(present) if present else None,
        "annotators": dict(sorted(Counter(label.original.annotator for label in labels).items())),
        "verdicts": dict(sorted(standing.items())),
        "verdicts_given": len(catalogue.list_verdicts(axis)),
    }


def _describe_models(catalogue: Catalogue) -> list[dict[str, Any]]:
    newest: dict[str, dict[str, Any]] = {}
    for record in catalogue.list_records("promotions"):
        if record.get("candidate"):
            newest[record["version"]] = record
    described = []
    for model in catalogue.list_records("models"):
        asked = newest.get(model["version"])
        figures = {} if asked is None else {k: asked["candidate"][k] for k in ("macro_f1", "accuracy", "low", "high", "n")}
        decision = None if asked is None else asked["decision"]
        facts = {key: model[key] for key in ("version", "model", "axis", "export", "n_train")}
        described.append({**facts, "decision": decision, "figures": figures})
    return described


def format_summary(summary: dict[str, Any]) -> list[str]:
    """Return a summary as lines for people."""
    lines = [
        f"{summary['clips']} clips of {summary['lessons']} lessons, {summary['students']} known students, "
        f"{summary['tracks']} tracks, {summary['tubelets']} tubelets"
    ]
    for axis, facts in summary["axes"].items():
        counts = ", ".join(f"{value} {n}" for value, n in facts["counts"].items() if n) or "none"
        spread = "" if facts["imbalance"] is None else f" (imbalance {facts['imbalance']:.1f} : 1)"
        lines.append(f"{axis}: {facts['labelled']} labelled, {facts['proposed']} proposed: {counts}{spread}")
        if facts["verdicts_given"]:
            standing = ", ".join(f"{kind} {n}" for kind, n in facts["verdicts"].items()) or "none"
            lines.append(f"{axis}: {facts['verdicts_given']} verdicts given, standing: {standing}")
    if summary["split"] is not None:
        lines.append(
            "split: " + ", ".join(f"{side} {len(lessons)} lessons" for side, lessons in summary["split"].items() if lessons)
        )
    for export in summary["exports"]:
        sizes = ", ".join(f"{side} {sum(table.values())}" for side, table in export["counts"].items())
        lines.append(f"export {export['name']} ({export['axis']}, {export['balance']}): {sizes}, {export['path']}")
    for model in summary["models"]:
        figures = f"macro-F1 {model['figures']['macro_f1']:.3f}, {model['decision']}" if model["figures"] else "not asked about"
        lines.append(f"model {model['version']} ({model['model']}, {model['n_train']} tubelets of {model['export']}): {figures}")
    lines.append(
        f"champion: {summary['champion'] or 'none'}; rounds: {summary['rounds']}; batches selected: {summary['selections']}"
    )
    return lines
