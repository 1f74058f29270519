"""What can be said about a student: behaviours on axes, and the skeleton their poses are drawn on.

Behaviours of one student may overlap (writing while sitting), so a label is always *axis + value*: values of one axis exclude each
other, values of different axes do not unless an exclusion says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

from attrs import field, frozen
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.checks import check_name
from schemas.errors import DuplicateName, FormatError, InvalidField, UnknownName

__all__ = [
    "BLAZEPOSE_33",
    "COCO_17",
    "JOINTS_13",
    "Axis",
    "Behaviour",
    "Label",
    "Skeleton",
    "Taxonomy",
    "list_taxonomies",
    "load_taxonomy",
]

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def _check_slug(name: str, value: object) -> None:
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        raise InvalidField(name, "lower-case letters, digits and single hyphens", value)


def _check_unique(kind: str, names: list[Any]) -> None:
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            raise DuplicateName(kind, str(name))
        seen.add(name)


@frozen(kw_only=True, order=True)
class Label:
    """One statement about a tubelet: the value it has on one axis."""

    axis: str
    value: str

    def __attrs_post_init__(self) -> None:
        check_name("axis", self.axis)
        check_name("value", self.value)

    def __str__(self) -> str:
        return f"{self.axis}={self.value}"


@frozen(kw_only=True)
class Behaviour:
    """One value of an axis.

    `states` defines a compound behaviour by the values it implies on other axes, e.g. write = {head: lowered, hands: pen}
    (seed C: "write = head lowered + pen in hand").
    """

    id: str
    name: str
    hotkey: str | None = None
    colour: str = "#808080"
    description: str = ""
    states: Mapping[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        _check_slug("behaviour.id", self.id)
        check_name("behaviour.name", self.name)
        if self.hotkey is not None and (len(self.hotkey) != 1 or not self.hotkey.isalnum()):
            raise InvalidField(f"behaviour {self.id}: hotkey", "one letter or digit", self.hotkey)
        if not _COLOUR.fullmatch(self.colour):
            raise InvalidField(f"behaviour {self.id}: colour", "#rrggbb", self.colour)


@frozen(kw_only=True)
class Axis:
    """A set of behaviours of which a student shows exactly one at a time."""

    id: str
    name: str
    behaviours: tuple[Behaviour, ...]
    required: bool = False

    def __attrs_post_init__(self) -> None:
        _check_slug("axis.id", self.id)
        if len(self.behaviours) < 2:
            raise InvalidField(f"axis {self.id}: behaviours", "at least two", len(self.behaviours))
        _check_unique(f"behaviour of axis {self.id}", [b.id for b in self.behaviours])

    @property
    def values(self) -> tuple[str, ...]:
        """Ids of the behaviours, in the order in which class indices count them."""
        return tuple(b.id for b in self.behaviours)


@frozen(kw_only=True)
class Skeleton:
    """Named keypoints and the limbs between them: edges are pairs of indices into `nodes`."""

    name: str
    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]

    def __attrs_post_init__(self) -> None:
        check_name("skeleton.name", self.name)
        _check_unique("keypoint", list(self.nodes))
        for a, b in self.edges:
            if not (0 <= a < len(self.nodes) and 0 <= b < len(self.nodes)) or a == b:
                raise InvalidField("skeleton.edges", f"two different indices below {len(self.nodes)}", (a, b))


@frozen(kw_only=True)
class Taxonomy:
    """A versioned vocabulary: axes of behaviours, pairs that cannot hold together, and names used by other data sets.

    The first axis is the primary one: what is scored, balanced and trained unless another is asked for.
    `maps` goes from another label set's id to {its name exactly as published: Label here}.
    """

    id: str
    version: int
    axes: tuple[Axis, ...]
    name: str = ""
    source: str = ""
    exclusions: tuple[tuple[Label, Label], ...] = ()
    maps: Mapping[str, Mapping[str, Label]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        _check_slug("taxonomy.id", self.id)
        if not self.axes:
            raise InvalidField("taxonomy.axes", "at least one axis", self.axes)
        _check_unique("axis", [a.id for a in self.axes])
        _check_unique("hotkey", [b.hotkey for a in self.axes for b in a.behaviours if b.hotkey])
        mapped = [label for table in self.maps.values() for label in table.values()]
        stated = [Label(axis=a, value=v) for axis in self.axes for b in axis.behaviours for a, v in b.states.items()]
        for label in [*mapped, *stated, *(x for pair in self.exclusions for x in pair)]:
            self.check_label(label)

    @property
    def primary(self) -> Axis:
        """The first axis."""
        return self.axes[0]

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton that poses of this taxonomy are drawn on."""
        return BLAZEPOSE_33

    def axis(self, axis_id: str) -> Axis:
        """Return the axis of that id.

        Raises:
            UnknownName: if there is none.
        """
        for axis in self.axes:
            if axis.id == axis_id:
                return axis
        raise UnknownName("axis", axis_id, [a.id for a in self.axes])

    def check_label(self, label: Label) -> Label:
        """Return `label` if this taxonomy has its axis and value.

        Raises:
            UnknownName: if it does not.
        """
        axis = self.axis(label.axis)
        if label.value not in axis.values:
            raise UnknownName(f"value of axis {axis.id}", label.value, axis.values)
        return label

    def find_conflicts(self, labels: tuple[Label, ...]) -> list[tuple[Label, Label]]:
        """Return the pairs among `labels` that cannot hold for one student at once, by axis, exclusion or definition."""
        excluded = {frozenset(pair) for pair in self.exclusions}
        return [
            (a, b)
            for a, b in combinations(labels, 2)
            if (a.axis == b.axis and a.value != b.value)
            or frozenset((a, b)) in excluded
            or self._contradicts(a, b)
            or self._contradicts(b, a)
        ]

    def _contradicts(self, compound: Label, other: Label) -> bool:
        behaviour = next(b for b in self.axis(compound.axis).behaviours if b.id == compound.value)
        return behaviour.states.get(other.axis, other.value) != other.value


