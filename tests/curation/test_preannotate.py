"""People, tubelets and proposals of rendered lessons, by the real models; resuming; clips that cannot be worked on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from fixtures_media import run_curate

from curation.config import Config, Preannotation, create_workspace
from curation.ingest import add_media
from curation.preannotate import name_pipeline, preannotate, repropose
from curation.proposals import load_proposer
from curation.recording import find_student, make_tracks
from curation.render.truth import read_truth, truth_path
from curation.store import ArrayStore, Catalogue
from schemas.errors import UnknownName
from schemas.records import Clip, PoseTrack, Seat

SETTINGS = Config(preannotation=Preannotation(workers=1))


class Place:
    """A workspace with its catalogue and arrays open."""

    def __init__(self, root: Path) -> None:
        self.workspace = create_workspace(root, SETTINGS)
        self.catalogue = Catalogue.open(self.workspace.catalogue_url)
        self.arrays = ArrayStore(self.workspace.folder("arrays"))

    def run(self, model, **options):
        return preannotate(self.workspace, self.catalogue, self.arrays, proposer=load_proposer(model), **options)

    def digest(self):
        return self.catalogue.digest(), self.arrays.digest()


@pytest.fixture
def place(tmp_path):
    opened = Place(tmp_path / "work")
    yield opened
    opened.catalogue.close()


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_lessons, small_model):
    """Two lessons, preannotated without interruption."""
    opened = Place(tmp_path_factory.mktemp("done") / "work")
    add_media(opened.workspace, opened.catalogue, tiny_lessons[:2])
    seen = []
    opened.result = opened.run(small_model, progress=seen.append)
    opened.seen = seen
    yield opened
    opened.catalogue.close()


def test_everybody_is_found_followed_and_named(done, tiny_lessons):
    assert (done.result.clips, done.result.people, done.result.tubelets, done.result.proposals) == (2, 4, 8, 8)
    assert done.result.set_aside == []
    for path in tiny_lessons[:2]:
        (clip,) = [clip for clip in done.catalogue.list_clips() if clip.uri == str(path)]
        truth = read_truth(truth_path(path))
        tracks = {track.student: track for track in done.arrays.read_tracks(clip.id)}
        assert sorted(tracks) == sorted(truth.student)
        for person, student in enumerate(truth.student):
            track = tracks[student]
            assert len(track.frames) >= 20
            centre = (track.boxes_xyxy[:, :2] + track.boxes_xyxy[:, 2:]) / 2
            there = truth.boxes[track.frames, person]
            assert ((centre > there[:, :2]) & (centre < there[:, 2:])).all(axis=1).mean() > 0.9
            shoulders = truth.pose[track.frames, person][:, 11:13, :2]
            off = np.linalg.norm(track.pose_px[:, 11:13, :2] - shoulders, axis=2)
            assert np.median(off) < 0.2 * np.median(there[:, 3] - there[:, 1])


def test_every_tubelet_has_a_proposal_of_the_given_model(done, small_model):
    proposer = load_proposer(small_model)
    spans = done.catalogue.list_predictions("behaviour")
    assert {span.tubelet_id for span in spans} == {tubelet.id for tubelet in done.catalogue.list_tubelets()}
    assert {(span.model, span.version) for span in spans} == {("logreg", proposer.version)}
    assert sorted({(tubelet.first, tubelet.last) for tubelet in done.catalogue.list_tubelets()}) == [(0, 22), (24, 46)]


def test_progress_counts_frames_clips_and_people(done):
    last = done.seen[-1]
    assert (last.frames, last.n_frames, last.clips, last.n_clips, last.people) == (48, 48, 2, 2, 4)
    assert [state.frames for state in done.seen] == sorted(state.frames for state in done.seen)
    assert done.result.frames == 48


def test_a_second_run_does_nothing(done, small_model):
    before = done.digest()
    again = done.run(small_model)
    assert (again.clips, again.there, again.people) == (0, 2, 0)
    assert done.digest() == before


def test_reproposing_adds_the_other_models_proposals_once(done, small_model):
    class Other:
        name, classes = "other", load_proposer(small_model).model.classes

        def predict_proba(self, pose):
            return np.tile(np.eye(8)[3], (len(pose), 1))

    import attrs

    other = attrs.evolve(load_proposer(small_model), model=Other(), name="other", version="ffffffffffff")
    before = done.arrays.digest()
    assert repropose(done.workspace, done.catalogue, done.arrays, proposer=other) == 8
    assert repropose(done.workspace, done.catalogue, done.arrays, proposer=other) == 0
    assert {span.model for span in done.catalogue.list_predictions("behaviour")} == {"other"}
    assert len(done.catalogue.list_predictions("behaviour", model="logreg")) == 8
    assert done.arrays.digest() == before


def test_the_command_says_what_was_done_and_reproposes(done, small_model):
    before = done.digest()
    said = run_curate("preannotate", "-w", done.workspace.root, "--model", small_model, "--json")
    assert said.returncode == 0, said.stderr
    assert {**json.loads(said.stdout), "seconds": 0} == {
        "clips": 0, "there": 2, "people": 0, "tubelets": 0, "proposals": 0, "frames": 0, "seconds": 0, "set_aside": [], "faces": 0,
        "hands": 0,
    }  # fmt: skip
    said = run_curate("preannotate", "-w", done.workspace.root, "--model", small_model, "--repropose")
    assert said.stdout == f"0 new proposals by logreg {load_proposer(small_model).version}\n"
    assert done.digest() == before


def test_workers_and_order_of_adding_change_nothing(place, done, tiny_lessons, small_model):
    add_media(place.workspace, place.catalogue, [tiny_lessons[1]])
    place.run(small_model)
    add_media(place.workspace, place.catalogue, [tiny_lessons[0]])
    place.run(small_model, workers=2)
    assert place.arrays.digest() == done.arrays.digest()
    assert place.catalogue.list_tubelets() == done.catalogue.list_tubelets()
    ours = place.catalogue.list_predictions("behaviour")
    theirs = done.catalogue.list_predictions("behaviour", model="logreg")
    assert sorted(ours, key=lambda span: span.id) == sorted(theirs, key=lambda span: span.id)


def test_a_clip_that_cannot_be_worked_on_is_set_aside_and_tried_again(place, tiny_lessons, small_model, tmp_path):
    gone, changed = (Path(shutil.copy(path, tmp_path)) for path in tiny_lessons[1:])
    add_media(place.workspace, place.catalogue, [tiny_lessons[0], gone, changed])
    whole = gone.read_bytes()
    gone.unlink()
    with changed.open("ab") as stream:
        stream.write(b"x")
    result = place.run(small_model)
    assert (result.clips, result.people) == (1, 2)
    assert sorted(result.set_aside) == sorted(
        [(str(gone), "no such file"), (str(changed), "has changed since it was added; add it again")]
    )
    problems = place.catalogue.list_done(name_pipeline(SETTINGS.preannotation))
    assert sorted(filter(None, problems.values())) == ["has changed since it was added; add it again", "no such file"]
    gone.write_bytes(whole)
    again = place.run(small_model)
    assert (again.clips, again.there, len(again.set_aside)) == (1, 1, 1)


def test_an_empty_workspace_and_unknown_names(place, small_model):
    assert place.run(small_model).clips == 0
    with pytest.raises(UnknownName, match="unknown engine 'moon'; known: local, ray"):
        place.run(small_model, engine="moon")
    for setting, message in (
        ("detector", "unknown people detector 'radar'; known: "),
        ("tracker", "unknown people tracker 'radar'"),
    ):
        other = create_workspace(place.workspace.root.with_name(setting), Config(preannotation=Preannotation(**{setting: "radar"})))
        with pytest.raises(UnknownName, match=message):
            preannotate(other, place.catalogue, place.arrays, proposer=load_proposer(small_model))


def test_another_tracker_is_another_pipeline():
    names = {name_pipeline(Preannotation(tracker=name)) for name in ("landmarks", "bytetrack", "oc-sort")}
    assert len(names) == 3
    assert name_pipeline(Preannotation()) in names
    assert name_pipeline(Preannotation(pose="heavy")) not in names


DYING = """
import os, signal, sys
from curation.config import open_workspace
from curation.preannotate import preannotate
from curation.proposals import load_proposer
from curation.store import ArrayStore, Catalogue

