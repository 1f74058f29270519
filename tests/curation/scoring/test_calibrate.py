"""How far a posterior is believed: its mean is at least what the noise says, and an echo of labels takes certainty away."""

import numpy as np
import pytest

from curation.scoring.calibrate import calibrate_wrong
from curation.scoring.noise import spread_evenly

WRONG = np.linspace(0, 1, 101) ** 2


def guess_with(confidence, n=101, k=4):
    guess = np.full((n, k), (1 - confidence) / (k - 1))
    guess[np.arange(n), np.arange(n) % k] = confidence
    return np.log(np.maximum(guess, 1e-12))


def log_odds(p):
    return np.log(p) - np.log1p(-p)


def test_as_much_wrong_as_the_noise_says_stays_as_it_is():
    np.testing.assert_array_equal(calibrate_wrong(WRONG, guess_with(0.8), spread_evenly(0.3, 4)), WRONG)


def test_a_little_short_only_the_mean_is_raised():
    raised = calibrate_wrong(WRONG, guess_with(0.9), spread_evenly(0.38, 4))
    assert raised.mean() == pytest.approx(0.38, abs=1e-3)
    apart = log_odds(raised[1:-1]) - log_odds(WRONG[1:-1])
    assert np.ptp(apart) == pytest.approx(0, abs=1e-6)


def test_far_short_the_log_odds_are_drawn_together_in_the_same_order():
    low = WRONG / 2
    drawn = calibrate_wrong(low, guess_with(0.9), spread_evenly(0.4, 4))
    assert drawn.mean() == pytest.approx(0.4, abs=1e-3)
    assert (np.diff(drawn) > 0).all()
    assert np.ptp(log_odds(drawn[1:])) == pytest.approx(np.ptp(log_odds(low[1:])) / 2, rel=1e-6)


def test_who_heard_no_echo_raises_the_mean_half_way_and_never_lowers_it():
    said = WRONG.mean()
    raised = calibrate_wrong(WRONG, guess_with(0.8), spread_evenly(0.3, 4), said + 0.1)
    assert raised.mean() == pytest.approx(said + 0.05, abs=1e-3)
    assert (np.diff(raised) > 0).all()
    np.testing.assert_array_equal(calibrate_wrong(WRONG, guess_with(0.8), spread_evenly(0.3, 4), said - 0.1), WRONG)
    assert calibrate_wrong(WRONG, guess_with(0.9), spread_evenly(0.38, 4), 0.48).mean() == pytest.approx(0.43, abs=1e-3)


def test_nothing_wrong_and_everything_wrong_stay():
    for wrong in (np.zeros(40), np.ones(40)):
        found = calibrate_wrong(wrong, guess_with(0.9, 40), spread_evenly(0.4, 4))
        assert np.isfinite(found).all()
        assert ((found >= 0) & (found <= 1)).all()
