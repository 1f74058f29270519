"""What a decision leaves in the catalogue: rows, standing, undo; a refusal leaves nothing."""

import itertools
from datetime import UTC, datetime

import numpy as np
import pytest

from curation.review.actions import find_curator, list_standing, record_verdict, undo_last
from curation.store import Catalogue
from curation.store.labels import resolve_labels
from schemas.errors import InvalidField, NotEnoughData, UnknownName
from schemas.records import Clip, HumanSpan, PoseTrack, Tubelet, Verdict
from schemas.vocabulary import load_taxonomy

AXIS = "behaviour"


@pytest.fixture
def labelled(tmp_path):
    """A catalogue with four tubelets, the first three labelled `attend`; and the tubelets' ids."""
    clip = Clip(
        id="clip_1", uri="a.mp4", sha256="00", n_frames=40, fps=10, width=64, height=48, timestamps=np.arange(40) / 10, lesson="l1"
    )
    track = PoseTrack(
        id="trk_1", clip_id="clip_1", frames=[0, 2], boxes_xyxy=[[0, 0, 9, 9]] * 2, pose_px=np.zeros((2, 33, 4), np.float32)
    )
    tubelets = [Tubelet.of("trk_1", "clip_1", first, first + 9) for first in (0, 10, 20, 30)]
    with Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.db'}") as catalogue:
        catalogue.add_clips([clip])
        catalogue.commit_clip("clip_1", pipeline="p", tracks=[track], tubelets=tubelets, predictions=[])
        spans = [HumanSpan(tubelet_id=t.id, axis=AXIS, value="attend", annotator="ann") for t in tubelets[:3]]
        catalogue.add_annotations(spans)
        yield catalogue, [t.id for t in tubelets]


def state(catalogue, tubelet):
    label = next(label for label in catalogue.current_labels(AXIS) if label.tubelet_id == tubelet)
    return label.span.value, label.dropped


def test_drop_is_one_row_for_each_label(labelled):
    catalogue, ids = labelled
    before = datetime.now(UTC)
    made = record_verdict(catalogue, ids[:2], AXIS, "drop", curator="cy")
    assert catalogue.list_verdicts(AXIS) == made
    assert [(v.tubelet_id, v.kind, v.curator, v.value) for v in made] == [(t, "drop", "cy", None) for t in ids[:2]]
    assert before <= datetime.fromisoformat(made[0].made_at) <= datetime.now(UTC)
    assert [state(catalogue, t) for t in ids[:3]] == [("attend", True), ("attend", True), ("attend", False)]


def test_relabel_changes_the_value_and_names_the_curator(labelled):
    catalogue, ids = labelled
    record_verdict(catalogue, [ids[0]], AXIS, "relabel", value="write", curator="cy", taxonomy=load_taxonomy("learning-behaviours"))
    label = next(label for label in catalogue.current_labels(AXIS) if label.tubelet_id == ids[0])
    assert (label.span.value, label.span.annotator, label.original.value) == ("write", "cy", "attend")


def test_undo_brings_back_the_decision_before(labelled):
    catalogue, ids = labelled
    record_verdict(catalogue, [ids[0]], AXIS, "relabel", value="write", curator="cy")
    record_verdict(catalogue, [ids[0]], AXIS, "drop", curator="cy")
    assert state(catalogue, ids[0]) == ("attend", True)
    record_verdict(catalogue, [ids[0]], AXIS, "undo", curator="di")
    assert state(catalogue, ids[0]) == ("write", False)
    record_verdict(catalogue, [ids[0]], AXIS, "undo", curator="di")
    assert state(catalogue, ids[0]) == ("attend", False)
    assert [v.kind for v in catalogue.list_verdicts(AXIS)] == ["relabel", "drop", "undo", "undo"]


def test_the_same_decision_twice_is_one_row(labelled):
    catalogue, ids = labelled
    record_verdict(catalogue, [ids[0]], AXIS, "drop", curator="cy")
    assert [v.tubelet_id for v in record_verdict(catalogue, ids[:2], AXIS, "drop", curator="cy")] == [ids[1]]
    assert record_verdict(catalogue, [ids[1], ids[1]], AXIS, "drop", curator="di") == []
    assert len(record_verdict(catalogue, [ids[1], ids[1]], AXIS, "keep", curator="di")) == 1
    assert len(catalogue.list_verdicts(AXIS)) == 3


