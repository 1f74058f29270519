"""How a review looks in FiftyOne: fields and their meaning, groups in the sidebar, the taxonomy's colours, views, workspaces."""

from __future__ import annotations

from typing import Any

from schemas.vocabulary import Axis

__all__ = ["FIRST_VIEW", "MAP", "PANEL", "WORKSPACE", "arrange_dataset", "declare_fields", "describe_doubt", "select_pair"]

FIRST_VIEW = "most-suspect-first"
"""Slug of the view that the review opens with."""

PANEL = "curate_review"
"""Name of the panel that the plug-in brings."""

WORKSPACE = "review"
"""Slug of the workspace that the review opens with: labels on the left, the panel on the right."""

MAP = "motion_map"
"""Brain key of the map of motions."""

DUPLICATE = "conflicting duplicate"
"""The kind of trouble that a near-duplicate with another label is."""

PAIRS = 6
"""How many of the most confused pairs get a view of their own."""

_LABELS = {
    "label": "The label as it stands now",
    "suggested": "What the evidence of the score points to",
    "proposal": "What the model proposed before anybody labelled, with its probability",
}
_STRINGS = {
    "doubt": "What the evidence points to instead, where it does not agree with the label",
    "verdict": "The curator's decision: kept, dropped, relabelled or ambiguous; none while nobody has decided",
    "reason": "Why this label is where it is in the list",
    "trouble": "What kind of trouble it looks like",
    "original": "What the annotator said, where a curator has relabelled",
    "curator": "Who decided",
    "annotator": "Who labelled",
    "duplicate": "A near-duplicate has another label; those that belong together have the same mark here",
    "student": "Who is seen, where a seat says so",
    "lesson": "Lesson; never on two sides of a split",
    "camera": "Camera",
    "school": "School",
    "clip": "The video or image",
    "tubelet": "Id of the labelled unit: one student over one window of time",
}
_LISTS = {
    "neighbours": "Tubelets that move most like this one",
    "faulty": "Keypoints, or the box, that cannot be right; they are red in the picture",
    "faults": "Which keypoint or box cannot be right, when (seconds into the window), and why",
}
_NUMBERS = {
    "p_wrong": "Probability that the label is wrong",
    "suspicion": "0 to 1; 1 is most suspect",
    "loss": "Cross-entropy of the label, nats; higher is more surprising",
    "agreement": "Share of the annotators who said so, where there were two or more",
    "start": "Start of the window, seconds into the clip",
    "end": "End of the window, seconds into the clip",
}
_GROUPS = (
    ("label", ("label", "doubt", "suggested", "proposal", "original"), True),
    ("how suspect", ("p_wrong", "suspicion", "trouble", "faulty", "agreement", "duplicate", "loss", "reason"), True),
    ("review", ("verdict", "curator", "annotator"), True),
    ("where", ("lesson", "student", "camera", "school", "clip", "start", "end"), False),
    ("tags", ("tags", "_label_tags"), False),
    ("metadata", ("tubelet", "faults", "neighbours", "id", "filepath", "metadata", "created_at", "last_modified_at"), False),
)
_ON_TILES = ("label", "doubt", "p_wrong", "verdict")
_VERDICT_COLOURS = {"kept": "#2e9e5b", "dropped": "#d13b40", "relabelled": "#8a5bd1", "ambiguous": "#c98a1b"}
_PLAIN = "#5b6775"


def declare_fields(dataset: Any) -> None:
    """Add every field with its description, so that an empty review has them too."""
    import fiftyone as fo

    dataset.media_type = "video"
    for name in _LABELS:
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification, description=_LABELS[name])
    for name in _STRINGS:
        dataset.add_sample_field(name, fo.StringField, description=_STRINGS[name])
    for name in _NUMBERS:
        dataset.add_sample_field(name, fo.FloatField, description=_NUMBERS[name])
    for name in _LISTS:
        dataset.add_sample_field(name, fo.ListField, subfield=fo.StringField, description=_LISTS[name])


def arrange_dataset(dataset: Any, axis: Axis) -> None:
    """Set colours, sidebar, indexes, saved views and workspaces of a filled dataset."""
    import fiftyone as fo

    dataset.default_classes = list(axis.values)
    dataset.app_config.sidebar_groups = [
        fo.SidebarGroupDocument(name=name, paths=list(paths), expanded=expanded) for name, paths, expanded in _GROUPS
    ]
    dataset.app_config.active_fields = fo.ActiveFields(paths=list(_ON_TILES), exclude=False)
    dataset.app_config.color_scheme = _choose_colours(axis)
    dataset.description = f"Review of {axis.name.lower()} labels. Keys: K keep, D drop, R relabel, A ambiguous, U undo."
    for field in ("tubelet", "loss", "suspicion", "verdict", "duplicate", "agreement", "label.label", "suggested.label"):
        dataset.create_index(field)
    _save_views(dataset)
    _save_workspaces(dataset)
    dataset.save()


