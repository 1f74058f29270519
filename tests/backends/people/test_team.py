"""Several threads find what one finds, bit for bit."""

import numpy as np
import pytest

from backends.people.detector import open_detector
from backends.people.people import PeopleFinder
from backends.people.pose import PoseEstimator, Poses
from backends.people.team import PoseTeam
from schemas.errors import InvalidField

pytestmark = pytest.mark.usefixtures("bundle_folder")


def test_a_team_gives_the_poses_of_one_in_order(group_photo):
    frame, noses = group_photo
    regions = np.column_stack([noses + np.array([0, 90]), np.full(len(noses), 240.0), np.linspace(-0.2, 0.2, len(noses))])
    alone, team = PoseEstimator(), PoseTeam(3)
    for rows in (slice(None), slice(0, 1), slice(0, 0)):
        one, several = (worker.estimate_regions(frame, regions[rows]) for worker in (alone, team))
        for name in ("pose_px", "scores", "regions", "world_m"):
            np.testing.assert_array_equal(getattr(several, name), getattr(one, name))
    with pytest.raises(InvalidField, match="8 bits a channel"):
        team.estimate_regions(frame.astype(np.float32), regions)
    alone.close()
    team.close()


@pytest.mark.parametrize("name", ["tiles", "faces"])
def test_who_is_found_does_not_depend_on_how_many_look_ahead(name, group_photo):
    found = []
    for size in (1, 3):
        team = PoseTeam(size)
        detector = open_detector(name, team=team)
        first = detector.detect(group_photo[0])
        known = Poses(pose_px=first.pose_px[:2], scores=first.scores[:2], regions=first.regions[:2])
        found.append((first, detector.detect(group_photo[0], known)))
        detector.close()
        team.close()
    assert len(found[0][0].scores) == 4
    for one, several in zip(*found, strict=True):
        for field in ("pose_px", "scores", "regions", "boxes_xyxy", "world_m"):
            np.testing.assert_array_equal(getattr(one, field), getattr(several, field))


def test_what_fails_in_a_team_is_raised_where_it_is_waited_for():
    team = PoseTeam(2)
    waits = [team.begin(lambda _: 1 / 0), team.begin(lambda _: 5)]
    with pytest.raises(ZeroDivisionError):
        waits[0]()
    assert waits[1]() == 5
    assert [team.begin(lambda _, n=n: n)() for n in range(5)] == list(range(5)), "no network is lost"
    team.close()


def test_tracks_do_not_depend_on_the_number_of_threads(group_photo):
    frames = [(i, i / 5, group_photo[0]) for i in range(3)]
    found = []
    for threads in (1, 2):
        with PeopleFinder(threads=threads) as finder:
            found.append(finder.process(frames))
    one, two = found
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.pose_px, b.pose_px)
        np.testing.assert_array_equal(a.scores, b.scores)
