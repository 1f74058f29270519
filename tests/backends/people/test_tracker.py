"""Tracks: one per person, through gaps, without doubles."""

import numpy as np
import pytest
from fixtures_people import as_poses, make_pose

from backends.people.tracker import Tracker


def scripted(*answers):
    """A landmark network that answers with these poses, one call after the other."""
    queue = list(answers)
    return lambda regions: queue.pop(0) if len(regions) else as_poses()


def test_two_people_keep_their_tracks_though_detections_change_order():
    tracker = Tracker(960, 540, lost_after=2)
    a, b = make_pose(x=200), make_pose(x=500)
    tracker.join(0, 0.0, as_poses(a, b))
    for i in range(1, 5):
        tracker.carry(i, i * 0.1, scripted(as_poses(make_pose(x=200 + i), make_pose(x=500 - i))))
    tracker.join(4, 0.4, as_poses(b, a))
    first, second = tracker.finish(least_frames=3, least_confirmed=0.5)
    assert first.frames.tolist() == second.frames.tolist() == [0, 1, 2, 3, 4]
    assert first.pose_px[:, 0, 0].tolist() == [200, 201, 202, 203, 204]
    assert second.pose_px[:, 0, 0].tolist() == [500, 499, 498, 497, 496]


def test_short_gap_is_filled_frames_of_one_track():
    tracker = Tracker(960, 540, lost_after=2)
    a, b, away = make_pose(x=200), make_pose(x=208), make_pose(x=700)
    tracker.carry(0, 0.0, scripted())
    tracker.join(0, 0.0, as_poses(a))
    tracker.carry(3, 0.5, scripted(as_poses(away), as_poses(away)))
    tracker.carry(6, 1.5, scripted(as_poses(away), as_poses(away)))
    tracker.carry(9, 2.0, scripted(as_poses(b)))
    (track,) = tracker.finish(least_frames=2, least_confirmed=0.5)
    assert track.frames.tolist() == [0, 3, 6, 9]
    assert track.filled.tolist() == [False, True, True, False]
    assert track.pose_px[:, 0, 0].tolist() == [200, 202, 206, 208]
    np.testing.assert_allclose(track.boxes_xyxy[:, 0] - track.boxes_xyxy[0, 0], [0, 2, 6, 8], atol=1e-4)
    assert track.pose_px[:, :, 3].max(axis=1).tolist() == [1, 0, 0, 1]
    assert track.scores.tolist() == pytest.approx([0.9, 0, 0, 0.9])
    assert np.isnan(track.world_m[1:3]).all()


def test_the_end_of_a_track_is_not_filled_and_a_filled_frame_is_no_sight():
    tracker = Tracker(960, 540, lost_after=2)
    a, away = make_pose(x=200), make_pose(x=700)
    tracker.join(0, 0.0, as_poses(a))
    for i in range(1, 4):
        tracker.carry(i, i / 6, scripted(as_poses(away), as_poses(away)))
    tracker.carry(4, 4 / 6, scripted(as_poses(a)))
    tracker.carry(5, 5 / 6, scripted(as_poses(away), as_poses(away)))
    assert tracker.finish(least_frames=3, least_confirmed=0.5) == []


def test_what_is_taken_back_takes_its_filling_with_it():
    tracker = Tracker(960, 540, lost_after=5)
    a, b, away = make_pose(x=200), make_pose(x=420), make_pose(x=700)
    tracker.carry(0, 0.0, scripted())
    tracker.join(0, 0.0, as_poses(a, b))
    tracker.carry(1, 0.1, scripted(as_poses(a, b)))
    tracker.carry(2, 0.2, scripted(as_poses(a, away), as_poses(away)))
    tracker._live[1].pose, tracker._live[1].box = make_pose(x=205), tracker._live[0].box
    tracker.carry(3, 0.3, scripted(as_poses(a, make_pose(x=205))))
    first, second = tracker.finish(least_frames=1, least_confirmed=0)
    assert (first.frames.tolist(), first.filled.any()) == ([0, 1, 2, 3], False)
    assert (second.frames.tolist(), second.filled.any()) == ([0, 1], False)


