"""Eyes over time: the paper's ratio, blinks of known length, what is no blink, PERCLOS."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.people.eyes import (
    compute_eye_aspects,
    compute_mouth_aspects,
    compute_openness,
    compute_perclos,
    find_blinks,
    hide_far_eyes,
)
from schemas.errors import InvalidField

FPS = 15.0
RIGHT, LEFT = (33, 160, 158, 133, 153, 144), (263, 387, 385, 362, 380, 373)


def make_face(right, left, mouth=0.0):
    """A face whose eyes are 10 px wide and `right` and `left` px high, and whose mouth is 20 px wide and `mouth` px high."""
    points = np.zeros((1, 478, 3))
    for eye, x, height in ((RIGHT, 100, right), (LEFT, 150, left)):
        points[0, eye, :2] = [
            (x, 50),
            (x + 3, 50 - height / 2),
            (x + 7, 50 - height / 2),
            (x + 10, 50),
            (x + 7, 50 + height / 2),
            (x + 3, 50 + height / 2),
        ]
    points[0, (61, 81, 311, 291, 402, 178), :2] = [
        (115, 90),
        (120, 90 - mouth / 2),
        (130, 90 - mouth / 2),
        (135, 90),
        (130, 90 + mouth / 2),
        (120, 90 + mouth / 2),
    ]
    return points


def watch(seconds, blinks, *, noise=0.01, level=0.3, seed=0):
    """Times and aspect ratios of an eye that is at `level`, and at a quarter of it in each (start, end)."""
    times = np.arange(int(seconds * FPS)) / FPS
    eye = np.full(len(times), level)
    for start, end in blinks:
        eye[(times >= start) & (times < end)] = 0.25 * level
    return times, eye + np.random.default_rng(seed).normal(0, noise, len(times))


def test_ratio_is_height_by_width():
    np.testing.assert_allclose(compute_eye_aspects(make_face(3.0, 1.0)), [[0.3, 0.1]])
    np.testing.assert_allclose(compute_mouth_aspects(make_face(3.0, 3.0, mouth=12.0)), [0.6])


@pytest.mark.parametrize("angle", [0.4, -1.1])
def test_ratio_does_not_depend_on_size_place_or_rotation(angle):
    face = make_face(3.0, 2.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    np.testing.assert_allclose(compute_eye_aspects(2.5 * face @ turn.T + [400, 30, 0]), compute_eye_aspects(face))


def test_eyes_turned_away_are_hidden():
    angles = np.array([[0, 0, 0], [30, 0, 0], [-30, 0, 0], [60, 0, 0], [0, 60, 0], [0, 20, 80], [19, 45, 0], [19, 48, 0]])
    hidden = np.isnan(hide_far_eyes(np.full((8, 2), 0.3), angles))
    seen, right, left, none = [False, False], [True, False], [False, True], [True, True]
    assert hidden.tolist() == [seen, left, right, none, none, seen, seen, none]


def test_blinks_are_found_where_they_are():
    planted = [(2.0, 2.2), (5.0, 5.14), (9.0, 9.4)]
    times, eye = watch(12, planted)
    found = find_blinks(times, eye)
    assert len(found) == 3
    for blink, (start, end) in zip(found, planted, strict=True):
        assert abs(blink.start - start) <= 1 / FPS
        assert abs(blink.end - end) <= 1 / FPS
        assert blink.depth == pytest.approx(0.75, abs=0.1)


def test_sleep_lowered_gaze_and_noise_are_no_blinks():
    times, eye = watch(20, [(3.0, 8.0), (10.0, 11.0)])
    assert find_blinks(times, eye) == []
    assert find_blinks(*watch(60, [], noise=0.015)) == []
    rng = np.random.default_rng(1)
    assert len(find_blinks(times, 0.3 * rng.uniform(0.4, 1, len(times)))) <= 1


def test_a_threshold_of_the_person_and_of_the_moment():
    for level in (0.18, 0.42):
        times, eye = watch(10, [(3.0, 3.2)], level=level, noise=0.005)
        assert len(find_blinks(times, eye)) == 1
    times, eye = watch(20, [(3.0, 3.2), (14.0, 14.2)])
    eye[times > 9] *= 0.6
    assert [round(blink.start) for blink in find_blinks(times, eye)] == [3, 14]


def test_both_eyes_must_close():
    times, right = watch(8, [(2.0, 2.2), (5.0, 5.2)])
    _, left = watch(8, [(5.0, 5.2)], seed=1)
    assert [round(blink.start) for blink in find_blinks(times, np.stack([right, left], axis=1))] == [5]
    assert len(find_blinks(times, np.stack([right, np.full(len(times), np.nan)], axis=1))) == 2


def test_an_eye_that_shows_up_for_the_blink_alone_has_no_say():
    times, left = watch(8, [(3.0, 3.2)])
    right = np.where((times >= 3.0) & (times < 3.2), left, np.nan)
    assert [round(blink.start) for blink in find_blinks(times, np.stack([right, left], axis=1))] == [3]


def test_lids_that_open_slowly_blink_once():
    times, eye = watch(8, [(3.0, 3.1), (6.0, 6.1)])
    eye[(times >= 3.1) & (times < 3.2)] = 0.29
    eye[(times >= 3.2) & (times < 3.3)] = 0.2
    found = find_blinks(times, eye)
    assert [round(blink.start) for blink in found] == [3, 6]
    assert found[0].end > 3.2


def test_edges_gaps_and_turns_are_not_blinks():
    times, eye = watch(8, [(0.0, 0.2), (4.0, 4.2), (7.9, 8.0)])
    away = eye.copy()
    away[(times > 4.1) & (times < 5)] = np.nan
    assert find_blinks(times, away) == []
    yaw = np.where(times < 4.1, -20.0, 20.0)
    assert find_blinks(times, eye, yaw=yaw) == []
    assert len(find_blinks(times, eye, yaw=np.zeros(len(times)))) == 1


@given(st.floats(0.14, 0.4), st.floats(2.0, 6.0), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_any_blink_between_two_open_stretches_is_found_once(length, start, seed):
    times, eye = watch(8, [(start, start + length)], seed=seed)
    assert len(find_blinks(times, eye)) == 1


def test_bad_input_is_refused():
    with pytest.raises(InvalidField, match="aspects"):
        find_blinks(np.arange(3.0), np.zeros(4))
    with pytest.raises(InvalidField, match="least_depth"):
        find_blinks(np.arange(3.0), np.zeros(3), least_depth=2)
    assert find_blinks(np.zeros(0), np.zeros(0)) == []
    assert find_blinks(np.arange(5.0), np.full(5, np.nan)) == []


def test_openness_is_that_of_the_person_and_perclos_counts_long_closures():
    times, eye = watch(20, [(5.0, 10.0)], noise=0)
    eye[(times >= 5) & (times < 10)] = 0.03
    opened = compute_openness(eye)
    np.testing.assert_allclose(opened, compute_openness(0.5 * eye))
    assert opened[0] == pytest.approx(1)
    assert compute_perclos(opened) == pytest.approx(0.25, abs=0.01)
    both = np.stack([eye, np.full(len(eye), np.nan)], axis=1)
    np.testing.assert_allclose(compute_openness(both), opened)
    assert np.isnan(compute_perclos(compute_openness(np.full(4, np.nan))))
