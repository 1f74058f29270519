"""From a click in FiftyOne to a row in the catalogue, and back to the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from curation.config import Workspace, open_workspace
from curation.review.actions import Kind, record_verdict, undo_last
from curation.review.looks import describe_doubt
from schemas.errors import UnknownName, WorkspaceError
from schemas.vocabulary import Axis

if TYPE_CHECKING:
    from curation.store import Catalogue, CurrentLabel

__all__ = ["Decided", "Link", "decide", "describe_state", "read_link", "show_verdicts"]

VERDICTS = {"keep": "kept", "drop": "dropped", "relabel": "relabelled"}


@frozen(kw_only=True)
class Link:
    """Where a dataset came from: the way back from a click to the catalogue."""

    workspace: Workspace
    axis: Axis


@frozen(kw_only=True)
class Decided:
    """What a click has done."""

    message: str
    tubelet_ids: list[str]


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

    Undo without samples takes back the newest decision of this axis.

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
            done = undo_last(catalogue, axis=link.axis.id, curator=curator)
        else:
            done = record_verdict(
                catalogue, tubelet_ids, link.axis.id, kind, value=value, curator=curator, taxonomy=link.workspace.taxonomy
            )
        touched = [verdict.tubelet_id for verdict in done]
        show_verdicts(dataset, catalogue, link.axis.id, touched)
    if not touched:
        return Decided(message="That is decided already", tubelet_ids=[])
    many = f"{len(touched)} label{'' if len(touched) == 1 else 's'}"
    said = {"keep": f"Kept {many}", "drop": f"Dropped {many}", "relabel": f"Relabelled {many}: {value}"}
    return Decided(message=said.get(kind, f"Took back the decision on {many}"), tubelet_ids=touched)


def _find_tubelets(dataset: Any, sample_ids: Sequence[str]) -> list[str]:
    if not sample_ids:
        return []
    found = dict(zip(*dataset.select(list(sample_ids)).values(["id", "tubelet"]), strict=True))
    missing = [sample for sample in sample_ids if sample not in found]
    if missing:
        raise UnknownName("sample", missing[0], [f"{dataset.count()} samples; reload the page"])
    return [found[sample] for sample in sample_ids]


def show_verdicts(dataset: Any, catalogue: Catalogue, axis: str, tubelet_ids: Iterable[str] | None = None) -> None:
    """Bring the labels of a dataset, or some of them, to what the catalogue says."""
    from fiftyone import ViewField as F

    wanted = None if tubelet_ids is None else set(tubelet_ids)
    labels = {label.tubelet_id: label for label in catalogue.current_labels(axis) if wanted is None or label.tubelet_id in wanted}
    view = dataset.match(F("tubelet").is_in(sorted(labels)))
    order, suggested = view.values(["tubelet", "suggested.label"])
    states = [describe_state(labels[tubelet], value) for tubelet, value in zip(order, suggested, strict=True)]
    for name in states[0] if states else ():
        view.set_values(name, [state[name] for state in states])


def describe_state(label: CurrentLabel, suggested: str | None) -> dict[str, Any]:
    """Return the fields that a verdict changes."""
    import fiftyone as fo

    verdict = label.verdict
    relabelled = label.span.value != label.original.value
    return {
        "label": fo.Classification(label=label.span.value),
        "doubt": None if suggested in (None, label.span.value) else describe_doubt(str(suggested)),
        "original": label.original.value if relabelled else None,
        "verdict": None if verdict is None else VERDICTS[verdict.kind],
        "curator": None if verdict is None else verdict.curator,
    }
