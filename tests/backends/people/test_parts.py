"""Hands and faces in full-frame px."""

import numpy as np
import pytest

from backends.people.face import FaceEstimator
from backends.people.hands import HandEstimator, find_wrist_boxes
from backends.people.tiles import TileDetector

pytestmark = pytest.mark.usefixtures("bundle_folder")


@pytest.fixture(scope="module")
def faces(bundle_folder):
    with FaceEstimator() as estimator:
        yield estimator


def test_face_box_and_478_points_with_the_irises_in_the_eyes(faces, astronaut):
    boxes, scores = faces.detect(astronaut)
    assert boxes.shape == (1, 4)
    assert scores[0] > 0.7
    points, sure = faces.estimate(astronaut, boxes)
    assert points.shape == (1, 478, 3)
    assert sure[0] > 0.9
    assert np.hypot(*(points[0, 1, :2] - (223, 131))) < 8
    assert np.hypot(*(points[0, 468, :2] - (204, 101))) < 4
    assert np.hypot(*(points[0, 473, :2] - (246, 103))) < 4
    low, high = points[0, :468, :2].min(axis=0), points[0, :468, :2].max(axis=0)
    assert (low > (150, 40)).all()
    assert (high < (300, 200)).all()


def test_points_move_with_the_picture(faces, astronaut):
    wide = np.full((560, 700, 3), 90, np.uint8)
    wide[30:542, 150:662] = astronaut
    here, _ = faces.estimate(astronaut, faces.detect(astronaut)[0])
    there, _ = faces.estimate(wide, faces.detect(wide)[0])
    assert np.abs(there[0, :, :2] - here[0, :, :2] - (150, 30)).max() < 6


def test_no_face_and_no_box(faces):
    image = np.full((64, 64, 3), 100, np.uint8)
    boxes, scores = faces.detect(image)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))
    points, sure = faces.estimate(image, boxes)
    assert (points.shape, sure.shape) == ((0, 478, 3), (0,))


def test_something_else_scores_low_as_a_face(faces, astronaut):
    _, sure = faces.estimate(astronaut, np.array([[20, 380, 120, 480]]))
    assert sure[0] < 0.5


def test_hands_not_seen_are_nan(astronaut):
    with TileDetector() as detector, HandEstimator() as hands:
        boxes = find_wrist_boxes(detector.detect(astronaut).pose_px)
        assert boxes.shape == (1, 2, 4)
        points, scores = hands.estimate(np.full((200, 200, 3), 128, np.uint8), np.array([[10, 10, 90, 90]]))
        assert np.isnan(points).all()
        assert scores.tolist() == [0.0]
        assert hands.estimate(astronaut, np.zeros((0, 4)))[0].shape == (0, 21, 3)


def test_wrist_boxes_are_squares_sized_by_the_head():
    pose = np.zeros((1, 33, 4))
    pose[0, 7, 0], pose[0, 8, 0] = 20, -20
    pose[0, [17, 19], 0] = 10
    left, right = find_wrist_boxes(pose)[0]
    side = 1.8 * 1.35 * 40
    np.testing.assert_allclose(left, [5 - side / 2, -side / 2, 5 + side / 2, side / 2])
    np.testing.assert_allclose(right, [-side / 2, -side / 2, side / 2, side / 2])
