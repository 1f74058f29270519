"""People in a picture ⇄ Label Studio's JSON, both ways by value. Pure: no server, no files.

One person is one ``rectanglelabels`` region whose id is the tubelet's id, one ``choices`` result per axis with the same id, and one
``vectorlabels`` region (the skeleton, ``<id>/skeleton``) nested under the box. Label Studio counts in percent of the picture. A
vertex has no place for visibility and depth, so its id carries them: ``"<node>:<visibility>:<z>"``. Vertex ids survive the editor.
Annotations come back in the same form; `schemas.labeltracks` does boxes through a video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import cmp_using, evolve, field, frozen
from numpy.typing import NDArray

from schemas.checks import check_array, check_name, freeze_array
from schemas.errors import FormatError, InvalidField
from schemas.labelconfig import BOX, IMAGE, PERSON, SKELETON
from schemas.labeljson import JsonReader
from schemas.records import PredictedSpan, check_box
from schemas.vocabulary import BLAZEPOSE_33, Label, Skeleton

__all__ = [
    "BODY_NODES",
    "Annotation",
    "Person",
    "decode_annotation",
    "decode_result",
    "encode_result",
    "encode_task",
    "format_model_version",
    "parse_model_version",
    "plan_parents",
]

BODY_NODES = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles: what an annotator can place; more would hide a face."""

NO_PARENT = "none"
"""Parent of a vertex without one. It must not be empty: the editor would join such a vertex to the one before."""


def _equal_poses(a: Any, b: Any) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b, equal_nan=True))


def _freeze_pose(value: Any) -> NDArray[np.float32] | None:
    return None if value is None else freeze_array(np.asarray(value, np.float32))


@frozen(kw_only=True)
class Person:
    """One person in one picture. `pose_px` (V, 4) float32 = x px, y px, z, visibility; NaN = not shown.

    `labels` holds at most one label per axis, `scores` the probability of a proposed label by axis. `box_xyxy` is None where an
    annotator drew a skeleton and no box.
    """

    id: str
    box_xyxy: tuple[float, float, float, float] | None = None
    pose_px: NDArray[np.float32] | None = field(default=None, converter=_freeze_pose, eq=cmp_using(eq=_equal_poses))
    labels: tuple[Label, ...] = ()
    scores: Mapping[str, float] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        check_name("person.id", self.id)
        if self.box_xyxy is not None:
            check_box(f"person {self.id}: box_xyxy", self.box_xyxy)
        if self.pose_px is not None:
            check_array(f"person {self.id}: pose_px", self.pose_px, (None, 4))
        axes = [label.axis for label in self.labels]
        if len(set(axes)) != len(axes):
            raise InvalidField(f"person {self.id}: labels", "one label per axis", [str(label) for label in self.labels])

    @classmethod
    def of(
        cls, tubelet_id: str, box_xyxy: Sequence[float], pose_px: NDArray[Any] | None, spans: Sequence[PredictedSpan] = ()
    ) -> Person:
        """Return the person of a tubelet at its key frame with what models propose."""
        x1, y1, x2, y2 = (float(v) for v in box_xyxy)
        labels = tuple(Label(axis=s.axis, value=s.value) for s in spans)
        return cls(
            id=tubelet_id, box_xyxy=(x1, y1, x2, y2), pose_px=pose_px, labels=labels, scores={s.axis: s.score for s in spans}
        )


@frozen(kw_only=True)
class Annotation:
    """What one annotator said about one picture. `problems` names each part that could not be read; the rest is in `people`."""

    id: int
    annotator_id: int
    updated_at: str
    cancelled: bool
    parent_prediction: int | None
    people: tuple[Person, ...]
    problems: tuple[str, ...] = ()


def format_model_version(spans: Sequence[PredictedSpan]) -> str:
    """Return Label Studio's name for the models behind `spans`: "model:version", joined by "+"; "people" if there is none."""
    return "+".join(sorted({f"{s.model}:{s.version}" for s in spans})) or "people"


def parse_model_version(text: str) -> list[tuple[str, str]]:
    """Return the (model, version) pairs in a name made by `format_model_version`."""
    return [(model, version) for model, colon, version in (part.rpartition(":") for part in text.split("+")) if colon]


def encode_task(
    key: str,
    image: str,
    size: tuple[int, int],
    people: Sequence[Person],
    *,
    model_version: str,
    data: Mapping[str, Any] | None = None,
    nodes: Sequence[int] | None = None,
    min_visibility: float = 0.0,
) -> dict[str, Any]:
    """Return one task with one prediction.

    Args:
        key: what the task stands for; stored as ``data.key`` and unique in a project.
        image: address of the picture as Label Studio shall load it.
        size: (width, height) of the picture, px.
        people: the regions; the prediction's score is the mean probability of the proposed labels.
        model_version: see `format_model_version`.
        data: more fields of the task's data.
        nodes: keypoints to show; all by default.
        min_visibility: keypoints less visible than this are left out.
    """
    prediction: dict[str, Any] = {
        "model_version": model_version,
        "result": encode_result(people, size, nodes=nodes, min_visibility=min_visibility),
    }
    scores = [score for person in people for score in person.scores.values()]
    if scores:
        prediction["score"] = float(np.mean(scores))
    return {"data": {**(data or {}), "image": image, "key": key}, "predictions": [prediction]}


