"""Faults of a sequence file and of a workspace's tracks: at which frame and time of the clip, and in what the commands write."""

import csv
import json
from itertools import pairwise

import numpy as np
import pytest
from attrs import evolve
from click.testing import CliRunner

from curation.cli import cli
from curation.render.simulate import simulate_poses
from curation.scoring.watch import inspect_sequences, inspect_tubelets
from curation.scoring.workspace import score_workspace
from curation.sequences import collect_sequences
from schemas.sequences import write_sequences
from schemas.vocabulary import BLAZEPOSE_33

WRIST = BLAZEPOSE_33.nodes.index("left_wrist")


@pytest.fixture
def only_logreg(monkeypatch):
    """Train nothing but the workspace's own model, which takes no time."""
    monkeypatch.setattr("curation.scoring.workspace.JUDGES", ())


@pytest.fixture(scope="module")
def lessons():
    """Rendered sequences without an estimator's errors; the wrist of one is far off in one frame."""
    sequences = simulate_poses(seed=210, lessons=3, seconds=8.0, window=2.0, fps=6.0, noise=0.0)
    pose = sequences.pose.copy()
    row = int(np.flatnonzero((pose[:, :, WRIST, 3] > 0.5).all(axis=1))[0])
    pose[row, 4, WRIST, :2] += (0, 250)
    return evolve(sequences, pose=pose), row


def test_sequences_say_which_keypoint_when(lessons):
    sequences, row = lessons
    found = inspect_sequences(sequences)
    assert [i for i, faults in enumerate(found) if faults] == [row]
    (fault,) = found[row]
    assert (fault.part, fault.frame, fault.second) == ("left_wrist", 4, 0.667)
    assert inspect_sequences(evolve(sequences, skeleton=None)) is None
    assert inspect_sequences(evolve(sequences, fps=None))[row][0].second is None


def read_rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_rank_names_the_keypoint_beside_the_reason(lessons, tmp_path):
    sequences, row = lessons
    write_sequences(tmp_path / "s.npz", sequences)
    words = ["rank", "--sequences", str(tmp_path / "s.npz"), "--model", "logreg", "--folds", "3", "--json"]
    done = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "r.csv"), "--faults", str(tmp_path / "f.csv")])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["faulty"], said["faults"]) == (1, 1)
    rows = read_rows(tmp_path / "r.csv")
    assert list(rows[0]) == ["index", "label", "suggested", "score", "loss", "wrong", "kind", "reason", "faults"]
    told = {int(one["index"]): one["faults"] for one in rows}
    assert told[row].startswith("left_wrist at 0.7 s: ")
    assert {index for index, text in told.items() if text} == {row}
    (fault,) = read_rows(tmp_path / "f.csv")
    assert list(fault) == ["index", "part", "kind", "times", "beside", "frame", "first", "last", "second", "said"]
    assert (int(fault["index"]), fault["part"], fault["frame"], fault["second"]) == (row, "left_wrist", "4", "0.667")
    assert fault["said"] == told[row]


def test_rank_without_a_skeleton_has_no_such_column(lessons, tmp_path):
    write_sequences(tmp_path / "s.npz", evolve(lessons[0], skeleton=None))
    words = ["rank", "--sequences", str(tmp_path / "s.npz"), "--model", "logreg", "--folds", "3", "--method", "loss"]
    done = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "r.csv"), "--faults", str(tmp_path / "f.csv")])
    assert done.exit_code == 0, done.output
    assert list(read_rows(tmp_path / "r.csv")[0]) == ["index", "label", "suggested", "score", "loss"]
    assert read_rows(tmp_path / "f.csv") == []
    refused = CliRunner().invoke(cli, ["rank", "--labels", "y", "--probs", "p", "--out", "o", "--faults", "f"])
    assert (refused.exit_code, "--faults looks at poses" in refused.output) == (2, True)


def spoil(school, change):
    """Apply `change` to the first lesson's second track, (pose, boxes) in place; return the track as it was."""
    clip_id = school.pairs["lesson-0"][0][0].clip_id
    good, bad = school.arrays.read_tracks(clip_id)
    pose, boxes = bad.pose_px.copy(), bad.boxes_xyxy.copy()
    filled = change(pose, boxes)
    more = {} if filled is None else {"filled": np.isin(np.arange(len(pose)), filled)}
    school.arrays.write_tracks(clip_id, [good, evolve(bad, pose_px=pose, boxes_xyxy=boxes, **more)])
    return bad


def inspect(school):
    tubelets = school.catalogue.list_tubelets()
    sequences = collect_sequences(*school.all, [t.id for t in tubelets], ["attend"] * len(tubelets))
    found = inspect_tubelets(school.catalogue, school.arrays, tubelets, sequences)
    return {
        (tubelet.track_id, fault.part, fault.frame): fault for tubelet, own in zip(tubelets, found, strict=True) for fault in own
    }


def test_tubelets_say_it_with_the_clips_own_frames_and_times(make_school):
    school = make_school(2)
    assert inspect(school) == {}

    def change(pose, boxes):
        pose[29, WRIST, :2] += 500
        boxes[50:53] += 1000

    bad = spoil(school, change)
    found = inspect(school)
    assert set(found) == {(bad.id, "left_wrist", 29), (bad.id, "box", 50)}
    wrist, box = found[bad.id, "left_wrist", 29], found[bad.id, "box", 50]
    assert (wrist.second, wrist.first, wrist.last) == (pytest.approx(29 / 6, abs=1e-3), 29, 29)
    assert (box.kind, box.times, box.first, box.last) == ("outside", 1.0, 50, 52)


def test_a_hidden_persons_guessed_pose_is_not_judged(make_school):
    school = make_school(2)

    def change(pose, boxes):
        pose[29, WRIST, :2] += 500
        return [29]

    spoil(school, change)
    assert inspect(school) == {}


def test_scores_keep_the_faults_and_the_command_writes_them(make_school, only_logreg, tmp_path):
    school = make_school(4)

    def change(pose, boxes):
        pose[29, WRIST, :2] += 500

    bad = spoil(school, change)
    result = score_workspace(*school.all)
    (faulty,) = [score for score in result.scores if score.faults]
    tubelet = {t.id: t for t in school.catalogue.list_tubelets()}[faulty.tubelet_id]
    assert (tubelet.track_id, tubelet.first <= 29 <= tubelet.last) == (bad.id, True)
    assert [(fault.part, fault.frame) for fault in faulty.faults] == [("left_wrist", 29)]
    assert all(score.faults is not None for score in result.scores)
    assert all(a.value >= b.value for a, b in pairwise(result.scores))
    assert {s.tubelet_id: s.faults for s in school.catalogue.list_scores("behaviour")} == {
        s.tubelet_id: s.faults for s in result.scores
    }
    out = tmp_path / "faults.csv"
    done = CliRunner().invoke(cli, ["score", "--workspace", str(school.workspace.root), "--faults", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].endswith("1 with a box or keypoint that cannot be right")
    (row,) = read_rows(out)
    assert (row["tubelet"], row["part"], row["frame"]) == (faulty.tubelet_id, "left_wrist", "29")
