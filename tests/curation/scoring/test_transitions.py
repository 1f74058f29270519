"""Transition surprise: high for a label that fits neither what comes before nor after, and learnt without its fold."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from curation.scoring.methods import Evidence
from curation.scoring.transitions import compute_surprise
from curation.scoring.witnesses import score_by_surprise


def make_students(n=40, length=12, n_classes=4, *, seed=0):
    """Return labels of which a tenth is wrong, poor probabilities, folds by student, timelines, and what is wrong; spells of 4."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.integers(0, n_classes, (n, length // 4)), 4, axis=1).ravel()
    labels = np.where(rng.random(len(truth)) < 0.1, (truth + rng.integers(1, n_classes, len(truth))) % n_classes, truth)
    logits = 1.5 * np.eye(n_classes)[truth] + rng.normal(0, 1, (len(truth), n_classes))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    timelines = list(np.arange(len(truth)).reshape(n, length))
    return labels, probs, np.repeat(np.arange(n) % 4, length), timelines, labels != truth


def test_what_breaks_a_spell_is_surprising():
    labels, probs, fold, timelines, wrong = make_students()
    surprise = compute_surprise(labels, probs, fold, timelines)
    assert roc_auc_score(wrong, surprise) > 0.85
    assert (surprise >= 0).all()


def test_a_moments_own_look_is_not_heard_and_its_fold_does_not_teach():
    labels, probs, fold, timelines, _ = make_students()
    surprise = compute_surprise(labels, probs, fold, timelines)
    other = probs.copy()
    other[5] = np.roll(other[5], 1)
    changed = compute_surprise(labels, other, fold, timelines)
    rest = np.setdiff1d(timelines[0], [5])
    assert changed[5] == pytest.approx(surprise[5], abs=1e-3)
    assert np.abs(changed[rest] - surprise[rest]).max() > 0.1
    same_fold = np.concatenate(timelines[4::4])
    assert np.corrcoef(changed[same_fold], surprise[same_fold])[0, 1] > 0.999


def test_who_stands_alone_says_nothing():
    labels, probs, fold, timelines, _ = make_students()
    alone = [*timelines[1:], timelines[0][:1]]
    surprise = compute_surprise(labels, probs, fold, alone)
    assert np.isnan(surprise[timelines[0]]).all()
    assert np.isfinite(surprise[12:]).all()
    score = score_by_surprise(labels, probs, Evidence(surprise=surprise))
    assert (score[timelines[0]] == 0.5).all()
    assert np.argmax(score) == np.nanargmax(surprise)
    assert compute_surprise(labels, probs, fold, [rows[:1] for rows in timelines]) is None
    assert compute_surprise(labels, probs, np.zeros_like(fold), timelines) is None
