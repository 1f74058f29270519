from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from curation.render.behaviours import BEHAVIOURS, CONTROLS, DESK_TOP, RATE, column, plan_segment
from curation.render.body import build_body
from curation.render.looks import sample_look, sample_style
from curation.render.motion import SECONDS, TRANSITIONS, perform, plan_behaviours
from schemas.vocabulary import load_taxonomy


def _body(behaviour, seed=0, seconds=8.0):
    rng = np.random.default_rng(seed)
    look, style = sample_look(rng), sample_style(rng)
    controls = plan_segment(behaviour, round(seconds * RATE), style, rng)
    return build_body(controls, look, style.hand), style


def test_behaviours_are_those_of_the_taxonomy_in_its_order():
    assert load_taxonomy("learning-behaviours").axis("behaviour").values == BEHAVIOURS


def test_transitions_are_probabilities_and_nothing_follows_itself():
    assert TRANSITIONS.sum(axis=1) == pytest.approx(np.ones(8))
    assert not TRANSITIONS.diagonal().any()


def test_plans_fill_the_time_with_plausible_durations_and_every_behaviour_occurs():
    plan = plan_behaviours(3000.0, np.random.default_rng(0))
    assert sum(steps for _, steps in plan) == round(3000 * RATE)
    for (name, steps), (following, _) in pairwise(plan[1:-1]):
        low, high = SECONDS[name]
        assert low - 0.1 <= steps / RATE <= high + 0.1
        assert following != name
    share = Counter()
    for name, steps in plan:
        share[name] += steps / (3000 * RATE)
    assert min(share[name] for name in BEHAVIOURS) > 0.03
    assert max(share.values()) < 0.4


def test_weights_favour_a_behaviour():
    plain, weighted = (
        sum(n for name, n in plan_behaviours(1500.0, np.random.default_rng(2), w) if name == "phone")
        for w in (None, [1, 1, 1, 4, 1, 1, 1, 1])
    )
    assert weighted > 1.3 * plain


def test_motion_is_smooth_and_belongs_to_the_seed():
    style = sample_style(np.random.default_rng(3))
    first, again, other = (perform(30.0, style, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert np.array_equal(first.controls, again.controls)
    assert not np.array_equal(first.behaviour, other.behaviour)
    assert first.controls.shape == (round(30 * RATE), len(CONTROLS))
    speed = np.abs(np.diff(first.controls[:, [column(n) for n in ("lx", "ly", "lz", "rx", "ry", "rz")]], axis=0)).max() * RATE
    assert speed < 6.0  # metres per second; a jump of the target by 0.7 m in one step would be 17


def test_raised_hand_is_above_the_shoulder_and_the_other_is_not():
    for seed in range(6):
        body, _ = _body("raise-hand", seed)
        wrists, shoulders = body.points[:, [15, 16], 1].mean(axis=0), body.points[:, [11, 12], 1].mean(axis=0)
        assert sorted(wrists > shoulders - 0.05) == [False, True]


def test_phone_is_held_close_together_above_the_desk_with_the_head_lowered():
    body, _ = _body("phone", 1)
    assert np.linalg.norm(body.points[:, 15] - body.points[:, 16], axis=1).mean() < 0.2
    assert (body.points[:, [15, 16], 1] > DESK_TOP).all()
    assert (body.head_turn[:, 1, 2] > 0.25).all()  # the face looks down


def test_writing_hand_makes_small_strokes_on_the_desk_and_the_other_rests():
    body, style = _body("write", 2)
    writing, resting = (15, 16) if style.hand > 0 else (16, 15)
    moved = np.abs(np.diff(body.points[:, writing], axis=0)).sum(axis=(0, 1))
    assert moved > 5 * np.abs(np.diff(body.points[:, resting], axis=0)).sum(axis=(0, 1))
    assert np.ptp(body.points[:, writing, 1]) < 0.03


def test_page_turning_keeps_hands_apart_and_sweeps_one_of_them_every_two_seconds():
    body, style = _body("turn-page", 3)
    turning = 15 if style.hand > 0 else 16
    assert np.ptp(body.points[:, turning, 0]) > 0.2
    assert np.median(np.abs(body.points[:, 15, 0] - body.points[:, 16, 0])) > 0.22
    for start in range(0, len(body.points) - round(2.6 * RATE), 12):
        assert np.ptp(body.points[start : start + round(2.6 * RATE), turning, 0]) > 0.1


def test_sleeper_lies_low_and_standing_is_high():
    heads = {name: np.mean([_body(name, seed)[0].head[:, 1].mean() for seed in range(4)]) for name in ("sleep", "attend", "stand")}
    assert heads["sleep"] < heads["attend"] - 0.15
    assert heads["stand"] > heads["attend"] + 0.3


def test_looking_aside_turns_the_head_far_and_attending_does_not():
    turned = {
        name: np.mean([np.abs(_body(name, seed)[0].head_turn[:, 0, 2]).mean() for seed in range(8)])
        for name in ("look-aside", "attend")
    }
    assert turned["look-aside"] > 0.55
    assert turned["attend"] < 0.35


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_bones_keep_their_length(behaviour):
    body, _ = _body(behaviour, 4, 4.0)
    for a, b in ((13, 15), (14, 16)):
        assert np.ptp(np.linalg.norm(body.points[:, a] - body.points[:, b], axis=1)) < 1e-6
    assert np.isfinite(body.points).all()
