"""One contract, two databases: what goes in comes out, once, in order, whole."""

from __future__ import annotations

import time

import pytest
from attrs import evolve
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from curation.store import Catalogue
from curation.store.catalogue import RECORD_TABLES
from curation.store.tables import APPEND_ONLY
from schemas.errors import InvalidField, UnknownName
from schemas.records import Tubelet
from schemas.scores import Fault


class TestMedia:
    def test_clips_come_back_as_they_went_in(self, catalogue, maker):
        clips = [
            maker.clip("b", seats=("ann", "böb"), context={"location": "room 1", "time": "10:00"}, camera="front", school="süd"),
            maker.clip("a", n_frames=1),
        ]
        assert catalogue.add_clips(clips) == 2
        assert catalogue.add_clips([*clips, maker.clip("c")]) == 1
        assert catalogue.list_clips() == sorted([*clips, maker.clip("c")], key=lambda clip: clip.id)
        assert catalogue.get_clip(clips[0].id) == clips[0]

    def test_an_unknown_clip_is_named(self, catalogue, maker):
        catalogue.add_clips([maker.clip()])
        with pytest.raises(UnknownName, match=rf"unknown clip 'nope'; known: {maker.clip().id}"):
            catalogue.get_clip("nope")

    def test_nothing_to_add_is_fine(self, catalogue):
        assert (catalogue.add_clips([]), catalogue.add_tracks([], []), catalogue.add_annotations([])) == (0, 0, 0)
        assert (catalogue.list_clips(), catalogue.list_tubelets(), catalogue.describe_tubelets()) == ([], [], {})

    def test_a_clip_is_committed_whole_and_once(self, catalogue, maker):
        clip = maker.clip()
        catalogue.add_clips([clip])
        tracks = [maker.track(clip, student="ann"), maker.track(clip, place=1)]
        tubelets = [t for track in tracks for t in maker.tubelets(track)]
        predictions = [maker.prediction(t.id) for t in tubelets]
        digests = set()
        for _ in range(2):
            catalogue.commit_clip(clip.id, pipeline="p-1", tracks=tracks, tubelets=tubelets, predictions=predictions)
            digests.add(catalogue.digest())
        assert len(digests) == 1
        assert [(t.id, t.student, t.n_frames, t.first, t.last) for t in catalogue.list_tracks()] == [
            (tracks[0].id, "ann", 6, 0, 25),
            (tracks[1].id, None, 6, 5, 30),
        ]
        assert set(catalogue.list_tubelets(clip.id)) == set(tubelets)
        assert catalogue.list_predictions("behaviour") == predictions
        assert catalogue.list_done("p-1") == {clip.id: None}
        assert catalogue.list_done("p-2") == {}
        assert catalogue.list_tubelets("other") == catalogue.list_tracks("other") == []

    def test_a_problem_is_kept_until_the_clip_goes_well(self, catalogue, maker):
        clip = maker.clip()
        catalogue.add_clips([clip])
        catalogue.commit_clip(clip.id, pipeline="p", tracks=[], tubelets=[], predictions=[], problem="cannot be\x00 decoded")
        assert catalogue.list_done("p") == {clip.id: "cannot be decoded"}
        catalogue.commit_clip(clip.id, pipeline="p", tracks=[], tubelets=[], predictions=[])
        assert catalogue.list_done("p") == {clip.id: None}

    def test_tubelets_are_sorted_by_clip_first_frame_and_track(self, filled):
        tubelets = filled.list_tubelets()
        assert len(tubelets) == 8
        assert tubelets == sorted(tubelets, key=lambda t: (t.clip_id, t.first, t.track_id))
        assert list(filled.describe_tubelets()) == [t.id for t in tubelets]

    def test_a_tubelet_is_described_by_its_lesson_and_student(self, filled, maker):
        lessons = {maker.clip(name).id: f"lesson-{name}" for name in ("one", "two")}
        described = filled.describe_tubelets()
        students = {track.id: track.student for track in filled.list_tracks()}
        assert {entry.student for entry in described.values()} == {"student-0", "student-1"}
        for tubelet in filled.list_tubelets():
            entry = described[tubelet.id]
            assert (entry.tubelet, entry.lesson, entry.student) == (
                tubelet,
                lessons[tubelet.clip_id],
                students[tubelet.track_id],
            )
            assert (entry.camera, entry.school) == ("camera", "school")

    def test_people_drawn_by_annotators_are_added_once(self, filled, maker):
        clip = maker.clip("one")
        track = maker.track(clip, place=7)
        assert filled.add_tracks([track], maker.tubelets(track)) == 2
        assert filled.add_tracks([track], maker.tubelets(track, n=3)) == 1
        assert len(filled.list_tracks(clip.id)) == 3

    def test_a_commit_that_fails_leaves_nothing(self, catalogue, maker):
        clip = maker.clip()
        catalogue.add_clips([clip])
        before = catalogue.digest()
        track = maker.track(clip)
        stray = maker.prediction("tub_stray")
        with pytest.raises(InvalidField, match="tubelet_id: expected an id among the catalogue's tubelets, got tub_stray"):
            catalogue.commit_clip(clip.id, pipeline="p", tracks=[track], tubelets=maker.tubelets(track), predictions=[stray])
        assert catalogue.digest() == before
        assert catalogue.list_tracks() == []

    def test_a_parent_that_is_not_there_is_named(self, catalogue, maker):
        clip = maker.clip()
        with pytest.raises(InvalidField, match=f"clip_id: expected an id among the catalogue's clips, got {clip.id}"):
            catalogue.add_tracks([maker.track(clip)], [])
        catalogue.add_clips([clip])
        with pytest.raises(InvalidField, match="track_id: expected an id among the catalogue's tracks, got trk_x"):
            catalogue.add_tracks([], [Tubelet.of("trk_x", clip.id, 0, 1)])

    def test_a_hundred_thousand_tubelets_take_seconds(self, catalogue, maker):
        clip = maker.clip()
        catalogue.add_clips([clip])
        track = maker.track(clip)
        tubelets = [Tubelet(id=f"tub_{i}", clip_id=clip.id, track_id=track.id, first=i, last=i + 9) for i in range(100_000)]
        start = time.process_time()
        assert catalogue.add_tracks([track], tubelets) == 100_000
        assert time.process_time() - start < 10
        assert catalogue.add_tracks([track], tubelets[:10]) == 0


