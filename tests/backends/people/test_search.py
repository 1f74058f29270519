"""The second look: who counts at a place that is not quite right, and how often is looked."""

import numpy as np
import pytest

from backends.people.places import FacePlace
from backends.people.pose import PoseEstimator
from backends.people.search import Search
from backends.people.tiles import TileDetector, TileSettings

pytestmark = pytest.mark.usefixtures("bundle_folder")
FACE = (222.0, 112.0, 100.0)
"""Middle and side of the astronaut's face, px."""


@pytest.fixture(scope="module")
def estimator(bundle_folder):
    with PoseEstimator() as estimator:
        yield estimator


def place_face(right=0.0, down=0.0, score=0.9):
    """A face on the astronaut's, or so many sides of it away."""
    x, y, side = FACE
    middle = np.array([x + right * side, y + down * side])
    return FacePlace(
        score=score, box_xyxy=np.array([*(middle - side / 2), *(middle + side / 2)]), nose=middle + np.array([0, 0.16 * side])
    )


def look_at(astronaut, estimator, *places):
    search = Search(astronaut, estimator, least=0.5)
    return search, [search.try_place(place) for place in places]


@pytest.mark.parametrize("score", [0.9, 0.2])
def test_a_face_that_is_there_counts_sure_or_in_doubt(astronaut, estimator, score):
    search, (new,) = look_at(astronaut, estimator, place_face(score=score))
    assert new
    assert search.count_seen() == 1
    assert np.hypot(*(search.result().pose_px[0, 0, :2] - (222, 128))) < 15


def test_a_doubtful_face_beside_the_nose_counts_where_both_looks_are_certain_of_the_body(astronaut, estimator):
    _, (near,) = look_at(astronaut, estimator, place_face(down=-0.55, score=0.2))
    _, (far,) = look_at(astronaut, estimator, place_face(right=1.6, score=0.2))
    assert (near, far) == (True, False)


def test_who_is_refused_in_one_place_is_looked_at_in_another_close_by(astronaut, estimator):
    search, (wall, face, again) = look_at(
        astronaut, estimator, place_face(right=-0.95, score=0.2), place_face(score=0.24), place_face(score=0.9)
    )
    assert (wall, face, again) == (False, True, False)
    assert search.count_seen() == 1


def test_in_a_crowd_nobody_looks_for_tiny_bodies(astronaut):
    import cv2

    frame = np.full((540, 960, 3), 150, np.uint8)
    frame[200:320, 400:520] = cv2.resize(astronaut, (120, 120), interpolation=cv2.INTER_AREA)
    found = []
    for crowd in (8, 0):
        with TileDetector(settings=TileSettings(shorts=(224, 1120), crowd=crowd, crowded=224)) as detector:
            found.append(len(detector.detect(frame)))
    assert found == [1, 0]
