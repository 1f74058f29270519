"""Fatigue and looking aside, on courses of time that are known."""

import numpy as np
import pytest

from backends.expression.fatigue import count_side_changes, find_side_looks, measure_fatigue
from curation.render.blinks import sample_blinks
from schemas.errors import InvalidField

FPS = 24.0


def make_aspects(seconds, *, blinks=None, closed=(), noise=0.008, seed=0):
    """Eye aspect ratios of both eyes: about 0.3 open, 0.08 closed."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * FPS)) / FPS
    opened = np.ones(len(times)) if blinks is None else blinks.open_at(times)
    for start, end in closed:
        opened[(times >= start) & (times < end)] = 0
    return times, 0.08 + 0.22 * opened[:, None] + rng.normal(0, noise, (len(times), 2))


@pytest.mark.parametrize("seed", range(4))
def test_the_blinks_of_a_rested_student_are_counted_and_do_not_tire(seed):
    truth = sample_blinks(120, np.random.default_rng(seed))
    times, aspects = make_aspects(120, blinks=truth, seed=seed)
    found = measure_fatigue(times, aspects)
    assert len(found.blinks) == pytest.approx(len(truth.start), abs=0.1 * len(truth.start))
    assert found.seconds == pytest.approx(120, abs=0.1)
    assert found.per_minute == pytest.approx(len(found.blinks) / 2, rel=1e-3)
    assert found.tired is False
    assert found.perclos < 0.1


def test_eyes_that_stay_shut_and_many_blinks_tire():
    times, aspects = make_aspects(60, closed=[(5, 12), (20, 30)])
    shut = measure_fatigue(times, aspects)
    assert shut.perclos == 0.0
    assert shut.tired is False
    times, aspects = make_aspects(60, closed=[(5, 12), (20, 30)])
    aspects[aspects < 0.15] -= 0.06
    shut = measure_fatigue(times, aspects)
    assert shut.perclos == pytest.approx(17 / 60, abs=0.02)
    assert shut.tired is True
    often = [(t, t + 0.17) for t in np.arange(1, 59, 1.6)]
    times, aspects = make_aspects(60, closed=often)
    blinking = measure_fatigue(times, aspects)
    assert blinking.per_minute > 30
    assert blinking.tired is True
    assert measure_fatigue(times, aspects, most_blinks=60).tired is False


def test_little_seen_says_nothing():
    times, aspects = make_aspects(8)
    assert measure_fatigue(times, aspects).tired is None
    hidden = measure_fatigue(times, np.full_like(aspects, np.nan))
    assert hidden.tired is None
    assert hidden.seconds == 0
    assert np.isnan(hidden.perclos)
    assert measure_fatigue(times[:1], aspects[:1]).seconds == 0
    with pytest.raises(InvalidField, match="aspects"):
        measure_fatigue(times[:5], aspects)


def test_looks_to_both_sides_are_found_with_their_times():
    times = np.arange(0, 20, 0.1)
    yaw = np.random.default_rng(0).normal(0, 3, 200)
    yaw[30:50] += 45
    yaw[55:70] -= 50
    yaw[100:102] += 60
    yaw[150:170] = np.nan
    looks = find_side_looks(times, yaw)
    assert [look.side for look in looks] == ["left", "right"]
    assert looks[0].start == pytest.approx(3.0)
    assert looks[0].end == pytest.approx(4.9)
    assert looks[1].yaw < -45
    assert count_side_changes(looks) == 1
    assert count_side_changes(looks, within=0.3) == 0
    assert find_side_looks(times, np.full(200, np.nan)) == []


def test_a_head_at_the_limit_is_one_look_and_a_swing_to_the_other_side_two():
    times = np.arange(0, 4, 0.1)
    wobble = 29 + 3 * np.sin(times * 20)
    assert len(find_side_looks(times, wobble)) == 1
    swing = np.where(times < 2, 40.0, -40.0)
    assert [look.side for look in find_side_looks(times, swing)] == ["left", "right"]
    with pytest.raises(InvalidField, match="back_yaw"):
        find_side_looks(times, swing, back_yaw=50)
    with pytest.raises(InvalidField, match="yaw"):
        find_side_looks(times, swing[:3])
