"""The noise matrix is found without a clean label, and the posterior is Bayes' rule."""

import numpy as np
import pytest

from curation.scoring.noise import (
    combine_opinions,
    compute_log_posterior,
    count_confident,
    estimate_noise,
    fit_rate,
    fit_symmetric,
    fit_tilted,
    fit_weights,
    measure_structure,
    soften_pattern,
    spread_evenly,
)


def draw(noise, *, n=4000, sure=6.0, seed=0):
    """Return log-probabilities of a good guesser, labels drawn from `noise`, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(noise), n)
    scores = rng.normal(0, 1, (n, len(noise)))
    scores[np.arange(n), truth] += sure
    labels = (noise[truth].cumsum(axis=1) > rng.random(n)[:, None]).argmax(axis=1)
    return combine_opinions([scores], np.ones(1)), labels, truth


def pair_noise(rate, n_classes=5):
    return (1 - rate) * np.eye(n_classes) + rate * np.roll(np.eye(n_classes), 1, axis=1)


def test_the_posterior_is_bayes_rule():
    guess, noise = np.log([[0.6, 0.4]]), np.array([[0.9, 0.1], [0.3, 0.7]])
    log_posterior, log_label = compute_log_posterior(guess, np.array([1]), noise)
    np.testing.assert_allclose(np.exp(log_label), [0.6 * 0.1 + 0.4 * 0.7])
    np.testing.assert_allclose(np.exp(log_posterior), [[0.06 / 0.34, 0.28 / 0.34]])


def test_even_noise_sums_to_one():
    np.testing.assert_allclose(spread_evenly(0.3, 4), 0.6 * np.eye(4) + 0.1)
    assert spread_evenly(0.3, 1).tolist() == [[1.0]]


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4])
def test_the_rate_of_symmetric_noise_is_found(rate):
    guess, labels, truth = draw(spread_evenly(rate, 5))
    assert 1 - fit_symmetric(guess, labels)[0, 0] == pytest.approx((labels != truth).mean(), abs=0.03)
    assert abs(measure_structure(count_confident(guess, labels))) < 4


@pytest.mark.parametrize("make", [spread_evenly, pair_noise])
@pytest.mark.parametrize(("told", "rate"), [(0.2, 0.4), (0.4, 0.1), (0.3, 0.3)])
def test_the_rate_is_found_though_the_pattern_came_with_another_one(make, told, rate):
    guess, labels, truth = draw(make(rate, 5))
    pattern = 0.99 * make(told, 5) + 0.01 * spread_evenly(0.5, 5)
    assert fit_rate([guess], labels, pattern) == pytest.approx((labels != truth).mean(), abs=0.03)


def test_without_a_wrong_label_nearly_none_is_said_and_no_noise_stays_none():
    guess, labels, _ = draw(np.eye(5))
    assert fit_rate([guess], labels, spread_evenly(0.3, 5)) < 0.03
    assert fit_rate([guess], labels, (1 - 1e-6) * np.eye(5) + 2e-7) < 0.01


@pytest.mark.parametrize("rate", [0.2, 0.4])
def test_a_pattern_is_found(rate):
    guess, labels, _ = draw(pair_noise(rate))
    symmetric = fit_symmetric(guess, labels)
    assert measure_structure(count_confident(guess, labels)) > 10
    np.testing.assert_allclose(estimate_noise(guess, labels, symmetric), pair_noise(rate), atol=0.08)


def test_without_a_pattern_the_symmetric_matrix_stands():
    guess, labels, _ = draw(spread_evenly(0.2, 5), seed=3)
    symmetric = spread_evenly(0.2, 5)
    np.testing.assert_allclose(estimate_noise(guess, labels, symmetric), symmetric, atol=0.05)


def test_an_opinion_that_knows_weighs_more_than_one_that_guesses():
    guess, labels, _ = draw(spread_evenly(0.2, 5), sure=3.0)
    guesses = np.log(np.random.default_rng(9).dirichlet(np.ones(5), len(labels)))
    weights = fit_weights([guess, guesses], labels, spread_evenly(0.2, 5), np.ones(2))
    assert weights[0] > 10 * weights[1]
    assert weights[0] == pytest.approx(3, abs=0.5)


def test_counts_are_of_the_surest():
    probs = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10 + [[0.2, 0.8]] * 5)
    labels = np.array([0] * 9 + [1] + [1] * 10 + [1] * 5)
    assert count_confident(np.log(probs), labels).tolist() == [[9, 1], [0, 5]]


def test_a_class_that_is_never_named_is_given_back():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 4, 2000)
    scores = rng.normal(0, 1, (2000, 4))
    scores[np.arange(2000), truth] += 4
    scores[:, 2] -= 6  # nobody says 2, though a quarter of the labels do
    labels = np.where(rng.random(2000) < 0.2, (truth + rng.integers(1, 4, 2000)) % 4, truth)
    noise = spread_evenly(0.2, 4)
    opinion = combine_opinions([scores], np.ones(1))
    weights, tilts = fit_tilted([opinion], labels, noise)
    plain, tilted = (
        combine_opinions([opinion], w, t) for w, t in ((fit_weights([opinion], labels, noise, np.ones(1)), 0.0), (weights, tilts))
    )
    assert tilts.argmax() == 2
    assert (plain.argmax(axis=1) == 2).mean() < 0.1
    assert (tilted.argmax(axis=1) == 2).mean() == pytest.approx(0.25, abs=0.03)
    assert (tilted.argmax(axis=1) == truth).mean() > (plain.argmax(axis=1) == truth).mean() + 0.1


def test_tilts_stay_near_nothing_where_labels_say_nothing():
    guess, labels, _ = draw(spread_evenly(0.1, 4), n=3000, seed=6)
    _, tilts = fit_tilted([guess], labels, spread_evenly(0.1, 4))
    assert np.ptp(tilts) < 1.0


def test_a_pattern_that_is_no_pairs_is_believed_half():
    noise = np.array([[0.8, 0.2, 0.0], [0.0, 0.9, 0.1], [0.1, 0.1, 0.8]])
    guess = np.log(np.full((4, 3), [0.25, 0.5, 0.25]))  # so many of each class: 0.05 + 0.05 + 0.05 of the labels are wrong
    found = soften_pattern(noise, guess)
    assert found.sum(axis=1) == pytest.approx(np.ones(3))
    assert found[0] == pytest.approx([(0.8 + 0.85) / 2, (0.2 + 0.075) / 2, 0.075 / 2])
    even = spread_evenly(0.3, 3)
    assert soften_pattern(even, guess) == pytest.approx(even)