class TestPredictions:
    def test_the_newest_added_wins_unless_a_version_is_asked_for(self, filled, maker):
        a, b = filled.ids[:2]
        first, second = maker.prediction(a, version="1"), maker.prediction(a, "write", version="2", p=0.6)
        other = maker.prediction(b, version="1", p=1 / 3)
        assert filled.add_predictions([first, other]) == 2
        assert filled.add_predictions([second]) == 1
        assert filled.list_predictions("behaviour") == [other, second]
        assert filled.list_predictions("behaviour", version="1") == [first, other]
        assert filled.list_predictions("behaviour", model="net", version="2") == [second]
        assert filled.list_predictions("behaviour", model="nobody") == filled.list_predictions("posture") == []

    def test_one_version_says_one_thing(self, filled, maker):
        said = maker.prediction(filled.ids[0], p=0.9)
        filled.add_predictions([said])
        assert filled.add_predictions([maker.prediction(filled.ids[0], "write")]) == 0
        assert filled.list_predictions("behaviour") == [said]


class TestAnnotations:
    def test_a_label_comes_back_with_its_correction(self, filled, maker):
        clip = maker.clip("one")
        pose = maker.track(clip).pose_px[0]
        span = maker.label(
            filled.ids[0],
            origin="label-studio/3/annotations/17",
            made_at="2026-01-01T10:00:00Z",
            from_predicted="prd_1",
            frame=12,
            box_xyxy=(0.1, 2.0, 1 / 3, 1e3),
            pose_px=pose,
        )
        plain = maker.label(filled.ids[1], "write", axis="posture")
        assert filled.add_annotations([span, plain]) == 2
        assert filled.add_annotations([span]) == 0
        assert filled.list_annotations() == [span, plain]
        assert filled.list_annotations("posture") == [plain]

    def test_current_labels_join_annotations_and_verdicts(self, filled, maker):
        a, b, c = filled.ids[:3]
        filled.add_annotations([maker.label(i) for i in (c, a, b)])
        drop, relabel = maker.verdict(a, "drop"), maker.verdict(b, "relabel", "write", at=1)
        for verdict in (drop, relabel, maker.verdict(filled.ids[5], "drop"), maker.verdict(c, axis="posture")):
            filled.add_verdict(verdict)
        labels = {label.tubelet_id: label for label in filled.current_labels("behaviour")}
        assert list(labels) == sorted([a, b, c])
        assert (labels[a].dropped, labels[a].verdict, labels[a].span.value) == (True, drop, "read")
        assert (labels[b].span.value, labels[b].span.annotator, labels[b].span.origin) == ("write", "cur", f"verdict/{relabel.id}")
        assert labels[b].original == maker.label(b)
        assert (labels[c].verdict, labels[c].dropped, labels[c].span) == (None, False, maker.label(c))