class Dying(ArrayStore):
    def write_part(self, clip_id, number, tracks):
        super().write_part(clip_id, number, tracks)
        if sys.argv[3] == f"part {number}":
            os.kill(os.getpid(), signal.SIGKILL)

    def join_parts(self, clip_id, students):
        super().join_parts(clip_id, students)
        if sys.argv[3] == "whole":
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    workspace = open_workspace(sys.argv[1])
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        preannotate(workspace, catalogue, Dying(workspace.folder("arrays")), proposer=load_proposer(sys.argv[2]))
"""


@pytest.mark.parametrize(("moment", "n_files", "n_tubelets"), [("part 0", 0, 0), ("part 1", 0, 2), ("whole", 1, 4)])
def test_dying_between_arrays_and_rows_loses_nothing(place, done, tiny_lessons, small_model, tmp_path, moment, n_files, n_tubelets):
    add_media(place.workspace, place.catalogue, tiny_lessons[:2])
    script = tmp_path / "dying.py"
    script.write_text(textwrap.dedent(DYING))
    assert subprocess.run([sys.executable, script, place.workspace.root, small_model, moment], check=False).returncode == -9
    assert len(place.arrays.list_clip_ids()) == n_files
    tubelets = place.catalogue.list_tubelets()
    assert len(tubelets) == n_tubelets
    assert {t.track_id for t in tubelets} <= {track.id for t in tubelets for track in place.arrays.read_tracks(t.clip_id)}
    assert place.run(small_model).clips == 2
    assert place.arrays.digest() == done.arrays.digest()
    assert place.catalogue.list_tubelets() == done.catalogue.list_tubelets()
    assert not list((place.workspace.root / "arrays").rglob("parts/*"))


SEATS = (Seat(student="ann", box_xyxy=(0, 0, 100, 100)), Seat(student="ben", box_xyxy=(80, 0, 180, 100)))


def _boxes(*centres):
    return np.array([[x - 5, y - 5, x + 5, y + 5] for x, y in centres], np.float32)


@pytest.mark.parametrize(
    ("centres", "student"),
    [
        ([(50, 50), (60, 50)], "ann"),
        ([(85, 50)], "ann"),
        ([(95, 50)], "ben"),
        ([(50, 50), (150, 50), (150, 50)], "ben"),
        ([(50, 50), (150, 50)], None),
        ([(50, 50), (500, 50), (500, 50)], None),
        ([(500, 50)], None),
    ],
)
def test_a_student_is_who_sits_there_in_most_frames(centres, student):
    assert find_student(_boxes(*centres), SEATS) == student


def test_without_seats_nobody_has_a_name():
    assert find_student(_boxes((50, 50)), ()) is None


def test_tracks_get_content_ids_in_order_of_appearance():
    from backends.people.base import PersonTrack

    clip = Clip(
        id="clip_a", uri="a", sha256="0", n_frames=9, fps=1, width=99, height=99, timestamps=np.arange(9.0), lesson="a", seats=SEATS
    )

    def person(start, x):
        return PersonTrack(
            number=start,
            frames=[start, start + 1],
            boxes_xyxy=_boxes((x, 50), (x, 50)),
            pose_px=np.zeros((2, 33, 4)),
            scores=[1, 1],
        )

    late, early = make_tracks(clip, [person(4, 150), person(0, 50)], "pipe")[::-1]
    assert (early.start_frame, early.student, late.start_frame, late.student) == (0, "ann", 4, "ben")
    assert early.id == PoseTrack.compute_id("clip_a", 0, np.array([45, 45, 55, 55]), "pipe")


def test_filled_frames_are_marked_in_the_track_and_have_no_vote_on_who_it_is():
    from backends.people.base import PersonTrack

    clip = Clip(
        id="clip_a", uri="a", sha256="0", n_frames=9, fps=1, width=99, height=99, timestamps=np.arange(9.0), lesson="a", seats=SEATS
    )
    found = PersonTrack(
        frames=range(6),
        boxes_xyxy=_boxes((50, 50), (150, 50), (150, 50), (150, 50), (50, 50), (50, 50)),
        pose_px=np.zeros((6, 33, 4)),
        scores=[1, 0, 0, 0, 1, 1],
        filled=[False, True, True, True, False, False],
    )
    (track,) = make_tracks(clip, [found], "pipe")
    assert track.filled.tolist() == found.filled.tolist()
    assert track.student == "ann"