def test_a_detection_has_to_look_for_whoever_is_out_of_sight_once():
    tracker = Tracker(960, 540, lost_after=5)
    a, away = make_pose(x=200), make_pose(x=700)
    assert tracker.join(0, 0.0, as_poses(a)) == 1
    tracker.carry(1, 0.2, scripted(as_poses(away), as_poses(away)))
    assert not tracker.has_lost(0.2)
    tracker.carry(2, 0.6, scripted(as_poses(away), as_poses(away)))
    assert tracker.has_lost(0.6)
    assert tracker.join(2, 0.6, as_poses()) == 1
    assert not tracker.has_lost(1.2)
    tracker.carry(3, 1.2, scripted(as_poses(away), as_poses(away)))
    assert tracker.join(3, 1.2, as_poses(a)) == 1
    assert tracker.join(3, 1.2, as_poses(a)) == 0
    assert tracker.find_covered().shape == (1, 4)


def _lose_and_find(again, *, away_for, settle=False):
    """Somebody is lost at 1.5 s and detected again `away_for` seconds later as `again`."""
    tracker, parts = Tracker(960, 540, lost_after=1), []
    a, away = make_pose(x=200), make_pose(x=700)
    tracker.join(0, 0.0, as_poses(a))
    tracker.carry(1, 1.5, scripted(as_poses(away), as_poses(away)))
    assert not tracker.has_lost(1.5)
    for i in range(2, 5):
        tracker.carry(i, away_for * i / 4, scripted())
        parts += tracker.settle(least_frames=1, least_confirmed=0) if settle else []
    tracker.join(4, away_for, as_poses(again))
    parts += tracker.finish(least_frames=1, least_confirmed=0)
    return [(part.number, part.frames.tolist(), part.filled.any()) for part in parts]


@pytest.mark.parametrize("settle", [False, True])
def test_who_comes_back_to_their_own_place_is_the_same_person_after_a_gap(settle):
    assert _lose_and_find(make_pose(x=206), away_for=20, settle=settle) == [(0, [0, 4], False)]


@pytest.mark.parametrize(("again", "away_for"), [(make_pose(x=300), 20), (make_pose(x=200), 40)])
def test_in_another_place_or_much_later_it_is_somebody_new(again, away_for):
    assert _lose_and_find(again, away_for=away_for) == [(0, [0], False), (1, [4], False)]


@pytest.mark.parametrize("in_sight", [False, True])
def test_who_was_carried_off_is_found_where_a_detection_last_saw_them(in_sight):
    tracker = Tracker(960, 540, lost_after=2)
    a, away = make_pose(x=200), as_poses(make_pose(x=700))
    tracker.carry(0, 0.0, scripted())
    tracker.join(0, 0.0, as_poses(a))
    for i in range(1, 8):
        tracker.carry(i, i / 10, scripted(as_poses(make_pose(x=200 + 15 * i))))
    tracker.carry(8, 0.8, scripted(*([as_poses(make_pose(x=320))] if in_sight else [away, away])))
    tracker.join(8, 0.8, as_poses(a))
    (track,) = tracker.finish(least_frames=1, least_confirmed=0)
    assert track.frames.tolist() == list(range(9))
    assert track.pose_px[-1, 0, 0] == 200


def test_astray_track_is_found_by_its_upper_body():
    tracker = Tracker(960, 540, lost_after=1)
    a, neighbour = make_pose(x=200), make_pose(x=420)
    tracker.join(0, 0.0, as_poses(a))
    tracker.carry(1, 0.1, scripted(as_poses(neighbour), as_poses(a)))
    assert tracker.finish(least_frames=1, least_confirmed=0)[0].frames.tolist() == [0, 1]


def test_unsure_pose_counts_only_where_it_hardly_moved():
    tracker = Tracker(960, 540, lost_after=5)
    a, moved = make_pose(x=200), as_poses(make_pose(x=215, y=115), score=0.1)
    tracker.join(0, 0.0, as_poses(a))
    tracker.carry(1, 0.1, scripted(as_poses(a, score=0.1)))
    tracker.carry(2, 0.2, scripted(moved, moved))
    assert tracker.finish(least_frames=1, least_confirmed=0)[0].frames.tolist() == [0, 1]


