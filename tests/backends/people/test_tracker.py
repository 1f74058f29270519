"""Tracks: one per person, through gaps, without doubles."""

import numpy as np
import pytest
from fixtures_people import as_poses, make_pose

from backends.people.tracker import Tracker


def scripted(*answers):
    """A landmark network that answers with these poses, one call after the other."""
    queue = list(answers)
    return lambda regions, _: queue.pop(0) if len(regions) else as_poses()


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
    tracker.carry(3, 0.3, scripted(as_poses(a, b)))
    tracker._live[1].pose, tracker._live[1].box = make_pose(x=205), tracker._live[0].box
    tracker.join(3, 0.3, as_poses(a))
    first, second = tracker.finish(least_frames=1, least_confirmed=0)
    assert (first.frames.tolist(), first.filled.any()) == ([0, 1, 2, 3], False)
    assert (second.frames.tolist(), second.filled.any()) == ([0, 1], False)


def test_a_detection_has_to_look_for_whoever_is_out_of_sight_once_a_second():
    tracker = Tracker(960, 540, lost_after=5)
    a, away = make_pose(x=200), make_pose(x=700)
    assert tracker.join(0, 0.0, as_poses(a)) == 1
    box = tracker.find_covered()
    tracker.carry(1, 0.2, scripted(as_poses(away), as_poses(away)))
    assert len(tracker.list_lost(0.2)) == 0
    tracker.carry(2, 0.6, scripted(as_poses(away), as_poses(away)))
    np.testing.assert_array_equal(tracker.list_lost(0.6), box)
    assert tracker.join(2, 0.6, as_poses(), (480, 0, 960, 540)) == 0
    assert len(tracker.list_lost(0.6)) == 1
    assert tracker.join(2, 0.6, as_poses(), (0, 0, 480, 540)) == 0
    assert len(tracker.list_lost(1.2)) == 0
    assert len(tracker.list_lost(1.7)) == 1
    tracker.carry(3, 1.2, scripted(as_poses(away), as_poses(away)))
    assert tracker.join(3, 1.2, as_poses(a)) == 0
    assert tracker.join(3, 1.2, as_poses(a)) == 0
    assert tracker.find_covered().shape == (1, 4)


def test_who_is_out_of_sight_is_looked_for_ever_more_rarely_and_comes_back_by_landmarks_alone():
    tracker = Tracker(960, 540, lost_after=1)
    a, away = make_pose(x=200), make_pose(x=700)
    tracker.join(0, 0.0, as_poses(a))
    looks = []

    def look(regions, seconds):
        looks.extend([seconds] * bool(len(regions)))
        return as_poses(a if seconds >= 9 else away) if len(regions) else as_poses()

    for i in range(1, 120):
        tracker.carry(i, i / 10, lambda regions, _, t=i / 10: look(regions, t))
    missed = sorted({t for t in looks if t < 9})
    assert missed[:8] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.2])
    assert len(missed) < 20
    (track,) = tracker.finish(least_frames=1, least_confirmed=0)
    assert track.frames[1] / 10 - max(missed) <= 0.3 * max(missed)
    assert track.frames[[0, -1]].tolist() == [0, 119]
    assert not track.filled.any()


def test_who_is_out_of_sight_never_takes_the_body_of_another():
    tracker = Tracker(960, 540, lost_after=5)
    a, b, away = make_pose(x=200), make_pose(x=420), make_pose(x=700)
    tracker.carry(0, 0.0, scripted())
    tracker.join(0, 0.0, as_poses(a, b))
    tracker.carry(1, 0.1, scripted(as_poses(a, away), as_poses(away)))
    place = tracker._live[1].pose, tracker._live[1].box
    tracker._live[1].pose, tracker._live[1].box = make_pose(x=205), tracker._live[0].box
    tracker.carry(2, 0.2, scripted(as_poses(a, make_pose(x=205)), as_poses(make_pose(x=205))))
    tracker._live[1].pose, tracker._live[1].box = place
    tracker.carry(3, 0.3, scripted(as_poses(a, b)))
    first, second = tracker.finish(least_frames=1, least_confirmed=0)
    assert first.frames.tolist() == [0, 1, 2, 3]
    assert (second.frames.tolist(), second.filled.tolist()) == ([0, 1, 2, 3], [False, True, True, False])


def test_those_seen_for_sure_are_known_to_the_next_detection():
    tracker = Tracker(960, 540, lost_after=5)
    a, b, c = make_pose(x=200), make_pose(x=420), make_pose(x=700)
    tracker.join(0, 0.0, as_poses(a, b, c))
    sizes = tracker.list_known(0).regions[:, 2]
    moved = as_poses(make_pose(x=203), b, c)
    moved.scores[:] = 0.9, 0.4, 0.9
    moved.regions[0, 2] *= 1.4
    tracker.carry(1, 0.1, scripted(moved))
    known = tracker.list_known(1)
    assert known.pose_px[:, 0, 0].tolist() == [203, 700]
    np.testing.assert_array_equal(known.regions[:, 2], sizes[[0, 2]])
    assert tracker.join(1, 0.1, known) == 0
    assert len(tracker.list_known(2).scores) == 0


def _lose_and_find(again, *, away_for, settle=False):
    """Somebody is lost at 1.5 s and detected again `away_for` seconds later as `again`."""
    tracker, parts = Tracker(960, 540, lost_after=1), []
    a, away = make_pose(x=200), make_pose(x=700)
    tracker.join(0, 0.0, as_poses(a))
    tracker.carry(1, 1.5, scripted(as_poses(away), as_poses(away)))
    assert len(tracker.list_lost(1.5)) == 0
    for i in range(2, 5):
        tracker.carry(i, away_for * i / 4, scripted(as_poses(away), as_poses(away)))
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


@pytest.mark.parametrize("drifts", [0, 1])
def test_who_drifts_onto_anothers_body_gives_it_back_and_is_found_at_home(drifts):
    tracker = Tracker(960, 540, lost_after=5)
    homes = [make_pose(x=300), make_pose(x=420)]
    tracker.carry(0, 0.0, scripted())
    tracker.join(0, 0.0, as_poses(*homes))
    poses = list(homes)
    for i in range(1, 9):
        poses[drifts] = make_pose(x=300 + 12 * i if drifts == 0 else 420 - 12 * i)
        tracker.carry(i, i / 10, scripted(as_poses(*poses)))
    tracker.carry(9, 0.9, scripted(as_poses(*homes)))
    tracks = tracker.finish(least_frames=1, least_confirmed=0)
    assert [track.frames.tolist() for track in tracks] == [list(range(10))] * 2
    assert tracks[1 - drifts].pose_px[:, 0, 0].tolist() == [[420, 300][drifts]] * 10
    assert not tracks[1 - drifts].filled.any()
    assert tracks[drifts].pose_px[-1, 0, 0] == [300, 420][drifts]
    assert tracks[drifts].filled.tolist() == [False] * 8 + [True, False]
    assert tracks[drifts].pose_px[8, 0, 0] == pytest.approx(np.mean([[384, 336][drifts], [300, 420][drifts]]), abs=1e-3)


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

    def look(regions, _):
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
