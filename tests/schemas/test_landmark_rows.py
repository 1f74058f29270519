"""Landmark rows as sequences: windows of one label, parts of the file as groups, clear refusals, and real rows where they are."""

from pathlib import Path

import numpy as np
import pytest

from schemas.errors import FormatError
from schemas.landmark_rows import read_landmark_rows
from schemas.sequences import read_sequences
from schemas.vocabulary import BLAZEPOSE_33

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "mediapipe_exercise"
HEADER = "label,nose_x,nose_y,nose_z,nose_v,left_wrist_x,left_wrist_y,left_wrist_z,left_wrist_v"


def write(path, labels, header=HEADER):
    rows = [f"{label},{i},0.5,-0.1,0.9,0.1,0.2,0.3,0.4" for i, label in enumerate(labels)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_windows_lie_inside_stretches_of_one_label(tmp_path):
    found = read_sequences(write(tmp_path / "r.csv", ["up"] * 9 + ["down"] * 4 + ["up"] * 3))
    assert found.pose.shape == (3, 8, 33, 4)
    assert found.label.tolist() == ["up", "down", "up"]
    assert found.group.tolist() == ["part-01", "part-02", "part-03"]
    np.testing.assert_array_equal(found.pose[0, :, 0, 0], range(8))
    np.testing.assert_array_equal(found.pose[1, :, 0, 0], [9, 10, 11, 12, 12, 12, 12, 12])
    np.testing.assert_allclose(found.pose[0, 0, BLAZEPOSE_33.nodes.index("left_wrist")], (0.1, 0.2, 0.3, 0.4))
    assert np.isnan(found.pose[:, :, 1]).all()


def test_a_long_file_has_ten_parts_in_order(tmp_path):
    found = read_landmark_rows(write(tmp_path / "r.csv", ["a", "b"] * 15))
    assert len(set(found.group)) == 10
    assert sorted(found.group.tolist()) == found.group.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header: expected label first, got nothing"),
        ("class,nose_x\n", "header: expected label first, got class"),
        ("label,tail_x,tail_y,tail_z,tail_v\n", "of MediaPipe's landmarks, got tail"),
        ("label,nose_x,nose_y\n", "a column nose_z, got none"),
        (f"{HEADER}\n", "rows: expected at least one"),
        (f"{HEADER}\nup,1,2\n", "line 2: expected 9 columns, got 3"),
        (f"{HEADER}\nup,1,2,3,4,5,6,7,high\n", "numbers after the label"),
        (f"{HEADER}\nup,1,2,3,4,5,6,7,inf\n", "finite numbers"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_landmark_rows(tmp_path / "r.csv")


def test_no_file_is_said():
    with pytest.raises(FormatError, match="no such file"):
        read_sequences("nowhere.csv")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real rows are not on this machine")
def test_real_rows_load_and_can_be_learned():
    from curation.crossval import cross_validate

    found = read_sequences(REAL / "squat_model_test.csv")
    assert set(found.label.tolist()) == {"up", "down"}
    assert len(found) > 90
    result = cross_validate(found, model="logreg", n_folds=3)
    said = np.array(result.classes)[result.probs.argmax(axis=1)]
    assert (said == found.label).mean() > 0.85
