"""Id switches as CLEAR MOT counts them."""

import numpy as np
import pytest
from fixtures_people import make_pose

from backends.people.base import PersonTrack
from backends.people.body import boxes_from_poses
from backends.people.measure import count_id_switches

SIZE = (960, 540)


def make_track(frames, places):
    poses = np.stack([make_pose(x=x) for x in places])
    return PersonTrack(frames=frames, boxes_xyxy=boxes_from_poses(poses, *SIZE), pose_px=poses, scores=np.ones(len(poses)))


def make_truth(*people):
    """People by their places (F,), NaN where they are not there: boxes (F, P, 4), poses (F, P, 33, 4)."""
    poses = np.array([[make_pose(x=x) for x in places] for places in people]).transpose(1, 0, 2, 3)
    boxes = np.stack([boxes_from_poses(np.nan_to_num(frame), *SIZE) for frame in poses])
    boxes[np.isnan(np.array(people).T)] = np.nan
    return boxes, poses


def count(tracks, truth, **settings):
    return count_id_switches(tracks, *truth, np.arange(len(truth[0])), **settings)


def test_two_who_keep_their_tracks_never_switch():
    truth = make_truth([200] * 4, [500] * 4)
    assert count([make_track(range(4), [202] * 4), make_track(range(4), [499] * 4)], truth) == 0


def test_two_tracks_that_swap_people_are_two_switches():
    truth = make_truth([200] * 4, [500] * 4)
    assert count([make_track(range(4), [200, 200, 500, 500]), make_track(range(4), [500, 500, 200, 200])], truth) == 2


def test_a_new_track_for_the_same_person_is_one_switch_even_after_a_gap():
    truth = make_truth([200] * 6)
    assert count([make_track([0, 1], [200] * 2), make_track([4, 5], [200] * 2)], truth) == 1


def test_the_same_track_after_a_gap_is_none():
    truth = make_truth([200, 200, np.nan, np.nan, 200, 200])
    assert count([make_track([0, 1, 4, 5], [200] * 4)], truth) == 0


def test_a_pair_is_kept_while_it_matches_though_another_is_nearer():
    truth = make_truth([200] * 3)
    near, far = make_track([1, 2], [200] * 2), make_track(range(3), [215] * 3)
    assert count([far, near], truth) == 0


def test_only_the_frames_that_were_looked_at_count():
    truth = make_truth([200] * 4)
    tracks = [make_track([0, 3], [200] * 2), make_track([1], [200])]
    assert count_id_switches(tracks, *truth, [0, 1, 3]) == 2
    assert count_id_switches(tracks, *truth, [0, 3]) == 0


@pytest.mark.parametrize(("by_pose", "switches"), [(False, 0), (True, 1)])
def test_head_and_shoulders_make_a_match_where_boxes_do_not(by_pose, switches):
    boxes, poses = make_truth([200] * 2)
    boxes[..., 3] = boxes[..., 1] + 30
    tracks = [make_track([0], [200]), make_track([1], [200])]
    assert count(tracks, (boxes, poses), by_pose=by_pose) == switches


def test_nobody_found_or_nobody_there_is_no_switch():
    truth = make_truth([np.nan] * 3)
    assert count([], make_truth([200] * 3)) == 0
    assert count([make_track(range(3), [200] * 3)], truth) == 0
