"""How networks and trees are weighed on what is held out: who hedges is not who errs, and few samples do not decide."""

import numpy as np
import pytest

from backends.behaviour.ensemble import weigh


def speak(label, *, right, sure, n_classes=4, seed=0):
    """Return probabilities (N, K) of one who is right in a share `right` of the samples, and always says `sure` of a class."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(label)) < right, label, (label + rng.integers(1, n_classes, len(label))) % n_classes)
    probs = np.full((len(label), n_classes), (1 - sure) / (n_classes - 1), np.float32)
    probs[np.arange(len(label)), said] = sure
    return probs


LABEL = np.arange(400) % 4


def test_trees_that_hedge_and_are_right_have_the_larger_share():
    networks, trees = speak(LABEL, right=0.80, sure=0.9, seed=1), speak(LABEL, right=0.92, sure=0.45, seed=2)
    found = weigh(networks, trees, LABEL)
    assert found.weight < 0.45
    assert found.temperature < 1
    assert found.losses.shape == (400,)
    assert found.losses.mean() < -np.log(trees[np.arange(400), LABEL]).mean()


@pytest.mark.parametrize(("right", "low", "high"), [((0.97, 0.7), 0.6, 1.0), ((0.7, 0.97), 0.0, 0.4)])
def test_who_errs_less_has_the_larger_share(right, low, high):
    networks, trees = (speak(LABEL, right=r, sure=0.8, seed=seed) for seed, r in enumerate(right))
    assert low < weigh(networks, trees, LABEL).weight < high


def test_where_all_are_right_the_share_is_a_third_and_nobody_is_sure_of_everything():
    few = LABEL[:20]
    found = weigh(speak(few, right=1, sure=0.9), speak(few, right=1, sure=0.6), few)
    assert found.weight == pytest.approx(0.3, abs=0.01)
    assert np.exp(-found.losses).max() < 0.98


def test_rows_of_zeros_do_not_break_it():
    found = weigh(np.zeros((8, 3), np.float32), np.zeros((8, 3), np.float32), np.arange(8) % 3)
    assert np.isfinite([found.weight, found.temperature, *found.losses]).all()
