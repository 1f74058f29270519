"""Taxonomies say what they mean, and a wrong one says what is wrong."""

from pathlib import Path

import pytest

from schemas.errors import DuplicateName, FormatError, InvalidField, UnknownName
from schemas.vocabulary import BLAZEPOSE_33, Axis, Behaviour, Label, Skeleton, Taxonomy, list_taxonomies, load_taxonomy

AXIS = Axis(id="hands", name="Hands", behaviours=(Behaviour(id="free", name="free"), Behaviour(id="pen", name="pen")))


def test_shipped_taxonomies_load() -> None:
    assert list_taxonomies() == ["drn-lstm", "edunet-3", "learning-behaviours"]
    assert {name: load_taxonomy(name).id for name in list_taxonomies()} == {name: name for name in list_taxonomies()}


def test_learning_behaviours_are_the_eight_of_the_paper() -> None:
    taxonomy = load_taxonomy("learning-behaviours")
    assert taxonomy.primary.values == ("attend", "write", "turn-page", "phone", "raise-hand", "look-aside", "sleep", "stand")
    states = {b.id: dict(b.states) for b in taxonomy.primary.behaviours}
    assert states["write"] == {"head": "lowered", "hands": "pen"}
    assert states["phone"] == {"head": "lowered", "hands": "phone"}


def test_drn_lstm_has_postures_hands_and_their_cascade() -> None:
    taxonomy = load_taxonomy("drn-lstm")
    assert taxonomy.axis("posture").values == ("sitting", "sideways", "bowed-head", "hand-raised")
    assert taxonomy.axis("hands").values == ("empty-handed", "phone", "writing")
    assert dict(taxonomy.axis("cascade").behaviours[0].states) == {"posture": "bowed-head", "hands": "phone"}


def test_maps_keep_the_published_names() -> None:
    maps = load_taxonomy("edunet-3").maps["EduNet"]
    assert maps["Writting_on_Textbook"] == Label(axis="action", value="writing")


@pytest.mark.parametrize(
    ("labels", "conflicts"),
    [
        ((("behaviour", "write"), ("hands", "pen")), 0),
        ((("behaviour", "write"), ("hands", "phone")), 1),
        ((("posture", "lying"), ("head", "ahead")), 1),
        ((("behaviour", "attend"), ("behaviour", "sleep")), 1),
        ((("posture", "sitting"), ("head", "lowered"), ("hands", "pen")), 0),
    ],
)
def test_conflicts_by_axis_exclusion_and_definition(labels: tuple[tuple[str, str], ...], conflicts: int) -> None:
    taxonomy = load_taxonomy("learning-behaviours")
    assert len(taxonomy.find_conflicts(tuple(Label(axis=a, value=v) for a, v in labels))) == conflicts


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UnknownName, match=r"unknown taxonomy 'nope'; known: drn-lstm, edunet-3, learning-behaviours"):
        load_taxonomy("nope")
    with pytest.raises(UnknownName, match=r"unknown value of axis behaviour 'yawn'; known: attend"):
        load_taxonomy("learning-behaviours").check_label(Label(axis="behaviour", value="yawn"))
    with pytest.raises(UnknownName, match=r"unknown axis 'mood'"):
        load_taxonomy("learning-behaviours").axis("mood")


def test_duplicates_and_bad_fields_are_named() -> None:
    with pytest.raises(DuplicateName, match=r"axis 'hands' is already there"):
        Taxonomy(id="t", version=1, axes=(AXIS, AXIS))
    with pytest.raises(InvalidField, match=r"behaviour x: colour: expected #rrggbb, got red"):
        Behaviour(id="x", name="x", colour="red")
    with pytest.raises(InvalidField, match=r"behaviour\.id: expected lower-case"):
        Behaviour(id="Raise Hand", name="x")
    with pytest.raises(InvalidField, match=r"axis one: behaviours: expected at least two, got 1"):
        Axis(id="one", name="One", behaviours=(Behaviour(id="x", name="x"),))
    twice = (Behaviour(id="a", name="a", hotkey="1"), Behaviour(id="b", name="b", hotkey="1"))
    with pytest.raises(DuplicateName, match=r"hotkey '1'"):
        Taxonomy(id="t", version=1, axes=(Axis(id="a", name="A", behaviours=twice),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("axes: [", "file: expected YAML"),
        ("id: t", r"version: expected a taxonomy, got Field required"),
        ("{id: t, version: 1, axes: [], colour: red}", r"colour: expected a taxonomy, got Extra inputs"),
        (
            "{id: t, version: 1, axes: [{id: a, name: A, behaviours: [{id: x, name: x}, {id: y, name: y}]}], "
            "maps: {o: {n: {a: x, b: y}}}}",
            r"label: expected one \{axis: value\}",
        ),
    ],
)
def test_a_bad_file_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(FormatError, match=message):
        load_taxonomy(path)


def test_a_taxonomy_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("{id: mine, version: 3, axes: [{id: a, name: A, behaviours: [{id: x, name: x}, {id: y, name: y}]}]}", "utf-8")
    taxonomy = load_taxonomy(path)
    assert (taxonomy.id, taxonomy.version, taxonomy.primary.values) == ("mine", 3, ("x", "y"))


def test_skeleton_is_mediapipes() -> None:
    nodes = BLAZEPOSE_33.nodes
    assert len(nodes) == 33
    assert (nodes[0], nodes[11], nodes[16], nodes[32]) == ("nose", "left_shoulder", "right_wrist", "right_foot_index")
    assert (11, 13) in BLAZEPOSE_33.edges
    with pytest.raises(InvalidField, match=r"skeleton\.edges: expected two different indices below 2"):
        Skeleton(name="s", nodes=("a", "b"), edges=((0, 2),))