class TestScores:
    def test_the_newest_run_comes_most_suspect_first(self, filled, maker):
        a, b, c = filled.ids[:3]
        filled.add_scores([maker.score(a, 1.0)], run="r1")
        bad = Fault(part="left_wrist", kind="stretched", times=2.4, frame=8, first=7, last=9, second=1.28, beside="left_elbow")
        faults = (bad, Fault(part="box", kind="outside", times=0.6, frame=3, first=3, last=3))
        said = {"wrong": 0.125, "kind": "ambiguous", "reason": "1 of 3 models says write, labelled read", "faults": faults}
        newest = [maker.score(a, 0.25), evolve(maker.score(b, 0.75), **said), maker.score(c, 0.75, loss=2.0)]
        assert filled.add_scores(newest, run="r2") == 3
        assert filled.add_scores(newest, run="r2") == 0
        assert filled.list_scores("behaviour") == [newest[2], newest[1], newest[0]]
        assert filled.list_scores("behaviour", run="r1") == [maker.score(a, 1.0)]
        assert filled.list_scores("posture") == filled.list_scores("behaviour", method="none") == []

    def test_methods_are_never_mixed(self, filled, maker):
        a, b = filled.ids[:2]
        losses = [maker.score(i, 0.5) for i in (a, b)]
        margins = [maker.score(i, 0.9, method="margin", loss=float("inf")) for i in (a, b)]
        filled.add_scores(losses, run="r1")
        filled.add_scores(margins, run="r1")
        assert {s.method for s in filled.list_scores("behaviour")} == {"margin"}
        assert {s.method for s in filled.list_scores("behaviour", method="loss")} == {"loss"}
        assert set(filled.list_scores("behaviour", run="r1")) == set(margins)


class TestVerdicts:
    def test_they_keep_their_order_and_come_once(self, filled, maker):
        verdicts = [
            maker.verdict(filled.ids[0], kind, "write" if kind == "relabel" else None, at=at)
            for at, kind in enumerate(("drop", "undo", "relabel", "keep", "drop"))
        ]
        verdicts.append(maker.verdict(filled.ids[0], at=0, axis="posture"))
        assert [filled.add_verdict(v) for v in verdicts] == [True] * 6
        assert filled.add_verdict(verdicts[0]) is False
        assert filled.list_verdicts() == verdicts
        assert filled.list_verdicts("posture") == verdicts[-1:]


class TestRecords:
    @pytest.mark.parametrize("table", RECORD_TABLES)
    def test_each_table_keeps_payloads_in_order(self, catalogue, table):
        payloads = [{"id": "b", "n": 1, "share": 1 / 3}, {"id": "a", "list": [1, None, {"ä": True}]}]
        assert [catalogue.append_record(table, p["id"], p) for p in payloads] == [True, True]
        assert catalogue.append_record(table, "a", {"other": 1}) is False
        assert catalogue.list_records(table) == payloads

    def test_tables_do_not_share_ids(self, catalogue):
        assert catalogue.append_record("models", "x", {}) is True
        assert catalogue.append_record("rounds", "x", {"n": 1}) is True
        assert catalogue.list_records("models") == [{}]

    def test_what_cannot_be_kept_is_refused(self, catalogue):
        with pytest.raises(UnknownName, match="unknown record table 'clips'"):
            catalogue.append_record("clips", "x", {})
        with pytest.raises(UnknownName, match="unknown record table 'labels'"):
            catalogue.list_records("labels")
        with pytest.raises(InvalidField, match=r"record\.payload: expected what JSON can hold"):
            catalogue.append_record("models", "x", {"set": {1}})
        with pytest.raises(InvalidField, match=r"record\.id"):
            catalogue.append_record("models", "", {})