def encode_result(
    people: Sequence[Person],
    size: tuple[int, int],
    *,
    skeleton: Skeleton = BLAZEPOSE_33,
    nodes: Sequence[int] | None = None,
    min_visibility: float = 0.0,
) -> list[dict[str, Any]]:
    """Return the `result` list of a prediction or an annotation.

    Raises:
        InvalidField: if the picture has no area.
    """
    width, height = size
    if width < 1 or height < 1:
        raise InvalidField("size", "a positive width and height", size)
    common = {"to_name": IMAGE, "original_width": int(width), "original_height": int(height), "image_rotation": 0}
    out: list[dict[str, Any]] = []
    for person in people:
        out += _encode_box(person, size, common)
        if person.pose_px is not None:
            shown = _choose_nodes(person.pose_px, nodes, min_visibility)
            out += _encode_skeleton(person, size, common, plan_parents(skeleton, shown))
    return out


def plan_parents(skeleton: Skeleton, nodes: Sequence[int]) -> dict[int, int | None]:
    """Return each shown node's parent in a spanning forest of `skeleton`; limbs run through nodes that are not shown."""
    neighbours: dict[int, list[int]] = {n: [] for n in range(len(skeleton.nodes))}
    for a, b in skeleton.edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    shown, anchor = set(nodes), dict[int, int | None]()
    parents: dict[int, int | None] = {}
    for root in neighbours:
        queue: list[tuple[int, int | None]] = [] if root in anchor else [(root, None)]
        for node, above in queue:
            if node in anchor:
                continue
            if node in shown:
                parents[node] = above
            anchor[node] = node if node in shown else above
            queue += [(other, anchor[node]) for other in sorted(neighbours[node]) if other not in anchor]
    return {node: parents[node] for node in sorted(parents)}


def decode_annotation(annotation: object, *, n_nodes: int = 33, where: str = "annotation") -> Annotation:
    """Read one annotation as Label Studio's API or export gives it.

    A region that cannot be read is named in `problems` and left out; the others are kept.

    Raises:
        FormatError: if it is no annotation at all.
    """
    read = JsonReader(annotation, where)
    number = read.take("id", int)
    where = f"{where} {number}"
    people: dict[str, Person] = {}
    problems: list[str] = []
    for index, item in enumerate(read.take("result", list)):
        try:
            _add_item(people, item, n_nodes, where, f"result[{index}]")
        except (FormatError, InvalidField) as error:
            problems.append(str(error))
    by = annotation.get("completed_by") if isinstance(annotation, Mapping) else None
    if isinstance(by, Mapping):
        by = by.get("id")
    parent = read.value.get("parent_prediction")
    return Annotation(
        id=number,
        annotator_id=by if isinstance(by, int) else 0,
        updated_at=str(read.value.get("updated_at") or read.value.get("created_at") or ""),
        cancelled=bool(read.value.get("was_cancelled")),
        parent_prediction=parent if isinstance(parent, int) else None,
        people=tuple(people.values()),
        problems=tuple(problems),
    )


def decode_result(result: object, *, n_nodes: int = 33, where: str = "task") -> list[Person]:
    """Read a `result` list; the inverse of `encode_result`.

    Raises:
        FormatError: naming the first item and field that are not as they must be.
    """
    if not isinstance(result, list):
        raise FormatError(where, "result", "a list", type(result).__name__)
    people: dict[str, Person] = {}
    for index, item in enumerate(result):
        _add_item(people, item, n_nodes, where, f"result[{index}]")
    return list(people.values())


def _encode_box(person: Person, size: tuple[int, int], common: Mapping[str, Any]) -> list[dict[str, Any]]:
    if person.box_xyxy is None:
        raise InvalidField(f"person {person.id}: box_xyxy", "a box", None)
    x1, y1, x2, y2 = person.box_xyxy
    width, height = size
    place = {
        "x": x1 / width * 100,
        "y": y1 / height * 100,
        "width": (x2 - x1) / width * 100,
        "height": (y2 - y1) / height * 100,
        "rotation": 0,
    }
    base = {"id": person.id, **common}
    out = [{**base, "from_name": BOX, "type": "rectanglelabels", "value": {**place, "rectanglelabels": [PERSON]}}]
    if person.scores:
        out[0]["score"] = float(np.mean(list(person.scores.values())))
    for label in person.labels:
        item = {**base, "from_name": label.axis, "type": "choices", "value": {**place, "choices": [label.value]}}
        if label.axis in person.scores:
            item["score"] = float(person.scores[label.axis])
        out.append(item)
    return out


