"""Several threads find what one finds, bit for bit."""

import numpy as np
import pytest

from backends.people.people import PeopleFinder
from backends.people.pose import PoseEstimator
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