def _choose_colours(axis: Axis) -> Any:
    """The taxonomy's colour for a value wherever it is shown; all that carries no meaning is grey."""
    import fiftyone as fo

    values = {behaviour.id: behaviour.colour for behaviour in axis.behaviours}
    doubts = {describe_doubt(value): colour for value, colour in values.items()}
    tables = {
        **{path: ("label", values) for path in _LABELS},
        "original": (None, values),
        "doubt": (None, doubts),
        "verdict": (None, _VERDICT_COLOURS),
    }
    fields = [
        {"path": path, "colorByAttribute": attribute, "valueColors": [{"value": v, "color": c} for v, c in table.items()]}
        for path, (attribute, table) in tables.items()
    ]
    return fo.ColorScheme(color_by="value", color_pool=[_PLAIN], fields=fields)


def describe_doubt(suggested: str) -> str:
    """Return what a tile says about a label that the evidence does not agree with."""
    return f"looks like {suggested}"


def select_pair(dataset: Any, label: str, suggested: str) -> Any:
    """Return the view of the labels that say `label` and look like `suggested`, the most suspect first."""
    return dataset.match({"label.label": label, "suggested.label": suggested}).sort_by("suspicion", reverse=True)


def _save_views(dataset: Any) -> None:
    waiting = dataset.match({"verdict": None})
    dataset.save_view("Most suspect first", dataset.sort_by("suspicion", reverse=True), color="#f28e2b")
    dataset.save_view("Not yet reviewed", waiting.sort_by("suspicion", reverse=True), color="#4e79a7")
    dataset.save_view("Highest loss first", dataset.sort_by("loss", reverse=True), color="#e15759")
    duplicates = dataset.match({"$or": [{"duplicate": {"$ne": None}}, {"trouble": DUPLICATE}]})
    dataset.save_view("Conflicting duplicates", duplicates.sort_by("duplicate"), color="#b07aa1")
    faulty = dataset.match({"faulty": {"$exists": True, "$nin": [None, []]}})
    dataset.save_view("Bad box or keypoint", faulty.sort_by("suspicion", reverse=True), color="#ff2d55")
    for trouble in sorted(set(dataset.distinct("trouble")) - {DUPLICATE, "wrong label"}):
        view = dataset.match({"trouble": trouble}).sort_by("suspicion", reverse=True)
        dataset.save_view(f"Trouble: {trouble}", view, color="#9c755f")
    dataset.save_view("Low agreement", dataset.match({"agreement": {"$lt": 1}}).sort_by("agreement"), color="#76b7b2")
    for verdict, colour in _VERDICT_COLOURS.items():
        dataset.save_view(verdict.capitalize(), dataset.match({"verdict": verdict}), color=colour)
    for label, suggested in _find_pairs(dataset):
        dataset.save_view(f"Labelled {label}, looks like {suggested}", select_pair(dataset, label, suggested), color="#bab0ac")


def _find_pairs(dataset: Any) -> list[tuple[str, str]]:
    """Return the most frequent (label, suggested) that disagree, among labels that nobody has decided on."""
    pipeline = [
        {"$match": {"verdict": None, "suggested.label": {"$ne": None}}},
        {"$group": {"_id": {"label": "$label.label", "suggested": "$suggested.label"}, "n": {"$sum": 1}}},
        {"$match": {"$expr": {"$ne": ["$_id.label", "$_id.suggested"]}}},
        {"$sort": {"n": -1, "_id.label": 1, "_id.suggested": 1}},
        {"$limit": PAIRS},
    ]
    return [(row["_id"]["label"], row["_id"]["suggested"]) for row in dataset._sample_collection.aggregate(pipeline)]


def _save_workspaces(dataset: Any) -> None:
    import fiftyone as fo

    def show(panel: Any) -> Any:
        return fo.Space(children=[panel], active_child=panel.component_id)

    def split(spaces: list[Any], orientation: str, sizes: list[float]) -> Any:
        """All that the app would fill in or round off is given: else it takes the workspace for a changed one and asks twice."""
        return fo.Space(children=spaces, orientation=orientation, sizes=sizes, active_child=spaces[0].component_id)

    labels, panel, plane = (show(fo.Panel(type=t, pinned=t == "Samples")) for t in ("Samples", PANEL, "Embeddings"))
    review = split([labels, panel], "horizontal", [0.58, 0.42])
    dataset.save_workspace(WORKSPACE, review, description="Labels and the review's panel")
    linked = split([labels, split([plane, panel], "vertical", [0.5, 0.5])], "horizontal", [0.45, 0.55])
    dataset.save_workspace("map", linked, description="Map of motions, linked with labels and panel: a lasso chooses labels")
