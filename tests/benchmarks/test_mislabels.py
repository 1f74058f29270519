"""`curate bench mislabels`: its measures on values told by hand, its noises, and what it says of a result."""

import numpy as np
import pytest

from curation.benchmarks.mislabels import (
    Trial,
    bench_mislabels,
    measure_calibration,
    measure_chance,
    measure_effort,
    summarise_trials,
)
from curation.benchmarks.mislabels_data import EXERCISES, NOISES, LabelledData, load_exercises, spoil_labels
from curation.benchmarks.mislabels_peers import PEERS
from schemas.errors import InvalidField


def make_trial(ours, theirs, **changes):
    scores = dict.fromkeys(PEERS, theirs) | {"default": ours}
    fields = {"data": "digits", "noise": "symmetric 20 %", "seed": 0, "rate": 0.2, "ece": 0.01, "chance": 0.004, "suggested": 0.9}
    effort = {**scores, "random": 0.75}
    return Trial(**(fields | changes), precision=scores, at_k=scores, effort=effort)


def test_effort_counts_labels_until_one_in_twenty_is_wrong():
    wrong = np.zeros(40, bool)
    wrong[[0, 1, 2, 9]] = True
    score = -np.arange(40.0)
    assert measure_effort(score, wrong) == 2 / 40
    assert measure_effort(-score, wrong) == 38 / 40
    assert measure_effort(score, np.zeros(40, bool)) == 0


def test_calibration_is_the_mean_distance_of_said_and_so():
    assert measure_calibration(np.array([0.05, 0.05, 0.95, 0.95]), np.array([0, 0, 1, 1], bool)) == pytest.approx(0.05)
    assert measure_calibration(np.array([0.5, 0.5]), np.array([1, 0], bool)) == 0
    assert measure_calibration(np.array([1.0]), np.array([False])) == 1


def test_true_probabilities_have_an_error_that_falls_with_the_number_of_samples():
    few, many = (measure_chance(np.linspace(0, 1, n)) for n in (100, 10_000))
    assert 0.05 < few < 0.15
    assert many == pytest.approx(few / 10, rel=0.3)
    assert measure_chance(np.zeros(50)) == 0


def test_what_was_wanted_and_missed_is_said():
    result = summarise_trials([make_trial(0.99, 0.8), make_trial(0.5, 0.52, noise="pairwise 40 %", ece=0.2)])
    assert "precision 1.100 x the best of 5 peers" in result.line
    assert "digits, pairwise 40 %: average precision 0.500, self-confidence 0.520" in result.missed
    assert "digits, pairwise 40 %: calibration error 0.200, wanted 0.05" in result.missed
    assert "ECE 0.200 (by chance 0.004)" in result.rows[1]
    assert summarise_trials([make_trial(0.99, 0.8)]).missed == ()


@pytest.mark.parametrize("noise", list(NOISES))
def test_noise_has_its_rate_and_the_same_seed_the_same_labels(noise):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 3000)
    features = (np.eye(5, 8)[truth] * 2 + rng.normal(size=(3000, 8))).astype(np.float32)
    data = LabelledData(features=features, truth=truth, groups=np.arange(3000), judge="logreg")
    labels = spoil_labels(data, noise, 1)
    assert (labels != truth).mean() == pytest.approx(NOISES[noise][1], abs=0.03)
    np.testing.assert_array_equal(labels, spoil_labels(data, noise, 1))
    if noise.startswith("pairwise"):
        assert set(((labels - truth) % 5).tolist()) == {0, 1}


def test_what_is_not_there_is_one_line(monkeypatch):
    monkeypatch.delenv(EXERCISES, raising=False)
    with pytest.raises(InvalidField, match=EXERCISES):
        load_exercises(0)
    with pytest.raises(InvalidField, match="part of `bench mislabels`: expected digits, rendered, exercises, retraining"):
        bench_mislabels(rounds=1, parts=("faces",))
