"""Temperature and calibration error against what they are by definition."""

import numpy as np
import pytest

from backends.calibration import apply_temperature, compute_ece, compute_reliability, fit_temperature
from schemas.errors import InvalidField, NotEnoughData


def draw_calibrated(n=20000, k=4, seed=0):
    """Return probabilities and labels drawn from exactly these."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(n, k))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probs, (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


def test_the_error_by_hand():
    probs = np.array([[0.95, 0.05], [0.95, 0.05], [0.4, 0.6], [0.4, 0.6]])
    assert compute_ece(probs, np.array([0, 0, 1, 0])) == pytest.approx(0.5 * 0.05 + 0.5 * 0.1)
    table = compute_reliability(probs, np.array([0, 0, 1, 0]), n_bins=10)
    assert table[9].tolist() == pytest.approx([2, 0.95, 1])
    assert table[5].tolist() == pytest.approx([2, 0.6, 0.5])
    assert np.isnan(table[0, 1:]).all()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_taken_away_is_found(temperature):
    probs, label = draw_calibrated()
    distorted = apply_temperature(probs, 1 / temperature)
    assert compute_ece(probs, label) < 0.02
    found = fit_temperature(distorted, label)
    assert found == pytest.approx(temperature, rel=0.05)
    assert compute_ece(apply_temperature(distorted, found), label) < 0.02
    if temperature != 1:
        assert compute_ece(distorted, label) > 0.08


def test_a_temperature_keeps_rows_and_order():
    probs, _ = draw_calibrated(n=50)
    for temperature in (0.1, 7.0):
        softened = apply_temperature(probs, temperature)
        np.testing.assert_allclose(softened.sum(axis=1), 1)
        np.testing.assert_array_equal(softened.argsort(axis=1), probs.argsort(axis=1))
    np.testing.assert_allclose(apply_temperature(probs, 1.0), probs)
    np.testing.assert_allclose(apply_temperature([[0.0, 1.0]], 2.0), [[0, 1]], atol=1e-9)


def test_a_few_samples_that_are_all_right_do_not_make_sure_of_everything():
    probs, label = np.tile([0.7, 0.3], (18, 1)), np.zeros(18, int)
    assert fit_temperature(probs, label) == pytest.approx(0.05, rel=0.01)
    softened = apply_temperature(probs, fit_temperature(probs, label, prior=1.0))
    assert softened[0, 0] == pytest.approx((18 + 0.5) / 19, abs=1e-3)
    many, said = draw_calibrated()
    assert fit_temperature(many, said, prior=1.0) == pytest.approx(fit_temperature(many, said), rel=1e-3)


def test_bad_input_is_named():
    with pytest.raises(NotEnoughData, match="samples to calibrate on"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, int))
    with pytest.raises(InvalidField, match="label"):
        compute_ece([[0.5, 0.5]], np.array([2]))
    with pytest.raises(InvalidField, match="sums to"):
        compute_ece([[0.5, 0.6]], np.array([0]))
    with pytest.raises(InvalidField, match="prior"):
        fit_temperature([[0.5, 0.5]], np.array([0]), prior=-1.0)
    with pytest.raises(InvalidField, match="temperature"):
        apply_temperature([[0.5, 0.5]], 0.0)
