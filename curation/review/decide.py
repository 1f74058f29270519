"""From a click in FiftyOne to a row in the catalogue, and back to the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from curation.config import Workspace, open_workspace
from curation.review.actions import Kind, record_verdict, undo_last
from curation.review.looks import describe_doubt
from schemas.errors import UnknownName, WorkspaceError
from schemas.vocabulary import Axis

if TYPE_CHECKING:
    from curation.store import Catalogue, CurrentLabel

__all__ = ["Decided", "Link", "decide", "describe_state", "read_link", "show_verdicts", "sync_verdicts"]

VERDICTS = {"keep": "kept", "drop": "dropped", "relabel": "relabelled", "ambiguous": "ambiguous"}

_shown: dict[str, set[str]] = {}
"""Dataset → ids of the verdicts that it shows, as far as this process has brought it up to date."""


@frozen(kw_only=True)
class Link:
    """Where a dataset came from: the way back from a click to the catalogue."""

    workspace: Workspace
    axis: Axis


@frozen(kw_only=True)
class Decided:
    """What a click has done. `changed` maps sample ids to the fields that are different now."""

    message: str
    tubelet_ids: list[str]
    changed: dict[str, dict[str, Any]]


def read_link(dataset: Any) -> Link:
    """Return the workspace and axis of a dataset.

    Raises:
        WorkspaceError: if this tool did not build it, or its workspace has gone.
    """
    about = dataset.info.get("curate")
    if not isinstance(about, dict):
        raise WorkspaceError(dataset.name, "is no review of a workspace; build one with `curate review open`")
    workspace = open_workspace(about["workspace"])
    return Link(workspace=workspace, axis=workspace.taxonomy.axis(about["axis"]))


def decide(dataset: Any, sample_ids: Sequence[str], kind: Kind, *, value: str | None = None, curator: str | None = None) -> Decided:
    """Record a decision on samples of a dataset in the catalogue, then show it in the dataset.

    Undo without samples takes back the newest decision of this axis: the named curator's, or with nobody named anybody's.

    Raises:
        NotEnoughData: if no sample is given, or there is nothing to undo.
        UnknownName: if the axis has no such value, or a sample is not in the dataset.
        InvalidField: see `record_verdict`.
    """
    from curation.store import Catalogue

    link = read_link(dataset)
    tubelet_ids = _find_tubelets(dataset, sample_ids)
    with Catalogue.open(link.workspace.catalogue_url, create=False) as catalogue:
        if kind == "undo" and not tubelet_ids:
            done = undo_last(catalogue, axis=link.axis.id, curator=curator, made_by=curator)
        else:
            done = record_verdict(
                catalogue, tubelet_ids, link.axis.id, kind, value=value, curator=curator, taxonomy=link.workspace.taxonomy
            )
        touched = [verdict.tubelet_id for verdict in done]
        changed = show_verdicts(dataset, catalogue, link.axis.id, touched or tubelet_ids)
        if dataset.name in _shown:
            _shown[dataset.name] |= {verdict.id for verdict in done}
    if not touched:
        return Decided(message="That is decided already", tubelet_ids=[], changed=changed)
    many = f"{len(touched)} label{'' if len(touched) == 1 else 's'}"
    said = {
        "keep": f"Kept {many}",
        "drop": f"Dropped {many}",
        "relabel": f"Relabelled {many}: {value}",
        "ambiguous": f"Set {many} aside as ambiguous",
    }
    return Decided(message=said.get(kind, f"Took back the decision on {many}"), tubelet_ids=touched, changed=changed)


def sync_verdicts(dataset: Any, catalogue: Catalogue, axis: str) -> dict[str, dict[str, Any]]:
    """Show what others have decided since this process last looked; return sample id → the fields that are different now.

    The first time all labels are looked at, then those with new verdicts.
    """
    shown = _shown.get(dataset.name)
    if shown is not None and catalogue.count_verdicts(axis) == len(shown):
        return {}
    verdicts = {verdict.id: verdict.tubelet_id for verdict in catalogue.list_verdicts(axis)}
    new = None if shown is None else {tubelet for verdict, tubelet in verdicts.items() if verdict not in shown}
    changed = show_verdicts(dataset, catalogue, axis, new)
    _shown[dataset.name] = set(verdicts)
    return changed


def _find_tubelets(dataset: Any, sample_ids: Sequence[str]) -> list[str]:
    from bson import ObjectId

    if not sample_ids:
        return []
    wanted = {"_id": {"$in": [ObjectId(sample) for sample in sample_ids if ObjectId.is_valid(sample)]}}
    found = {str(d["_id"]): str(d["tubelet"]) for d in dataset._sample_collection.find(wanted, {"tubelet": 1})}
    missing = [sample for sample in sample_ids if sample not in found]
    if missing:
        raise UnknownName("sample", missing[0], [f"{dataset.count()} samples; reload the page"])
    return [found[sample] for sample in sample_ids]


def show_verdicts(
    dataset: Any, catalogue: Catalogue, axis: str, tubelet_ids: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Bring the labels of a dataset, or some of them, to what the catalogue says; return sample id → fields that were changed."""
    from pymongo import UpdateOne

    labels = {label.tubelet_id: label for label in catalogue.current_labels(axis, tubelet_ids)}
    wanted = {} if tubelet_ids is None else {"tubelet": {"$in": sorted(labels)}}
    fields = dict.fromkeys(("tubelet", "label", "suggested.label", "doubt", "original", "verdict", "curator"), 1)
    now, changed, writes = datetime.now(UTC).replace(tzinfo=None), {}, []
    for document in dataset._sample_collection.find(wanted, fields):
        label = labels.get(document["tubelet"])
        if label is None:
            continue
        change = _find_change(document, describe_state(label, (document.get("suggested") or {}).get("label")))
        if change:
            changed[str(document["_id"])] = change
            values = {name if name != "label" else "label.label": value for name, value in change.items()}
            writes.append(UpdateOne({"_id": document["_id"]}, {"$set": {**values, "last_modified_at": now}}))
    if writes:
        dataset._bulk_write(writes, ids=list(changed))
    return changed


def _find_change(document: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    shown = {**document, "label": document["label"]["label"]}
    return {name: value for name, value in state.items() if shown.get(name) != value}


def describe_state(label: CurrentLabel, suggested: str | None) -> dict[str, Any]:
    """Return the fields that a verdict changes; `label` is the value alone."""
    verdict = label.verdict
    relabelled = label.span.value != label.original.value
    return {
        "label": label.span.value,
        "doubt": None if suggested in (None, label.span.value) else describe_doubt(str(suggested)),
        "original": label.original.value if relabelled else None,
        "verdict": None if verdict is None else VERDICTS[verdict.kind],
        "curator": None if verdict is None else verdict.curator,
    }
