"""What each strategy prefers, and the simulated curve."""

import numpy as np
import pytest

from curation.select import STRATEGIES
from curation.select.simulate import simulate_labelling, write_curve
from schemas.errors import InvalidField, NotEnoughData, UnknownName

PROBS = np.array([[0.98, 0.01, 0.01], [0.5, 0.49, 0.01], [0.4, 0.3, 0.3], [0.55, 0.25, 0.2]])


@pytest.mark.parametrize(
    ("name", "order"), [("margin", [1, 2, 3, 0]), ("entropy", [2, 3, 1, 0]), ("least-confidence", [2, 1, 3, 0])]
)
def test_uncertainty_orders(name, order):
    chosen = STRATEGIES.load(name)(PROBS, 4, rng=np.random.default_rng(0))
    assert chosen.tolist() == order


def test_typical_covers_clusters_and_prefers_their_middle():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [20, 0], [0, 20]])
    features = np.concatenate([c + rng.normal(0, 1, (30, 2)) for c in centres])
    features[5] = (8, 8)
    chosen = STRATEGIES.load("typiclust")(np.full((90, 3), 1 / 3), 3, features=features, rng=np.random.default_rng(1))
    assert sorted((chosen // 30).tolist()) == [0, 1, 2]
    assert all(np.linalg.norm(features[i] - centres[i // 30]) < 1.5 for i in chosen)


def test_typical_goes_on_to_clusters_without_labels():
    features = np.concatenate([np.zeros((20, 2)), np.full((20, 2), 9.0)]) + np.random.default_rng(0).normal(0, 0.1, (40, 2))
    labelled = np.zeros(40, bool)
    labelled[3] = True
    chosen = STRATEGIES.load("typiclust")(
        np.full((40, 2), 0.5), 1, features=features, labelled=labelled, rng=np.random.default_rng(0)
    )
    assert chosen[0] >= 20


def test_typical_then_margin_changes_when_labels_are_enough():
    rng = np.random.default_rng(2)
    probs, features, labelled = rng.dirichlet(np.ones(3), 50), rng.normal(size=(50, 4)), np.zeros(50, bool)
    labelled[:9] = True
    chosen = STRATEGIES.load("typical-margin")(probs, 4, features=features, labelled=labelled, rng=np.random.default_rng(0))
    expected = STRATEGIES.load("margin")(probs, 4, labelled=labelled, rng=np.random.default_rng(0))
    assert chosen.tolist() == expected.tolist()
    with pytest.raises(InvalidField, match="features"):
        STRATEGIES.load("typical-margin")(probs, 4, rng=np.random.default_rng(0))


def test_bad_input_is_named():
    with pytest.raises(InvalidField, match="k: expected how many"):
        STRATEGIES.load("random")(PROBS, -1, rng=np.random.default_rng(0))
    with pytest.raises(InvalidField, match="labelled: expected an array of shape"):
        STRATEGIES.load("random")(PROBS, 1, labelled=np.zeros(3, bool), rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def motions(sequence_factory):
    return sequence_factory(96, n_groups=6, n_frames=4, seed=8, noise=0.03)


def run(motions, **changes):
    settings = {"strategy": "random", "test_groups": ["video-0", "video-1"], "budgets": [16, 40], "model": "logreg", "seed": 1}
    return simulate_labelling(motions, **(settings | changes))


def test_curve_ends_with_the_whole_pool(motions, tmp_path):
    points = run(motions)
    assert [(p.round, p.n_labelled) for p in points] == [("1", 16), ("2", 40), ("full", 64)]
    assert all(0 <= p.accuracy <= 1 and 0 <= p.macro_f1 <= 1 for p in points)
    assert points == run(motions)
    write_curve(tmp_path / "c.csv", points)
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert lines[0] == "round,n_labelled,accuracy,macro_f1"
    assert lines[-1].startswith("full,64,")


def test_the_whole_pool_gives_the_same_model_whatever_the_strategy(motions):
    assert run(motions)[-1] == run(motions, strategy="typical-margin", budgets=[20])[-1]


def test_a_first_batch_of_one_class_is_measured_too(motions):
    points = run(motions, budgets=[1, 30])
    assert points[0].accuracy == 0.125


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"strategy": "best"}, UnknownName, "unknown strategy 'best'; known: entropy"),
        ({"test_groups": ["nobody"]}, UnknownName, "unknown group 'nobody'"),
        ({"test_groups": []}, NotEnoughData, "groups"),
        ({"budgets": [40, 16]}, InvalidField, "increasing"),
        ({"budgets": []}, InvalidField, "increasing"),
        ({"budgets": [65]}, InvalidField, "at most the 64 sequences"),
    ],
)
def test_what_cannot_be_simulated_is_said(motions, changes, error, message):
    with pytest.raises(error, match=message):
        run(motions, **changes)
