"""What a workspace knows of labels beside poses: on a real catalogue, with values told by hand."""

import numpy as np
import pytest
from attrs import evolve

from curation.scoring.gather import find_timelines, gather_evidence
from curation.scoring.workspace import score_workspace
from curation.store import TubeletContext
from schemas.records import HumanSpan, PredictedSpan, Tubelet, Verdict

VALUES = ("attend", "raise-hand", "sleep", "write")
NOON = "2026-01-01T12:00:00+00:00"


@pytest.fixture
def only_logreg(monkeypatch):
    """Train nothing but the workspace's own model, which takes no time."""
    monkeypatch.setattr("curation.scoring.workspace.JUDGES", ())


def propose(catalogue, pairs, version="1"):
    """Add a proposal for each (tubelet, value); return tubelet id → its id."""
    scores = dict.fromkeys(VALUES, 0.1)
    spans = [
        PredictedSpan(tubelet_id=t.id, axis="behaviour", value=v, model="m", version=version, scores=scores | {v: 0.7})
        for t, v in pairs
    ]
    catalogue.add_predictions(spans)
    return {span.tubelet_id: span.id for span in spans}


def say(catalogue, tubelet, value, annotator, **more):
    fields = {"axis": "behaviour", "origin": f"import/{annotator}", "made_at": NOON} | more
    catalogue.add_annotations([HumanSpan(tubelet_id=tubelet.id, value=value, annotator=annotator, **fields)])


def relabel(catalogue, tubelet, value):
    verdict = Verdict(tubelet_id=tubelet.id, axis="behaviour", kind="relabel", curator="cy", made_at=NOON, value=value)
    catalogue.add_verdict(verdict)


def gather(school):
    labels = school.catalogue.current_labels("behaviour")
    known = gather_evidence(school.catalogue, school.arrays, "behaviour", labels, school.catalogue.describe_tubelets())
    return {label.tubelet_id: i for i, label in enumerate(labels)}, known


def test_nothing_said_beside_the_labels_is_no_evidence(make_school):
    _, known = gather(make_school(1))
    assert known.votes is None
    assert known.proposed is None
    assert known.surprise is None
    assert (known.edits == 0).all()


def test_several_annotators_of_a_tubelet_are_votes(make_school):
    school = make_school(1)
    (first, value), (second, _), (third, true), *_ = school.pairs["lesson-0"]
    say(school.catalogue, first, "write" if value == "attend" else "attend", "bo", made_at="2026-01-01T10:00:00+00:00")
    say(school.catalogue, first, value, "bo")
    say(school.catalogue, second, "discuss", "bo", made_at="2025-01-01T10:00:00+00:00")
    say(school.catalogue, third, "sleep" if true != "sleep" else "write", "bo")
    relabel(school.catalogue, third, true)
    rows, known = gather(school)
    values = sorted({label.span.value for label in school.catalogue.current_labels("behaviour")})
    column = values.index(value)
    assert known.votes.shape[1] == 2
    assert known.votes[rows[first.id]].tolist() == [column, column]
    assert len(values) in known.votes[rows[second.id]]
    assert (known.votes[rows[third.id]] == -1).all()
    alone = [row for row in range(len(rows)) if row not in (rows[first.id], rows[second.id])]
    assert (known.votes[alone] == -1).all()


def test_what_the_annotator_started_from_was_proposed_and_nothing_newer(make_school):
    school = make_school(1, labelled=False)
    pairs = school.pairs["lesson-0"]
    shown = propose(school.catalogue, [(t, pairs[-1][1]) for t, _ in pairs])
    (first, _), (second, _), (third, true), (fourth, _), *_ = pairs
    for tubelet, value in pairs:
        say(school.catalogue, tubelet, value, "ann", from_predicted=None if tubelet is second else shown[tubelet.id])
    propose(school.catalogue, [(first, "write")], version="2")
    relabel(school.catalogue, third, "write" if true != "write" else "sleep")
    rows, known = gather(school)
    values = sorted({label.span.value for label in school.catalogue.current_labels("behaviour")})
    assert known.proposed[rows[first.id]] == known.proposed[rows[fourth.id]] == values.index(pairs[-1][1])
    assert known.proposed[rows[second.id]] == known.proposed[rows[third.id]] == -1


