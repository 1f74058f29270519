"""Models that are taught again: what they say of a sample, and whether its own label is heard in it."""

import numpy as np
import pytest

from curation.scoring.noise import compute_log_posterior, spread_evenly
from curation.scoring.teach import assign_rows, teach_apart, teach_both

K = 4


@pytest.fixture
def blobs():
    """(features, labels, truth) of four classes that lie close together; 40 % of the labels are wrong."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, K, 240)
    features = (1.2 * np.eye(K, 6)[truth] + rng.normal(0, 1, (240, 6))).astype(np.float32)
    return features, np.where(rng.random(240) < 0.4, (truth + rng.integers(1, K, 240)) % K, truth), truth


def test_what_is_said_apart_does_not_change_with_the_samples_own_fold(blobs):
    features, labels, truth = blobs
    noise, fold = spread_evenly(0.4, K), assign_rows(None, 240, 0)
    before = teach_apart(labels, noise, fold, features, features)
    other = np.where(fold == 1, (labels + 1) % K, labels)
    after = teach_apart(other, noise, fold, features, features)
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[fold == 1], two[fold == 1])
        assert not np.allclose(one[fold != 1], two[fold != 1])
        assert (one.argmax(axis=1) == truth).mean() > 0.35


def test_taught_on_what_others_made_of_the_label_models_echo_it(blobs):
    features, labels, truth = blobs
    noise, fold = spread_evenly(0.4, K), assign_rows(None, 240, 0)
    first = teach_both(np.log(np.maximum(np.eye(K)[labels], 1e-3)), [fold], features, features)[1]
    posterior, _ = compute_log_posterior(first, labels, noise)
    echoed = teach_both(posterior, [fold], features, features)[1]
    apart = teach_apart(labels, noise, fold, features, features)[1]
    wrong = labels != truth
    agree = [(said.argmax(axis=1) == labels)[wrong].mean() for said in (echoed, apart)]
    assert agree[0] > agree[1] + 0.03
