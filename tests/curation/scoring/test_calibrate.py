"""How far a posterior is believed: not at all changed by noise without a pattern, drawn together by confusable classes."""

import numpy as np
import pytest

from curation.scoring.calibrate import calibrate_wrong, measure_confusability
from curation.scoring.noise import spread_evenly

PAIRS = np.array([[0.6, 0.4, 0.0, 0.0], [0.0, 0.6, 0.4, 0.0], [0.0, 0.0, 0.6, 0.4], [0.4, 0.0, 0.0, 0.6]])
WRONG = np.linspace(0, 1, 101) ** 2


def guess_with(confidence, n=101, k=4):
    guess = np.full((n, k), (1 - confidence) / (k - 1))
    guess[np.arange(n), np.arange(n) % k] = confidence
    return np.log(np.maximum(guess, 1e-12))


def test_confusability_is_the_odds_of_the_likeliest_other_class():
    assert measure_confusability(spread_evenly(0.3, 4)) == pytest.approx(0.1 / 0.7)
    assert measure_confusability(PAIRS) == pytest.approx(0.4 / 0.6)
    assert measure_confusability(np.eye(3)) == 0


def test_noise_without_a_pattern_leaves_probabilities_as_they_are():
    np.testing.assert_array_equal(calibrate_wrong(WRONG, guess_with(0.8), spread_evenly(0.1, 4)), WRONG)


def test_the_mean_is_at_least_what_the_noise_says():
    low = WRONG / 10
    raised = calibrate_wrong(low, guess_with(0.9, k=8), spread_evenly(0.2, 8))
    assert raised.mean() == pytest.approx(0.2, abs=1e-3)
    assert (np.diff(raised) > 0).all()


def test_confusion_and_unsure_guesses_take_certainty_away_and_neither_alone_does():
    unsure, sure = (calibrate_wrong(WRONG, guess_with(confidence), PAIRS) for confidence in (0.7, 0.97))
    assert (np.diff(unsure) >= 0).all()
    assert unsure.mean() == pytest.approx(0.4, abs=1e-3)
    assert sure.mean() == pytest.approx(0.4, abs=1e-3)
    assert np.ptp(unsure[10:90]) < np.ptp(sure[10:90])
    plain = calibrate_wrong(WRONG, guess_with(0.7), spread_evenly(0.1, 4))
    np.testing.assert_array_equal(plain, WRONG)


def test_nothing_wrong_and_everything_wrong_stay():
    for wrong in (np.zeros(40), np.ones(40)):
        found = calibrate_wrong(wrong, guess_with(0.9, 40), PAIRS)
        assert np.isfinite(found).all()
        assert ((found >= 0) & (found <= 1)).all()