def _choose_nodes(pose: NDArray[np.float32], nodes: Sequence[int] | None, min_visibility: float) -> list[int]:
    seen = np.isfinite(pose).all(axis=1) & (pose[:, 3] >= min_visibility)
    wanted = range(len(pose)) if nodes is None else nodes
    return [node for node in wanted if seen[node]]


def _encode_skeleton(
    person: Person, size: tuple[int, int], common: Mapping[str, Any], parents: Mapping[int, int | None]
) -> list[dict[str, Any]]:
    if person.pose_px is None or not parents:
        return []
    ids = {node: f"{node}:{person.pose_px[node, 3]}:{person.pose_px[node, 2]}" for node in parents}
    vertices = [
        {
            "id": ids[node],
            "x": float(person.pose_px[node, 0]) / size[0] * 100,
            "y": float(person.pose_px[node, 1]) / size[1] * 100,
            "prevPointId": NO_PARENT if parent is None else ids[parent],
            "isBezier": False,
        }
        for node, parent in parents.items()
    ]
    value = {"vertices": vertices, "closed": False, "vectorlabels": [SKELETON]}
    region = {"id": f"{person.id}/skeleton", "parentID": person.id, **common}
    return [{**region, "from_name": SKELETON, "type": "vectorlabels", "value": value}]


def _add_item(people: dict[str, Person], item: object, n_nodes: int, path: str, where: str) -> None:
    read = JsonReader(item, path, where)
    kind, region = read.take("type", str), read.take("id", str)
    if kind == "rectanglelabels":
        _update(people, region, box_xyxy=_decode_box(read))
    elif kind == "choices":
        _add_choice(people, region, read)
    elif kind == "vectorlabels":
        owner = read.value.get("parentID") or region.removesuffix("/skeleton")
        _update(people, str(owner), pose_px=_decode_skeleton(read, n_nodes))
    else:
        raise FormatError(path, f"{where}.type", "rectanglelabels, vectorlabels or choices", kind)


def _update(people: dict[str, Person], region: str, **changes: Any) -> None:
    people[region] = evolve(people.get(region) or Person(id=region), **changes)


def _add_choice(people: dict[str, Person], region: str, read: JsonReader) -> None:
    axis, chosen = read.take("from_name", str), read.inner("value").take("choices", list)
    if len(chosen) != 1 or not isinstance(chosen[0], str):
        raise FormatError(read.path, f"{read.where}.value.choices", "one value", chosen)
    before = people.get(region) or Person(id=region)
    score = read.value.get("score")
    scores = {**before.scores, axis: float(score)} if isinstance(score, (int, float)) else before.scores
    labels = (*(label for label in before.labels if label.axis != axis), Label(axis=axis, value=chosen[0]))
    _update(people, region, labels=labels, scores=scores)


def _read_size(read: JsonReader) -> tuple[float, float]:
    width, height = read.number("original_width"), read.number("original_height")
    if width < 1 or height < 1:
        raise FormatError(read.path, f"{read.where}.original_width", "a positive width and height", (width, height))
    return width, height


def _decode_box(read: JsonReader) -> tuple[float, float, float, float]:
    width, height = _read_size(read)
    value = read.inner("value")
    if value.value.get("rotation") not in (None, 0):
        raise FormatError(read.path, f"{value.where}.rotation", "0 (boxes are upright)", value.value["rotation"])
    x, y = value.number("x") * width / 100, value.number("y") * height / 100
    w, h = value.number("width") * width / 100, value.number("height") * height / 100
    if w <= 0 or h <= 0:
        raise FormatError(read.path, f"{value.where}.width", "a positive width and height", (w, h))
    return x, y, x + w, y + h


def _decode_skeleton(read: JsonReader, n_nodes: int) -> NDArray[np.float32]:
    width, height = _read_size(read)
    value = read.inner("value")
    pose = np.full((n_nodes, 4), np.nan, np.float32)
    for index, vertex in enumerate(value.take("vertices", list)):
        point = JsonReader(vertex, read.path, f"{value.where}.vertices[{index}]")
        node, visibility, z = _parse_vertex(point, n_nodes)
        pose[node] = (point.number("x") * width / 100, point.number("y") * height / 100, z, visibility)
    return pose


def _parse_vertex(point: JsonReader, n_nodes: int) -> tuple[int, float, float]:
    text = point.take("id", str)
    parts = text.split(":")
    try:
        node, visibility, z = int(parts[0]), float(parts[1]), float(parts[2])
    except (ValueError, IndexError) as error:
        raise FormatError(point.path, f"{point.where}.id", "node:visibility:z", text) from error
    if len(parts) != 3 or not 0 <= node < n_nodes or not np.isfinite([visibility, z]).all():
        raise FormatError(point.path, f"{point.where}.id", f"node:visibility:z with a node below {n_nodes}", text)
    return node, visibility, z