def test_two_tracks_on_one_body_become_one():
    tracker = Tracker(960, 540, lost_after=5)
    a, b = make_pose(x=200), make_pose(x=420)
    tracker.join(0, 0.0, as_poses(a))
    tracker.carry(1, 0.1, scripted(as_poses(a)))
    tracker.join(1, 0.1, as_poses(a, b))
    tracker.carry(2, 0.2, scripted(as_poses(a, b)))
    near = make_pose(x=205)
    tracker._live[1].pose, tracker._live[1].box = near, tracker._live[0].box
    tracker.carry(3, 0.3, scripted(as_poses(a, near)))
    first, second = tracker.finish(least_frames=1, least_confirmed=0)
    assert first.frames.tolist() == [0, 1, 2, 3]
    assert second.frames.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("least_frames", "least_confirmed", "tracks"), [(3, 0.5, [6]), (3, 0.1, [6, 6]), (99, 0, [6, 6]), (7, 1.0, [6])]
)
def test_seldom_confirmed_or_short_tracks_are_not_reported(least_frames, least_confirmed, tracks):
    tracker = Tracker(960, 540, lost_after=50)
    a, b = make_pose(x=200), make_pose(x=420)
    tracker.join(0, 0.0, as_poses(a, b))
    for i in range(1, 6):
        tracker.carry(i, i * 1.0, scripted(as_poses(a, b)))
        tracker.join(i, i * 1.0, as_poses(a))
    assert [len(t) for t in tracker.finish(least_frames=least_frames, least_confirmed=least_confirmed)] == tracks


def _walk(tracker, settle):
    """Five people in doubt and none, 60 frames: one leaves, one comes, one is lost for a moment, two are doubles for a while."""
    rng = np.random.default_rng(3)
    parts, judge = [], {"least_frames": 3, "least_confirmed": 0.4}

    def look(regions):
        at = np.round(regions[:, 0] / 200) * 200 + rng.normal(0, 2, len(regions))
        hidden = rng.random(len(regions)) < 0.4
        poses = [make_pose(x=x, y=200 + 250 * gone) for x, gone in zip(at, hidden, strict=True)]
        return as_poses(*poses, score=0.9 if rng.random() < 0.8 else 0.3)

    for i in range(60):
        tracker.carry(i, i / 6, look)
        if i % 6 == 0:
            there = [x for x in (200, 400, 600, 800) if rng.random() < 0.6 or x == 200]
            tracker.join(i, i / 6, as_poses(*(make_pose(x=x, y=200) for x in there)))
        if settle(i):
            parts += tracker.settle(**judge)
    return [*parts, *tracker.finish(**judge)]


def _put_together(parts):
    numbers = sorted({part.number for part in parts})
    names = ("frames", "boxes_xyxy", "pose_px", "world_m", "scores", "filled")
    return {n: {name: np.concatenate([getattr(p, name) for p in parts if p.number == n]) for name in names} for n in numbers}


def test_parts_together_are_the_whole_whenever_they_are_taken():
    whole = _put_together(_walk(Tracker(1000, 540, lost_after=1), lambda i: False))
    assert len(whole) >= 4
    assert any(track["filled"].any() for track in whole.values())
    for settle in (lambda i: True, lambda i: i % 7 == 0, lambda i: i > 30):
        tracker = Tracker(1000, 540, lost_after=1)
        taken = _walk(tracker, settle)
        assert len(taken) > len(whole)
        parts = _put_together(taken)
        assert parts.keys() == whole.keys()
        for number, track in parts.items():
            for name, values in track.items():
                np.testing.assert_array_equal(values, whole[number][name])


def test_what_was_taken_is_not_kept():
    tracker = Tracker(960, 540, lost_after=1)
    for i in range(300):
        tracker.carry(i, i / 6, scripted(as_poses(make_pose(x=200))))
        if i % 6 == 0:
            tracker.join(i, i / 6, as_poses(make_pose(x=200)))
        tracker.settle(least_frames=3, least_confirmed=0.4)
    assert len(tracker.finish(least_frames=3, least_confirmed=0.4)[0]) == 3


def test_a_track_that_no_detection_confirms_is_given_up():
    tracker = Tracker(960, 540, lost_after=1)
    tracker.join(0, 0.0, as_poses(make_pose(x=200)))
    for i in range(1, 20):
        tracker.carry(i, float(i), scripted(as_poses(make_pose(x=200))))
        tracker.join(i, float(i), as_poses())
    assert tracker.finish(least_frames=3, least_confirmed=0)[0].frames.tolist() == list(range(10))
    assert tracker.finish(least_frames=3, least_confirmed=0.4) == []