_EDGES_33 = (
    (0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10), (11, 12), (11, 13), (13, 15), (15, 17), (15, 19),
    (15, 21), (17, 19), (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20), (11, 23), (12, 24), (23, 24), (23, 25),
    (24, 26), (25, 27), (26, 28), (27, 29), (28, 30), (29, 31), (30, 32), (27, 31), (28, 32),
)  # fmt: skip
_SIDED = ("shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hip", "knee", "ankle", "heel", "foot_index")

BLAZEPOSE_33 = Skeleton(
    name="blazepose-33",
    nodes=(
        "nose",
        *(f"{side}_eye{part}" for side in ("left", "right") for part in ("_inner", "", "_outer")),
        "left_ear",
        "right_ear",
        "mouth_left",
        "mouth_right",
        *(f"{side}_{joint}" for joint in _SIDED for side in ("left", "right")),
    ),
    edges=_EDGES_33,
)
"""The 33 landmarks of MediaPipe Pose, in its order (left and right are the person's own)."""

_JOINTS = tuple(f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right"))
_LIMBS = ((1, 2), (1, 3), (3, 5), (2, 4), (4, 6), (1, 7), (2, 8), (7, 8), (7, 9), (9, 11), (8, 10), (10, 12))

JOINTS_13 = Skeleton(name="joints-13", nodes=("nose", *_JOINTS), edges=((0, 1), (0, 2), *_LIMBS))
"""COCO's keypoints but for eyes and ears, in its order, which is also Penn Action's (W. Zhang et al., ICCV 2013; head for nose)."""

COCO_17 = Skeleton(
    name="coco-17",
    nodes=("nose", "left_eye", "right_eye", "left_ear", "right_ear", *_JOINTS),
    edges=((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), *((a + 4, b + 4) for a, b in _LIMBS)),
)
"""The 17 keypoints of COCO's people and its 19 limbs (T.-Y. Lin et al., "Microsoft COCO", ECCV 2014), in its order."""


class _BehaviourFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    name: str
    hotkey: str | None = None
    colour: str = "#808080"
    description: str = ""
    states: dict[str, str] = Field(default_factory=dict)


class _AxisFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    name: str
    required: bool = False
    behaviours: list[_BehaviourFile]


class _TaxonomyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    version: int
    name: str = ""
    source: str = ""
    axes: list[_AxisFile]
    exclusions: list[tuple[dict[str, str], dict[str, str]]] = Field(default_factory=list)
    maps: dict[str, dict[str, dict[str, str]]] = Field(default_factory=dict)


def list_taxonomies() -> list[str]:
    """Return the ids of the taxonomies that ship with the tool."""
    folder = resources.files("schemas") / "data" / "taxonomies"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_taxonomy(name_or_path: str | Path) -> Taxonomy:
    """Load a shipped taxonomy by id, or one from a YAML file by path.

    Raises:
        UnknownName: if no shipped taxonomy has the id and no such file exists.
        FormatError: if the file is not a taxonomy.
    """
    text = str(name_or_path)
    if text in list_taxonomies():
        return _load_shipped(text)
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return _parse_taxonomy(str(path), path.read_text("utf-8"))
    raise UnknownName("taxonomy", text, list_taxonomies())


@cache
def _load_shipped(name: str) -> Taxonomy:
    return _parse_taxonomy(name, (resources.files("schemas") / "data" / "taxonomies" / f"{name}.yaml").read_text("utf-8"))


def _parse_taxonomy(where: str, text: str) -> Taxonomy:
    import yaml

    try:
        parsed = _TaxonomyFile.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise FormatError(where, "file", "YAML", " ".join(str(error).split())) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(where, ".".join(map(str, first["loc"])) or "file", "a taxonomy", first["msg"]) from error
    axes = tuple(
        Axis(id=a.id, name=a.name, required=a.required, behaviours=tuple(Behaviour(**b.model_dump()) for b in a.behaviours))
        for a in parsed.axes
    )
    return Taxonomy(
        id=parsed.id,
        version=parsed.version,
        name=parsed.name,
        source=parsed.source,
        axes=axes,
        exclusions=tuple((_one_label(where, a), _one_label(where, b)) for a, b in parsed.exclusions),
        maps={k: {n: _one_label(where, v) for n, v in table.items()} for k, table in parsed.maps.items()},
    )


def _one_label(where: str, entry: dict[str, str]) -> Label:
    if len(entry) != 1:
        raise FormatError(where, "label", "one {axis: value}", entry)
    ((axis, value),) = entry.items()
    return Label(axis=axis, value=value)
