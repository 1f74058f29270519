"""What every entry of a registry must do, whatever it is; a new entry is covered by being there."""

from __future__ import annotations

import numpy as np

__all__ = ["check_model", "check_scorer", "check_strategy"]


def check_model(make, sequences, folder):
    """A model: fit → probabilities that sum to 1, the same for the same seed, and the same again after save → load."""
    model = make().fit(sequences, seed=3)
    probs = model.predict_proba(sequences.pose)
    assert model.classes == sequences.classes
    assert probs.shape == (len(sequences), len(model.classes))
    assert probs.dtype == np.float64
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-9)
    assert probs.min() >= 0
    again = make().fit(sequences, seed=3)
    np.testing.assert_array_equal(again.predict_proba(sequences.pose), probs)
    features = model.embed(sequences.pose)
    assert features.shape[0] == len(sequences)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    model.save(folder, {"taxonomy": "learning-behaviours", "axis": "behaviour"})
    loaded = type(model).load(folder)
    assert loaded.classes == model.classes
    np.testing.assert_allclose(loaded.predict_proba(sequences.pose), probs, atol=1e-6)


def check_scorer(score_samples, evidence):
    """A scoring method: values in [0, 1], and a label that all evidence contradicts is more suspect than one it supports."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    probs = np.full((120, 3), 0.05)
    probs[np.arange(120), labels] = 0.9
    wrong = rng.permutation(120)[:12]
    given = labels.copy()
    given[wrong] = (labels[wrong] + 1) % 3
    features = rng.normal(0, 0.3, (120, 3)) + np.eye(3)[labels] * 4
    margins = np.where(np.isin(np.arange(120), wrong), -2.0, 2.0) + rng.normal(0, 0.1, 120)
    values = score_samples(given, probs, evidence(features=features, margins=margins))
    assert values.shape == (120,)
    assert values.min() >= 0
    assert values.max() <= 1
    right = np.setdiff1d(np.arange(120), wrong)
    assert values[wrong].min() > values[right].max()


def check_strategy(select):
    """A strategy: k different unlabelled indices, all that are left if fewer, the same for the same generator, inputs unchanged."""
    rng = np.random.default_rng(1)
    probs, features = rng.dirichlet(np.ones(4), 60), rng.normal(size=(60, 5))
    labelled = np.zeros(60, bool)
    labelled[:20] = True
    before = probs.copy()
    chosen = select(probs, 10, features=features, labelled=labelled, rng=np.random.default_rng(7))
    assert len(chosen) == len(set(chosen.tolist())) == 10
    assert not labelled[chosen].any()
    again = select(probs, 10, features=features, labelled=labelled, rng=np.random.default_rng(7))
    assert chosen.tolist() == again.tolist()
    everything = select(probs, 1000, features=features, labelled=labelled, rng=np.random.default_rng(7))
    assert sorted(everything.tolist()) == list(range(20, 60))
    assert len(select(probs, 0, features=features, labelled=labelled, rng=np.random.default_rng(7))) == 0
    np.testing.assert_array_equal(probs, before)
