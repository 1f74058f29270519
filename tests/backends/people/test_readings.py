"""Faces and hands of people whose poses are known: what is large enough is read, the rest is NaN."""

import numpy as np
import pytest

from backends.people.readings import FaceReader, HandReader
from backends.people.tiles import TileDetector

pytestmark = pytest.mark.usefixtures("bundle_folder")


@pytest.fixture(scope="module")
def pose(astronaut):
    with TileDetector() as detector:
        return detector.detect(astronaut).pose_px[:1]


@pytest.fixture(scope="module")
def reader(bundle_folder):
    with FaceReader() as opened:
        yield opened


def test_the_astronauts_eyes_are_open_and_she_smiles(reader, astronaut, pose):
    face = reader.read(astronaut, pose)
    assert face.scores[0] > 0.9
    assert 80 < face.size_px[0] < 115
    assert np.abs(face.angles[0]).max() < 20
    assert (face.eyes[0] > 0.2).all()
    assert 0 <= face.mouth[0] < 0.4


def test_equal_pictures_give_equal_readings(reader, astronaut, pose):
    first, second = reader.read(astronaut, pose), reader.read(astronaut, pose)
    for name in ("size_px", "scores", "angles", "eyes", "mouth"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_small_faces_and_faces_out_of_the_frame_are_not_read(reader, astronaut, pose):
    import cv2

    small = cv2.resize(astronaut, (128, 128), interpolation=cv2.INTER_AREA)
    tiny, outside, nobody = pose.copy(), pose.copy(), pose.copy()
    tiny[..., :2] /= 4
    outside[..., 0] += 900
    nobody[..., :2] = np.nan
    for image, given in ((small, tiny), (astronaut, outside), (astronaut, nobody)):
        face = reader.read(image, given)
        for name in ("size_px", "scores", "angles", "eyes", "mouth"):
            assert np.isnan(getattr(face, name)).all()
            assert len(getattr(face, name)) == 1


def test_several_people_keep_their_rows(reader, astronaut, pose):
    away = pose.copy()
    away[..., 0] += 900
    face = reader.read(astronaut, np.concatenate([away, pose, away]))
    assert np.isfinite(face.scores).tolist() == [False, True, False]
    assert reader.read(astronaut, np.zeros((0, 33, 4))).angles.shape == (0, 3)


def test_something_else_is_no_face(reader, astronaut, pose):
    moved = pose.copy()
    moved[..., :2] += (60, 260)
    assert np.isnan(reader.read(astronaut, moved).scores[0])


def test_who_was_surely_read_a_moment_ago_is_believed_with_less(astronaut, pose):
    import cv2

    with FaceReader() as reader:
        blurred = [cv2.blur(astronaut, (side, side)) for side in range(15, 22)]
        doubtful = [image for image in blurred if np.isnan(reader.read(image, pose).scores[0])]

        def score_after(seconds, image, who="a"):
            assert reader.read(astronaut, pose, ids=["a"], seconds=10.0).scores[0] > 0.9
            return reader.read(image, pose, ids=[who], seconds=10.0 + seconds).scores[0]

        image = next(image for image in doubtful if np.isfinite(score_after(0.2, image)))
        assert 0.05 <= score_after(0.2, image) < 0.5
        assert np.isnan(score_after(0.8, image))
        assert np.isnan(score_after(0.2, image, who="b"))
        assert np.isfinite(score_after(0.3, image))
        assert np.isnan(reader.read(image, pose, ids=["a"], seconds=10.6).scores[0])  # a doubtful look is none to go by
        assert np.isnan(score_after(0.1, np.zeros_like(astronaut)))


def test_hands_out_of_the_frame_are_nan(astronaut, pose):
    lowered = pose.copy()
    lowered[:, 15:23, 1] += 900
    with HandReader() as hands:
        read = hands.read(astronaut, np.concatenate([lowered, lowered]))
        assert read.points_px.shape == (2, 2, 21, 3)
        assert read.scores.shape == (2, 2)
        assert np.isnan(read.points_px).all()
        assert np.isnan(read.scores).all()
        assert hands.read(astronaut, np.zeros((0, 33, 4))).points_px.shape == (0, 2, 21, 3)
