"""What landmarks say about a body, on poses made by hand."""

import numpy as np
import pytest
from fixtures_people import make_pose

from backends.people.body import (
    boxes_from_poses,
    compute_ious,
    compute_oks,
    find_heads,
    find_torsos,
    look_like_people,
    share_parts,
)
from backends.people.measure import measure_people, pool_scores


def test_head_and_torso_by_face_and_shoulders():
    np.testing.assert_allclose(find_heads(make_pose()[None]), [[200, 100, 40]], rtol=1e-5)
    np.testing.assert_allclose(find_torsos(make_pose()[None]), [[200, 140, 64]], rtol=1e-5)


def test_box_of_a_seated_body_holds_head_and_hands_but_no_legs():
    box = boxes_from_poses(make_pose()[None], 960, 540)[0]
    np.testing.assert_allclose(box, [200 - 40 - 8, 100 - 0.68 * 40, 200 + 40 + 8, 100 + 120 + 4], atol=1e-3)


def test_short_legs_count_as_standing_if_they_are_straight_in_depth_too():
    pose = make_pose(stands=True)[None]
    shoulders, hips = pose[0, 11:13, 1].mean(), pose[0, 23:25, 1].mean()
    for pair, share in (([25, 26], 0.55), ([27, 28], 1.1)):
        pose[0, pair, 1] = hips + share * (hips - shoulders)
    pose[0, 11:29, 2] = 0
    knees = float(pose[0, 25:27, 1].max())
    assert boxes_from_poses(pose, 2000, 2000)[0, 3] >= knees
    pose[0, 25:27, 2] = -1.2 * (hips - shoulders)
    assert boxes_from_poses(pose, 2000, 2000)[0, 3] < knees


def test_box_of_a_standing_body_reaches_the_ankles_if_they_are_in_the_frame():
    pose = make_pose(stands=True)[None]
    assert boxes_from_poses(pose, 960, 540)[0, 3] == pytest.approx(100 + 7.5 * 40 + 4)
    assert boxes_from_poses(pose, 960, 300)[0, 3] < 300


def test_boxes_are_clipped_to_the_frame():
    box = boxes_from_poses(make_pose(x=5, y=5)[None], 960, 540)[0]
    assert box[:2].tolist() == [0, 0]


def test_iou_values():
    a = np.array([[0, 0, 10, 10]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    np.testing.assert_allclose(compute_ious(a, b), [[1, 1 / 3, 0]])
    assert compute_ious(a, np.zeros((0, 4))).shape == (1, 0)


def test_oks_is_one_for_equal_and_falls_with_distance():
    pose = make_pose()[None]
    area = np.array([100.0 * 150.0])
    values = [compute_oks(pose, make_pose(x=200 + d)[None], area)[0, 0] for d in (0, 2, 10, 200)]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.1


def test_two_poses_share_a_head_only_when_they_are_one_person():
    poses = np.stack([make_pose(), make_pose(x=205), make_pose(x=300), make_pose(x=200, y=40)])
    assert share_parts(poses, poses)[0].tolist() == [True, True, False, False]


def test_people_have_proportions_and_a_face_in_the_frame():
    poses = np.stack([make_pose(), make_pose(head=8), make_pose(x=-300)])
    regions = np.array([[200, 228, 340, 0], [200, 228, 340, 0], [-300, 228, 340, 0]], float)
    assert look_like_people(poses, regions, 960, 540).tolist() == [True, False, False]


def test_measure_counts_people_and_close_points():
    there = np.stack([make_pose(x=150), make_pose(x=450)])
    boxes = boxes_from_poses(there, 960, 540)
    found = there[[1]].copy()
    found[0, 15, 0] += 100
    score = measure_people(boxes[[1]], found, boxes, there)
    assert (score.n_there, score.n_found, score.n_matched) == (2, 1, 1)
    assert (score.recall, score.precision) == (0.5, 1.0)
    assert score.points_close == (1, 1, 1, 1, 1, 0, 1)
    assert score.pck == pytest.approx(6 / 7)
    both = pool_scores([score, measure_people(boxes, there, boxes, there)])
    assert both.recall == 0.75
    assert both.points_there == (3,) * 7


def test_measure_leaves_out_hidden_points_and_absent_people():
    there = np.stack([make_pose(x=150), make_pose(x=450)])
    there[0, 13, 3] = 0
    boxes = boxes_from_poses(there, 960, 540)
    boxes[1] = np.nan
    score = measure_people(np.zeros((0, 4)), np.zeros((0, 33, 4)), boxes, there)
    assert (score.n_there, score.n_matched, score.recall) == (1, 0, 0.0)
    score = measure_people(boxes[:1], there[:1], boxes, there)
    assert score.points_there == (1, 1, 1, 0, 1, 1, 1)
