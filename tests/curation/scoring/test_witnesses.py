"""Witnesses beside the model: annotators, proposals, geometry; on values that can be told by hand."""

import numpy as np
import pytest

from curation.scoring import SCORERS
from curation.scoring.geometry import score_bones, score_boxes, score_geometry, score_jumps, score_keypoints
from curation.scoring.methods import Evidence, score_by_joint
from curation.scoring.witnesses import measure_edits, score_by_disagreement, score_by_edit
from schemas.errors import InvalidField

LABELS, PROBS = np.array([0, 1, 0]), np.full((3, 2), 0.5)
EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]])


def make_people(n=12, n_frames=5, seed=0):
    """Return (N, T, 4, 2): squares of 100 px that shiver by a pixel."""
    square = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], float)
    return square + np.random.default_rng(seed).normal(0, 1, (n, n_frames, 4, 2)) + 300


def test_disagreement_is_the_share_of_other_votes():
    votes = np.array([[0, 0, 0], [0, 0, -1], [-1, -1, -1]])
    np.testing.assert_allclose(score_by_disagreement(LABELS, PROBS, Evidence(votes=votes)), [0.125, 2.5 / 3, 0.5])


def test_a_changed_label_is_more_suspect_than_a_moved_box():
    known = Evidence(proposed=np.array([1, 1, -1]), edits=np.array([0.0, 0.4, 0.9]))
    assert score_by_edit(LABELS, PROBS, known).tolist() == [1.0, 0.2, 0.5]


def test_edits_are_measured_on_boxes_and_points():
    boxes, before = np.array([[0, 0, 10, 10], [0, 0, 10, 10.0]]), np.array([[0, 0, 10, 10], [5, 0, 15, 10.0]])
    pose = np.zeros((2, 2, 2))
    proposed = pose.copy()
    proposed[0, 1] = (np.sqrt(2) / 2, 0)
    proposed[1, 0] = np.nan
    moved, points = measure_edits(boxes, before, pose, proposed)
    np.testing.assert_allclose(moved, [0, 1 - 50 / 150])
    np.testing.assert_allclose(points, [[0, 0.5], [np.nan, 0]])
    with pytest.raises(InvalidField, match="proposed boxes"):
        measure_edits(boxes, before[:1], pose, proposed)


def test_confident_joint_counts_what_is_off_the_diagonal():
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9]])
    labels = np.array([0, 0, 1, 1, 0])
    np.testing.assert_allclose(score_by_joint(labels, probs, Evidence()), [0.05, 0.1, 0.05, 0.1, 0.95])


@pytest.mark.parametrize("name", ["aum", "aum-seen", "disagreement", "edit", "geometry", "knn", "surprise"])
def test_a_method_says_what_it_lacks(name):
    with pytest.raises(InvalidField, match="method"):
        SCORERS.load(name)(LABELS, PROBS, Evidence())


def test_a_stretched_bone_is_found_and_a_short_one_is_not():
    pose = make_people()
    pose[2, 1, 3] += (-250, 250)
    pose[5, 1, 3] = (pose[5, 1, 3] + pose[5, 1, 0]) / 2
    bones = score_bones(pose, EDGES)
    assert bones[2, 1, 2] > 0.5
    assert bones[2, 1, 3] > 0.5
    assert bones[5].max() < 0.5
    points = score_keypoints(pose, EDGES)
    assert np.unravel_index(np.nanargmax(points), points.shape) == (2, 1, 3)
    assert set(np.argwhere(points > 0.5)[:, 2].tolist()) == {3}


def test_a_point_that_leaps_away_and_back_is_found():
    pose = make_people()
    pose[4, 2, 1] += (60, 0)
    jumps = score_jumps(pose)
    assert jumps[4, 2, 1] > 0.8
    assert np.isnan(jumps[:, [0, -1]]).all()
    assert np.nanmedian(jumps) < 0.1
    assert np.isnan(score_jumps(pose[:, :2])).all()


def test_a_box_that_misses_its_pose_is_found():
    pose = make_people(3)
    boxes = np.tile([295.0, 295, 405, 405], (3, 5, 1))
    boxes[1] += 300
    boxes[2] += (-600, -600, 600, 600)
    score = score_boxes(boxes, pose)
    assert score[0].max() < 0.1
    assert score[1].min() == 1
    assert score[2].min() > 0.5
    whole = score_geometry(pose, EDGES, boxes)
    assert whole[0] < 0.3
    assert (whole[1:] > 0.5).all()


def test_nobody_seen_is_a_bad_track_and_no_warning(recwarn):
    pose = make_people()
    pose[3] = np.nan
    pose[4, :2] = np.nan
    score = score_geometry(pose, EDGES)
    assert score[3] == 1
    assert score[4] == pytest.approx(0.4)
    assert score[0] < 0.3
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]