def test_how_far_box_and_skeleton_were_moved_is_known(make_school):
    school = make_school(1, labelled=False)
    (first, a), (second, b), (third, c), *_ = school.pairs["lesson-0"]
    tracks = {track.id: track for track in school.arrays.read_tracks(first.clip_id)}
    x1, y1, x2, y2 = tracks[first.track_id].boxes_xyxy[first.first].tolist()
    say(school.catalogue, first, a, "ann", frame=first.first, box_xyxy=(x1 + (x2 - x1) / 2, y1, x2 + (x2 - x1) / 2, y2))
    pose = tracks[second.track_id].pose_px[second.first].copy()
    pose[:, 0] += 1000
    say(school.catalogue, second, b, "ann", frame=second.first, pose_px=pose)
    say(school.catalogue, third, c, "ann")
    rows, known = gather(school)
    assert known.edits[rows[first.id]] == pytest.approx(1 - 1 / 3, abs=0.01)
    assert known.edits[rows[second.id]] == 1
    assert known.edits[rows[third.id]] == 0


def test_a_box_that_misses_its_pose_is_seen(make_school):
    school = make_school(1)
    clip_id = school.pairs["lesson-0"][0][0].clip_id
    good, bad = school.arrays.read_tracks(clip_id)
    school.arrays.write_tracks(clip_id, [good, evolve(bad, boxes_xyxy=bad.boxes_xyxy + np.float32(400))])
    rows, known = gather(school)
    for tubelet, _ in school.pairs["lesson-0"]:
        assert (known.geometry[rows[tubelet.id]] > 0.5) == (tubelet.track_id == bad.id)


def place(first, *, clip="c", student="s", track="t", length=12):
    tubelet = Tubelet.of(track, clip, first, first + length - 1)
    return TubeletContext(tubelet=tubelet, lesson="l", student=student, camera="c", school="s")


def test_a_timeline_is_one_student_without_pauses():
    contexts = [
        place(24), place(0), place(12, track="u"), place(60), place(0, student=None, track="x"), place(12, student=None, track="y"),
        place(72), place(0, clip="d"), place(60, track="u"),
    ]  # fmt: skip
    found = sorted(rows.tolist() for rows in find_timelines(contexts))
    assert found in ([[1, 2, 0], [3, 6], [4], [5], [7]], [[1, 2, 0], [4], [5], [7], [8, 6]])


def test_evidence_makes_another_run_and_bad_boxes_another_kind(make_school, only_logreg):
    school = make_school(4)
    before = score_workspace(*school.all)
    clip_id = school.pairs["lesson-0"][0][0].clip_id
    good, bad = school.arrays.read_tracks(clip_id)
    school.arrays.write_tracks(clip_id, [good, evolve(bad, boxes_xyxy=bad.boxes_xyxy + np.float32(400))])
    for pairs in school.pairs.values():
        for tubelet, value in pairs:
            say(school.catalogue, tubelet, value, "bo")
    after = score_workspace(*school.all)
    assert after.run != before.run
    assert after.new == len(before.scores)
    missed = {t.id for t, _ in school.pairs["lesson-0"] if t.track_id == bad.id}
    assert {score.tubelet_id for score in after.scores if score.kind == "bad-track"} == missed
    assert score_workspace(*school.all).new == 0


@pytest.fixture
def disputed_school(make_school):
    """Return a workspace in which three annotators started from proposals; one of them disagrees on every eighth tubelet."""
    made = make_school(6, labelled=False)
    everything = sorted((pair for pairs in made.pairs.values() for pair in pairs), key=lambda pair: pair[0].id)
    shown = propose(made.catalogue, everything)
    disputed = {tubelet.id for tubelet, _ in everything[::8]}
    for tubelet, value in everything:
        other = VALUES[VALUES.index(value) - 1]
        for annotator in ("ann", "bo", "cy"):
            said = other if annotator == "cy" and tubelet.id in disputed else value
            say(made.catalogue, tubelet, said, annotator, from_predicted=shown[tubelet.id])
    return made, disputed


def test_labels_are_scored_by_what_annotators_said_of_them(disputed_school, only_logreg):
    school, disputed = disputed_school
    scores = score_workspace(*school.all, method="disagreement").scores
    assert {score.tubelet_id for score in scores[: len(disputed)]} == disputed
    assert {round(score.value, 3) for score in scores} == {0.375, 0.125}


def test_labels_are_scored_by_proposals_and_by_what_follows_what(disputed_school, only_logreg):
    school, _ = disputed_school
    assert {score.value for score in score_workspace(*school.all, method="edit").scores} == {0.0}
    surprises = [score.value for score in score_workspace(*school.all, method="surprise").scores]
    assert len(set(surprises)) > len(surprises) / 2
    assert all(0 <= score.wrong <= 1 for score in score_workspace(*school.all).scores)
