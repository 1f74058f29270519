"""Windows by time, tubelets by presence, poses at evenly spaced times."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.tubelets import box_at, count_samples, cut_tubelets, plan_windows, pose_at, sample_frames, split_at_gaps, stack_poses
from schemas.errors import InvalidField, UnknownName
from schemas.records import Clip, Gap, PoseTrack, Tubelet


def _clip(timestamps, clip_id="clip_a"):
    times = np.asarray(timestamps, float)
    return Clip(
        id=clip_id, uri="a.mp4", sha256="0", n_frames=len(times), fps=25, width=100, height=80, timestamps=times, lesson="one"
    )


def _track(frames, track_id="trk_a", clip_id="clip_a"):
    """Return a track whose pose at frame f is f everywhere, and whose box starts at x = f."""
    frames = np.asarray(frames)
    pose = np.repeat(np.repeat(frames[:, None, None], 33, 1), 4, 2)
    boxes = np.stack([frames, 0 * frames, frames + 10, 0 * frames + 20], axis=1)
    return PoseTrack(id=track_id, clip_id=clip_id, frames=frames, boxes_xyxy=boxes, pose_px=pose)


def test_samples_are_the_last_frames_shown_at_evenly_spaced_times():
    plan = plan_windows(np.arange(100) / 25, window=2.0, fps=6.0)
    assert len(plan) == 2
    assert plan[0].samples.tolist() == [0, 4, 8, 12, 16, 20, 25, 29, 33, 37, 41, 45]
    assert plan[1].samples.tolist() == [50, 54, 58, 62, 66, 70, 75, 79, 83, 87, 91, 95]
    assert (plan[1].first, plan[1].last, plan[1].key_frame) == (50, 95, 75)


def test_ntsc_rates_drift_but_never_share_a_frame():
    plan = plan_windows(np.arange(900) * 1001 / 30000, window=2.0, fps=6.0)
    assert len(plan) == 15
    assert all(a.last < b.first for a, b in itertools.pairwise(plan))
    assert all(len(w.frames) == 12 for w in plan)


@pytest.mark.parametrize(("n_frames", "n_windows"), [(74, 1), (75, 2), (99, 2), (100, 2), (124, 2), (125, 3)])
def test_the_last_window_needs_half_its_length(n_frames, n_windows):
    assert len(plan_windows(np.arange(n_frames) / 25, window=2.0, fps=6.0)) == n_windows


def test_a_short_last_window_has_no_samples_after_the_end():
    last = plan_windows(np.arange(80) / 25, window=2.0, fps=6.0)[-1]
    assert last.samples.tolist() == [50, 54, 58, 62, 66, 70, 75, 79, -1, -1, -1, -1]
    assert last.frames.tolist() == [50, 54, 58, 62, 66, 70, 75, 79]


def test_a_clip_shorter_than_half_a_window_is_one_window():
    (only,) = plan_windows(np.arange(10) / 25, window=2.0, fps=6.0)
    assert only.frames.tolist() == [0, 4, 8]


def test_a_still_image_is_one_window_of_one_frame():
    (only,) = plan_windows(np.zeros(1), window=2.0, fps=6.0)
    assert (only.frames.tolist(), only.samples.tolist(), only.key_frame) == ([0], [0] * 12, 0)


def test_windows_start_with_the_first_frame_wherever_the_clock_stands():
    late = plan_windows(1e5 + np.arange(100) / 25, window=2.0, fps=6.0)
    early = plan_windows(np.arange(100) / 25, window=2.0, fps=6.0)
    assert [w.samples.tolist() for w in late] == [w.samples.tolist() for w in early]


def test_a_gap_in_the_recording_leaves_its_windows_out():
    times = np.concatenate([np.arange(50) / 25, 20 + np.arange(50) / 25])
    plan = plan_windows(times, window=2.0, fps=6.0)
    assert [(w.first, w.last) for w in plan] == [(0, 45), (50, 95)]


def test_a_slow_camera_repeats_samples_not_frames():
    (only,) = plan_windows(np.arange(4) / 2, window=2.0, fps=6.0)
    assert only.samples.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert only.frames.tolist() == [0, 1, 2, 3]


@given(
    steps=st.lists(st.floats(0.005, 3.0), min_size=0, max_size=80),
    window=st.floats(0.3, 5.0),
    fps=st.floats(0.5, 30.0),
)
@settings(max_examples=150, deadline=None)
def test_windows_of_any_clip_are_sound(steps, window, fps):
    times = np.concatenate([[3.0], 3.0 + np.cumsum(steps)])
    plan = plan_windows(times, window=window, fps=fps)
    assert plan
    for entry in plan:
        assert len(entry.samples) == count_samples(window, fps)
        assert (np.diff(entry.frames) > 0).all()
        assert entry.frames[0] >= 0
        assert entry.frames[-1] < len(times)
        assert entry.first <= entry.key_frame <= entry.last
        assert set(entry.samples) - {-1} == set(entry.frames)
    assert all(a.first <= b.first for a, b in itertools.pairwise(plan))
    assert sample_frames(plan).tolist() == sorted({int(f) for w in plan for f in w.frames})


def test_settings_must_be_positive():
    with pytest.raises(InvalidField, match="window"):
        plan_windows(np.arange(5.0), window=0, fps=6)
    with pytest.raises(InvalidField, match="fps"):
        plan_windows(np.arange(5.0), window=2, fps=-1)


def test_a_tubelet_needs_half_of_the_windows_frames():
    clip = _clip(np.arange(100) / 25)
    first = plan_windows(clip.timestamps, window=2.0, fps=6.0)[0].frames
    half, less = _track(first[:6], "trk_half"), _track(first[:5], "trk_less")
    both = _track(sample_frames(plan_windows(clip.timestamps, window=2.0, fps=6.0)), "trk_both")
    found = cut_tubelets([half, less, both], clip, window=2.0, fps=6.0)
    assert [(t.track_id, t.first, t.last) for t in found] == [("trk_half", 0, 45), ("trk_both", 0, 45), ("trk_both", 50, 95)]
    assert found[0] == Tubelet.of("trk_half", "clip_a", 0, 45)


def test_poses_are_stacked_at_the_samples_and_nan_elsewhere():
    clip = _clip(np.arange(80) / 25)
    frames = sample_frames(plan_windows(clip.timestamps, window=2.0, fps=6.0))
    track = _track(np.delete(frames, [1, 2]))
    tubelets = cut_tubelets([track], clip, window=2.0, fps=6.0)
    poses = stack_poses({track.id: track}, tubelets, {clip.id: clip}, window=2.0, fps=6.0)
    assert poses.shape == (2, 12, 33, 4)
    assert poses.dtype == np.float32
    nan = np.nan
    np.testing.assert_array_equal(poses[0, :, 5, 0], [0, nan, nan, 12, 16, 20, 25, 29, 33, 37, 41, 45])
    np.testing.assert_array_equal(poses[1, :, 32, 3], [50, 54, 58, 62, 66, 70, 75, 79, nan, nan, nan, nan])


def test_filled_frames_are_nan_for_models_and_do_not_make_a_tubelet():
    clip = _clip(np.arange(100) / 25)
    frames = sample_frames(plan_windows(clip.timestamps, window=2.0, fps=6.0))
    track = evolve(_track(frames), filled=np.isin(np.arange(24), [3, 4, *range(12, 19)]))
    (tubelet,) = cut_tubelets([track], clip, window=2.0, fps=6.0)
    assert (tubelet.first, tubelet.last) == (0, 45)
    poses = stack_poses({track.id: track}, [tubelet], {clip.id: clip}, window=2.0, fps=6.0)
    assert np.flatnonzero(np.isnan(poses[0, :, 0, 0])).tolist() == [3, 4]
    assert box_at(track, 12).tolist() == [12, 0, 22, 20]
    assert len(cut_tubelets([evolve(_track(frames), filled=np.arange(24) == 3)], clip, window=2.0, fps=6.0)) == 2


def test_an_image_is_its_pose_over_and_over():
    clip, track = _clip([0.0]), _track([0])
    (tubelet,) = cut_tubelets([track], clip, window=2.0, fps=6.0)
    poses = stack_poses({track.id: track}, [tubelet], {clip.id: clip}, window=2.0, fps=6.0)
    assert poses.shape == (1, 12, 33, 4)
    assert (poses == 0).all()


def test_a_tubelet_of_other_settings_is_sampled_over_its_own_length():
    clip = _clip(np.arange(100) / 25)
    track = _track(np.arange(0, 100, 2))
    poses = stack_poses({track.id: track}, [Tubelet.of(track.id, clip.id, 10, 32)], {clip.id: clip}, window=2.0, fps=6.0)
    assert poses[0, :, 0, 0].tolist() == [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32]


def test_a_person_drawn_in_one_frame_is_seen_in_one_sample():
    clip = _clip(np.arange(100) / 25)
    track = _track([25])
    poses = stack_poses({track.id: track}, [Tubelet.of(track.id, clip.id, 0, 45)], {clip.id: clip}, window=2.0, fps=6.0)
    assert np.flatnonzero(np.isfinite(poses[0, :, 0, 0])).tolist() == [6]


def test_no_tubelets_stack_to_nothing():
    assert stack_poses({"trk_a": _track([0])}, [], {}, window=2.0, fps=6.0).shape == (0, 12, 33, 4)


def test_a_tubelet_without_its_track_or_clip_is_refused():
    clip, track = _clip([0.0]), _track([0])
    with pytest.raises(UnknownName, match="unknown track 'trk_x'"):
        stack_poses({track.id: track}, [Tubelet.of("trk_x", clip.id, 0, 0)], {clip.id: clip}, window=2.0, fps=6.0)
    with pytest.raises(UnknownName, match="unknown clip 'clip_x'"):
        stack_poses({track.id: track}, [Tubelet.of(track.id, "clip_x", 0, 0)], {clip.id: clip}, window=2.0, fps=6.0)


@pytest.mark.parametrize(("frame", "nearest"), [(0, 4), (4, 4), (6, 4), (7, 8), (99, 12)])
def test_box_and_pose_at_the_nearest_sampled_frame(frame, nearest):
    track = _track([4, 8, 12])
    assert box_at(track, frame).tolist() == [nearest, 0, nearest + 10, 20]
    assert pose_at(track, frame)[7].tolist() == [nearest] * 4


def test_lost_frames_are_not_glued_over():
    times = np.delete(np.arange(150) / 25, slice(60, 90))
    gaps = [Gap(before=60, frames=30)]
    held, marked = (plan_windows(times, window=2.0, fps=6.0, gaps=which) for which in ((), gaps))
    assert -1 not in held[1].samples
    assert held[0].samples.tolist() == marked[0].samples.tolist()
    assert marked[1].samples.tolist() == [50, 54, 58, 59, *[-1] * 6, 61, 65]
    assert [w.first for w in marked] == [0, 50, 70]
    longer = np.delete(np.arange(150) / 25, slice(55, 95))
    assert [w.first for w in plan_windows(longer, window=2.0, fps=6.0, gaps=[Gap(before=55, frames=40)])] == [0, 60]


def test_a_single_lost_frame_changes_no_sample():
    times = np.delete(np.arange(100) / 25, 30)
    plain, marked = (plan_windows(times, window=2.0, fps=6.0, gaps=gaps) for gaps in ((), [Gap(before=30, frames=1)]))
    assert [w.samples.tolist() for w in plain] == [w.samples.tolist() for w in marked]


def test_nobody_is_followed_over_a_long_gap():
    times = np.concatenate([np.arange(50) / 25, 5 + np.arange(50) / 25, 8 + np.arange(50) / 25])
    clip = evolve(_clip(times), gaps=(Gap(before=50, frames=75), Gap(before=100, frames=25)))
    stretches = split_at_gaps(np.arange(0, 150, 10), clip, longest=2.0)
    assert [s.tolist() for s in stretches] == [[0, 10, 20, 30, 40], list(range(50, 150, 10))]
    assert len(split_at_gaps(np.arange(0, 150, 10), evolve(clip, gaps=()), longest=2.0)) == 1