class TestAppendOnly:
    @pytest.fixture
    def said(self, filled, maker):
        filled.add_annotations([maker.label(filled.ids[0])])
        filled.add_verdict(maker.verdict(filled.ids[0]))
        filled.append_record("rounds", "1", {"n": 1})
        return filled

    @pytest.mark.parametrize("table", APPEND_ONLY)
    @pytest.mark.parametrize("statement", ["UPDATE {} SET id = 'x'", "DELETE FROM {}"])
    def test_the_database_itself_refuses_change(self, said, table, statement):
        before = said.digest()
        with pytest.raises(DBAPIError, match=f"{table} is append-only"), said._database.engine.begin() as connection:
            connection.execute(text(statement.format(table)))
        assert said.digest() == before

    @pytest.mark.parametrize("table", APPEND_ONLY)
    def test_it_cannot_be_emptied_or_replaced_either(self, said, table):
        before = said.digest()
        sqlite = said._database.engine.dialect.name == "sqlite"
        trick = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}" if sqlite else f"TRUNCATE {table}"
        with pytest.raises(DBAPIError, match=f"{table} is append-only"), said._database.engine.begin() as connection:
            connection.execute(text(trick))
        assert said.digest() == before

    def test_what_is_labelled_cannot_be_deleted(self, said):
        with pytest.raises(DBAPIError, match=r"(?i)foreign key"), said._database.engine.begin() as connection:
            connection.execute(text("DELETE FROM tubelets"))


class TestDigest:
    def test_it_does_not_depend_on_the_order_of_adding(self, catalogue, maker, tmp_path):
        clips = [maker.clip(name) for name in "abc"]
        catalogue.add_clips(clips)
        with Catalogue.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
            for clip in reversed(clips):
                other.add_clips([clip])
            assert other.digest() == catalogue.digest()
            other.add_clips([maker.clip("d")])
            assert other.digest() != catalogue.digest()

    def test_it_does_not_depend_on_when_and_where(self, filled, maker, tmp_path):
        with Catalogue.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
            other.add_clips([evolve(clip, uri=f"/elsewhere{clip.uri}") for clip in filled.list_clips()])
            for clip in filled.list_clips():
                tracks = [maker.track(clip, place=i, student=f"student-{i}") for i in range(2)]
                tubelets = filled.list_tubelets(clip.id)
                other.commit_clip(clip.id, pipeline="test-1", tracks=tracks, tubelets=tubelets, predictions=[])
            for at, catalogue in enumerate((filled, other)):
                catalogue.add_annotations([maker.label(filled.ids[0], made_at=f"2026-01-0{at + 1}T00:00:00Z")])
                catalogue.add_verdict(maker.verdict(filled.ids[0], at=at))
                catalogue.append_record("rounds", "1", {"n": 1, "made_at": str(at)})
            assert other.digest() == filled.digest()

    def test_every_statement_changes_it(self, filled, maker):
        seen = {filled.digest()}
        tubelet = filled.ids[0]
        steps = [
            lambda: filled.add_annotations([maker.label(tubelet)]),
            lambda: filled.add_annotations([maker.label(tubelet, "write", frame=3)]),
            lambda: filled.add_predictions([maker.prediction(tubelet)]),
            lambda: filled.add_scores([maker.score(tubelet, 0.5)], run="r"),
            lambda: filled.add_verdict(maker.verdict(tubelet)),
            lambda: filled.add_verdict(maker.verdict(tubelet, at=1)),
            lambda: filled.add_verdict(maker.verdict(tubelet, "undo", at=2)),
            lambda: filled.append_record("models", "m", {"f1": 0.5}),
        ]
        for step in steps:
            step()
            seen.add(filled.digest())
        assert len(seen) == len(steps) + 1

    def test_the_order_of_verdicts_counts(self, filled, maker, tmp_path):
        a = filled.ids[0]
        filled.add_verdict(maker.verdict(a, "drop", at=0))
        filled.add_verdict(maker.verdict(a, "undo", at=1))
        first = filled.digest()
        filled.add_verdict(maker.verdict(a, "undo", at=2))
        filled.add_verdict(maker.verdict(a, "drop", at=3))
        assert filled.digest() != first
