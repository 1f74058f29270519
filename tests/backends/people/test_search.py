"""The second look: who counts at a place that is not quite right, and how often is looked."""

import numpy as np
import pytest

from backends.people.places import FacePlace
from backends.people.pose import PoseEstimator
from backends.people.search import Search
from backends.people.second_look import SecondLook
from backends.people.team import PoseTeam
from backends.people.tiles import TileDetector, TileSettings

pytestmark = pytest.mark.usefixtures("bundle_folder")
FACE = (222.0, 112.0, 100.0)
"""Middle and side of the astronaut's face, px."""


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "ahead"])
def team(request, bundle_folder):
    team = PoseTeam(request.param)
    yield team
    team.close()


def place_face(right=0.0, down=0.0, score=0.9):
    """A face on the astronaut's, or so many sides of it away."""
    x, y, side = FACE
    middle = np.array([x + right * side, y + down * side])
    return FacePlace(
        score=score, box_xyxy=np.array([*(middle - side / 2), *(middle + side / 2)]), nose=middle + np.array([0, 0.16 * side])
    )


def look_at(astronaut, team, *places):
    search = Search(astronaut, team, least=0.5)
    return search, search.try_places(places)


@pytest.mark.parametrize("score", [0.9, 0.2])
def test_a_face_that_is_there_counts_sure_or_in_doubt(astronaut, team, score):
    search, (new,) = look_at(astronaut, team, place_face(score=score))
    assert new
    assert search.count_seen() == 1
    assert np.hypot(*(search.result().pose_px[0, 0, :2] - (222, 128))) < 15


def test_a_doubtful_face_beside_the_nose_counts_where_both_looks_are_certain_of_the_body(astronaut, team):
    _, (near,) = look_at(astronaut, team, place_face(down=-0.55, score=0.2))
    _, (far,) = look_at(astronaut, team, place_face(right=1.6, score=0.2))
    assert (near, far) == (True, False)


def test_who_is_refused_in_one_place_is_looked_at_in_another_close_by(astronaut, team):
    search, (wall, face, again) = look_at(
        astronaut, team, place_face(right=-0.95, score=0.2), place_face(score=0.24), place_face(score=0.9)
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


def test_a_look_ahead_counts_unless_somebody_found_since_would_be_painted_over(astronaut):
    second = SecondLook(astronaut, 0.5)
    place = place_face()
    nobody = np.zeros((0, 33, 4), np.float32)
    with PoseEstimator() as estimator:
        finding = second.find(place, nobody, estimator)
        assert finding.body is not None
        beside, far = (finding.body.pose_px + np.float32([x, 0, 0, 0]) for x in (150, 5000))
        assert finding.holds(place, nobody)
        assert finding.holds(place, finding.body.pose_px), "their own head is not painted over"
        assert finding.holds(place, far), "out of the region"
        assert not finding.holds(place, beside)
        again = second.find(place, beside, estimator)
    assert again.holds(place, beside)
    assert again.body is None or not np.array_equal(again.body.pose_px, finding.body.pose_px)
