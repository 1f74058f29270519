"""How a review looks in FiftyOne: fields with their meaning, groups in the sidebar, the taxonomy's colours, saved views."""

from __future__ import annotations

from collections import Counter
from typing import Any

from schemas.vocabulary import Axis, Skeleton

__all__ = ["FIRST_VIEW", "arrange_dataset", "declare_fields", "describe_doubt"]

FIRST_VIEW = "highest-loss-first"
"""Slug of the view that the review opens with."""

PAIRS = 6
"""How many of the most confused pairs get a view of their own."""

_LABELS = {
    "label": "The label as it stands now",
    "suggested": "What the evidence of the score points to",
    "proposal": "What the model proposed before anybody labelled, with its probability",
}
_STRINGS = {
    "doubt": "What the evidence points to instead, where it does not agree with the label",
    "verdict": "The curator's decision: kept, dropped or relabelled; none while nobody has decided",
    "reason": "Why this label is where it is in the list",
    "original": "What the annotator said, where a curator has relabelled",
    "curator": "Who decided",
    "annotator": "Who labelled",
    "student": "Who is seen, where a seat says so",
    "lesson": "Lesson; never on two sides of a split",
    "camera": "Camera",
    "school": "School",
    "clip": "The video or image",
    "tubelet": "Id of the labelled unit: one student over one window of time",
}
_NUMBERS = {
    "loss": "Cross-entropy of the label, nats; higher is more surprising",
    "suspicion": "0 to 1; 1 is most suspect",
    "start": "Start of the window, seconds into the clip",
    "end": "End of the window, seconds into the clip",
}
_GROUPS = (
    ("label", ("label", "doubt", "suggested", "proposal", "original"), True),
    ("how suspect", ("loss", "suspicion", "reason"), True),
    ("review", ("verdict", "curator", "annotator"), True),
    ("where", ("lesson", "student", "camera", "school", "clip", "start", "end"), True),
    ("pose", ("pose",), True),
    ("tags", ("tags", "_label_tags"), False),
    ("metadata", ("tubelet", "id", "filepath", "metadata", "created_at", "last_modified_at"), False),
)
_ON_TILES = ("label", "doubt", "loss", "verdict")
_VERDICT_COLOURS = {"kept": "#2e9e5b", "dropped": "#d13b40", "relabelled": "#8a5bd1"}
_PLAIN, _POSE = "#5b6775", "#35e0ff"


def declare_fields(dataset: Any) -> None:
    """Add every field with its description, so that an empty review has them too."""
    import fiftyone as fo

    for name in _LABELS:
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification, description=_LABELS[name])
    for name in _STRINGS:
        dataset.add_sample_field(name, fo.StringField, description=_STRINGS[name])
    for name in _NUMBERS:
        dataset.add_sample_field(name, fo.FloatField, description=_NUMBERS[name])
    dataset.add_sample_field(
        "pose", fo.EmbeddedDocumentField, embedded_doc_type=fo.Keypoints, description="Pose in each panel of the strip"
    )


def arrange_dataset(dataset: Any, axis: Axis, skeleton: Skeleton) -> None:
    """Set colours, sidebar, skeleton, indexes and saved views of a filled dataset."""
    import fiftyone as fo

    dataset.default_skeleton = fo.KeypointSkeleton(labels=list(skeleton.nodes), edges=[list(edge) for edge in skeleton.edges])
    dataset.default_classes = list(axis.values)
    dataset.app_config.sidebar_groups = [
        fo.SidebarGroupDocument(name=name, paths=list(paths), expanded=expanded) for name, paths, expanded in _GROUPS
    ]
    dataset.app_config.active_fields = fo.ActiveFields(paths=list(_ON_TILES), exclude=False)
    dataset.app_config.color_scheme = _choose_colours(axis)
    dataset.description = f"Review of {axis.name.lower()} labels. Select samples, then Keep, Drop, Relabel or Undo."
    for field in ("tubelet", "loss", "suspicion", "verdict"):
        dataset.create_index(field)
    _save_views(dataset)
    dataset.save()


def _choose_colours(axis: Axis) -> Any:
    """The taxonomy's colour for a value wherever it is shown; all that carries no meaning is grey."""
    import fiftyone as fo

    values = {behaviour.id: behaviour.colour for behaviour in axis.behaviours}
    doubts = {describe_doubt(value): colour for value, colour in values.items()}
    tables = {
        **{path: ("label", values) for path in _LABELS},
        "pose": ("label", {"pose": _POSE}),
        "original": (None, values),
        "doubt": (None, doubts),
        "verdict": (None, _VERDICT_COLOURS),
    }
    fields = [
        {"path": path, "colorByAttribute": attribute, "valueColors": [{"value": v, "color": c} for v, c in table.items()]}
        for path, (attribute, table) in tables.items()
    ]
    return fo.ColorScheme(color_by="value", color_pool=[_PLAIN], fields=fields, multicolor_keypoints=False, show_skeletons=True)


def describe_doubt(suggested: str) -> str:
    """Return what a tile says about a label that the evidence does not agree with."""
    return f"looks like {suggested}"


def _save_views(dataset: Any) -> None:
    from fiftyone import ViewField as F

    waiting = dataset.exists("verdict", False)
    dataset.save_view("Highest loss first", dataset.sort_by("loss", reverse=True), color="#e15759")
    dataset.save_view("Most suspect first", dataset.sort_by("suspicion", reverse=True), color="#f28e2b")
    dataset.save_view("Not yet reviewed", waiting.sort_by("suspicion", reverse=True), color="#4e79a7")
    for verdict, colour in _VERDICT_COLOURS.items():
        dataset.save_view(verdict.capitalize(), dataset.match(F("verdict") == verdict), color=colour)
    pairs = Counter(
        (label, suggested)
        for label, suggested in zip(*dataset.values(["label.label", "suggested.label"]), strict=True)
        if suggested is not None and label != suggested
    )
    for (label, suggested), _ in pairs.most_common(PAIRS):
        view = waiting.match((F("label.label") == label) & (F("suggested.label") == suggested))
        dataset.save_view(f"Labelled {label}, looks like {suggested}", view.sort_by("loss", reverse=True), color="#bab0ac")