@pytest.mark.parametrize(
    ("pick", "kind", "value", "error", "match"),
    [
        ([], "drop", None, NotEnoughData, "labels to decide on: need at least 1, have 0"),
        ([0, 3], "drop", None, UnknownName, "unknown label on axis behaviour: tubelet 'tub_"),
        ([0, 1], "undo", None, InvalidField, "undo: expected a label with a verdict to take back"),
        ([0], "relabel", None, InvalidField, "verdict.value: expected a value for relabel"),
        ([0], "relabel", "dance", UnknownName, "unknown value of axis behaviour 'dance'; known: attend, write"),
        ([0], "keep", "write", InvalidField, "verdict.value"),
        ([0], "burn", None, InvalidField, "verdict.kind: expected drop, relabel, keep, ambiguous or undo, got burn"),
    ],
)
def test_a_refusal_names_the_cause_and_writes_nothing(labelled, pick, kind, value, error, match):
    catalogue, ids = labelled
    record_verdict(catalogue, [ids[0]], AXIS, "keep", curator="cy")
    digest = catalogue.digest()
    with pytest.raises(error, match=match):
        record_verdict(
            catalogue, [ids[i] for i in pick], AXIS, kind, value=value, curator="cy", taxonomy=load_taxonomy("learning-behaviours")
        )
    assert catalogue.digest() == digest
    assert len(catalogue.list_verdicts()) == 1


def test_an_unknown_axis_is_refused(labelled):
    catalogue, ids = labelled
    with pytest.raises(UnknownName, match="unknown axis 'mood'"):
        record_verdict(catalogue, ids[:1], "mood", "drop", taxonomy=load_taxonomy("learning-behaviours"))


def test_undo_last_takes_back_whole_decisions_newest_first(labelled):
    catalogue, ids = labelled
    record_verdict(catalogue, ids[:2], AXIS, "relabel", value="write", curator="cy")
    record_verdict(catalogue, ids[1:3], AXIS, "drop", curator="di")
    undone = undo_last(catalogue, curator="cy")
    assert {v.tubelet_id for v in undone} == set(ids[1:3])
    assert [state(catalogue, t) for t in ids[:3]] == [("write", False), ("write", False), ("attend", False)]
    undo_last(catalogue, curator="cy")
    assert [state(catalogue, t) for t in ids[:3]] == [("attend", False)] * 3


def test_undo_last_can_take_back_two_decisions_on_one_label_at_once(labelled):
    catalogue, ids = labelled
    record_verdict(catalogue, ids[:1], AXIS, "relabel", value="write", curator="cy")
    record_verdict(catalogue, ids[:1], AXIS, "drop", curator="cy")
    assert len(undo_last(catalogue, 2, curator="cy")) == 2
    assert state(catalogue, ids[0]) == ("attend", False)


def test_undo_last_with_too_little_to_undo_writes_nothing(labelled):
    catalogue, ids = labelled
    record_verdict(catalogue, ids[:1], AXIS, "drop", curator="cy")
    with pytest.raises(NotEnoughData, match="decisions to take back: need at least 2, have 1"):
        undo_last(catalogue, 2)
    with pytest.raises(InvalidField, match="last: expected a number of 1 or more, got 0"):
        undo_last(catalogue, 0)
    assert len(catalogue.list_verdicts()) == 1


def test_list_standing_agrees_with_the_catalogue_on_every_short_history():
    """All sequences of four clicks on one label: what stands last is what the catalogue resolves the label to."""
    span = HumanSpan(tubelet_id="tub_1", axis=AXIS, value="attend", annotator="ann")
    for kinds in itertools.product(("drop", "keep", "undo"), repeat=4):
        history = [
            Verdict(tubelet_id="tub_1", axis=AXIS, kind=kind, curator="c", made_at=f"2026-01-01T00:00:0{i}+00:00")
            for i, kind in enumerate(kinds)
        ]
        standing = list_standing(history).get(("tub_1", AXIS), [None])
        assert standing[-1] == resolve_labels([span], history)[0].verdict, kinds


def test_the_curator_is_named_by_parameter_environment_or_account(monkeypatch):
    monkeypatch.setenv("CURATE_CURATOR", "env")
    assert find_curator("me") == "me"
    assert find_curator() == "env"
    monkeypatch.delenv("CURATE_CURATOR")
    monkeypatch.setenv("LOGNAME", "account")
    assert find_curator() == "account"
    with pytest.raises(InvalidField, match="curator"):
        find_curator(" me ")
