"""The two-layer HMM on drawn sequences whose true behaviours and phases are known."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from backends.behaviour.hmm import _look_around, fit_hmm
from schemas.errors import InvalidField, NotEnoughData

K = 4


def draw_lessons(n=12, length=40, *, seed=0, strength=1.2):
    """Return proposals and true behaviours of students who follow (0, 1) for a while and drift off (2, 3) for a while."""
    rng = np.random.default_rng(seed)
    usual = np.array([[0.7, 0.25, 0.03, 0.02], [0.05, 0.05, 0.5, 0.4]])
    proposals, truth, phases = [], [], []
    for _ in range(n):
        phase = np.cumsum(rng.random(length) < 0.08) % 2
        value = np.empty(length, int)
        for t in range(length):
            stays = t and phase[t] == phase[t - 1] and rng.random() < 0.6
            value[t] = value[t - 1] if stays else rng.choice(K, p=usual[phase[t]])
        logits = rng.normal(size=(length, K)) + strength * np.eye(K)[value]
        proposals.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
        truth.append(value)
        phases.append(phase)
    return proposals, truth, phases


@pytest.fixture(scope="module")
def lessons():
    return draw_lessons()


@pytest.fixture(scope="module")
def learnt(lessons):
    return fit_hmm(lessons[0], n_phases=2)


def test_smoothing_brings_proposals_nearer_to_the_truth(learnt):
    proposals, truth, _ = draw_lessons(seed=1)
    before = np.concatenate([p.argmax(axis=1) == v for p, v in zip(proposals, truth, strict=True)]).mean()
    smoothed = [learnt.smooth(p) for p in proposals]
    after = np.concatenate([p.argmax(axis=1) == v for p, v in zip(smoothed, truth, strict=True)]).mean()
    assert before < 0.7
    assert after > before + 0.08
    for one in smoothed:
        np.testing.assert_allclose(one.sum(axis=1), 1)


def test_phases_are_found(learnt):
    proposals, _, phases = draw_lessons(seed=2)
    found = np.concatenate([learnt.infer_phases(p).argmax(axis=1) for p in proposals])
    agreement = (found == np.concatenate(phases)).mean()
    assert max(agreement, 1 - agreement) > 0.85


def test_wrong_labels_surprise(learnt):
    proposals, truth, _ = draw_lessons(seed=3)
    rng = np.random.default_rng(0)
    surprise, wrong = [], []
    for probs, value in zip(proposals, truth, strict=True):
        flip = rng.random(len(value)) < 0.1
        said = np.where(flip, (value + rng.integers(1, K, len(value))) % K, value)
        surprise.append(learnt.compute_surprise(probs, said))
        wrong.append(flip)
    surprise, wrong = np.concatenate(surprise), np.concatenate(wrong)
    assert surprise.min() >= 0
    assert surprise.max() <= 1
    assert roc_auc_score(wrong, surprise) > 0.75


def test_what_is_expected_does_not_depend_on_the_own_proposal(learnt, lessons):
    probs = lessons[0][0][:9].copy()
    around = _look_around(learnt.start, learnt.change, probs / learnt.prior)
    probs[4] = [0.1, 0.2, 0.3, 0.4]
    np.testing.assert_allclose(_look_around(learnt.start, learnt.change, probs / learnt.prior)[4], around[4])


def test_the_recursions_are_hmmlearns(learnt, lessons):
    from hmmlearn.hmm import CategoricalHMM

    model = CategoricalHMM(2, n_features=K)
    model.startprob_, model.transmat_, model.emissionprob_ = learnt.phase_start, learnt.phase_change, learnt.phase_behaviour
    value = lessons[1][0]
    seen = learnt.phase_behaviour[:, value].T
    found = _look_around(learnt.phase_start, learnt.phase_change, seen) * seen
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), model.predict_proba(value[:, None]), atol=1e-9)


def test_few_data_and_certain_proposals_are_fine():
    learnt = fit_hmm([np.eye(3)[[0, 0, 1]], np.eye(3)[[2]]])
    assert learnt.phase_change.shape == (1, 1)
    np.testing.assert_array_equal(learnt.smooth(np.eye(3)[[0, 1, 2]]).argmax(axis=1), [0, 1, 2])
    alone = learnt.compute_surprise(np.eye(3)[[1]], np.array([1]))
    assert 0 < alone[0] < 1


def test_the_same_seed_gives_the_same_model(lessons):
    first, second = (fit_hmm(lessons[0][:3], seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.phase_behaviour, second.phase_behaviour)
    np.testing.assert_array_equal(first.change, second.change)


def test_bad_input_is_named(learnt):
    with pytest.raises(NotEnoughData, match="tubelets to learn"):
        fit_hmm([np.zeros((0, 3))])
    with pytest.raises(InvalidField, match="the same behaviours in every sequence"):
        fit_hmm([np.eye(3), np.eye(2)])
    with pytest.raises(InvalidField, match="4 behaviours"):
        learnt.smooth(np.eye(3))
