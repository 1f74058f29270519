"""The default ranking: what it finds on known mistakes, how well it knows how sure it is, and what it says of each."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from curation.benchmarks.mislabels import measure_calibration
from curation.scoring.diagnose import diagnose_labels
from curation.scoring.kinds import KINDS, find_strangers, tell_kinds
from curation.scoring.methods import Evidence
from curation.scoring.neighbours import Neighbours, find_neighbours, scale_features
from curation.scoring.rank import rank_labels
from curation.scoring.reasons import Reasons
from curation.scoring.refine import assign_rows

SPREAD = 1.2


def make_clouds(noise, *, n=600, n_classes=4, seed=0):
    """Return features of overlapping clouds, labels of which some are wrong, probabilities of a mediocre model, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    features = 3 * np.eye(n_classes, 6)[truth] + rng.normal(0, 0.8, (n, 6))
    wrong = rng.random(n) < 0.3
    step = 1 if noise == "pairwise" else rng.integers(1, n_classes, n)
    labels = np.where(wrong, (truth + step) % n_classes, truth)
    share = (
        np.full((n_classes, n_classes), 0.3 / (n_classes - 1)) if noise != "pairwise" else 0.3 * np.roll(np.eye(n_classes), 1, 1)
    )
    np.fill_diagonal(share, 0.7)
    logits = (
        np.log(share[truth]) * 0.7 + rng.normal(0, SPREAD, (n, n_classes))
        if noise != "pairwise"
        else rng.normal(0, 0.7, (n, n_classes)) + 3 * share[truth]
    )
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return features, labels, probs, truth


@pytest.mark.parametrize("noise", ["symmetric", "pairwise"])
def test_features_find_more_and_probabilities_of_being_wrong_hold(noise):
    features, labels, probs, truth = make_clouds(noise)
    wrong = labels != truth
    alone = rank_labels(labels, probs)
    ranking = rank_labels(labels, probs, features=features)
    assert average_precision_score(wrong, alone.score) < 0.95
    assert average_precision_score(wrong, ranking.score) > 0.97
    assert measure_calibration(ranking.wrong, wrong) <= 0.05
    assert (ranking.suggested == truth)[wrong].mean() > 0.9
    by_loss = rank_labels(labels, probs, method="loss")
    assert alone.order.tolist() == by_loss.order.tolist()


def test_probability_of_being_wrong_never_falls_with_the_score():
    features, labels, probs, _ = make_clouds("symmetric", seed=2)
    margins = np.random.default_rng(0).normal(size=len(labels))
    for known in ({}, {"features": features}, {"features": features, "margins": margins}, {"margins": margins}):
        ranking = rank_labels(labels, probs, **known)
        assert (np.diff(ranking.wrong[ranking.order]) <= 1e-12).all()
        assert ranking.wrong.min() >= 0
        assert ranking.wrong.max() <= 1


def test_two_models_count_as_two_opinions():
    _, labels, probs, truth = make_clouds("symmetric", seed=3)
    _, _, other, _ = make_clouds("symmetric", seed=3)
    other = np.roll(other, 1, axis=0) * 0.02 + 0.98 * np.eye(4)[truth]
    found = diagnose_labels(labels, (probs + other) / 2, Evidence(opinions=(probs, other)))
    assert average_precision_score(labels != truth, found.score) > 0.97
    assert found.reasons.n_models == 2


def test_annotators_and_proposals_shift_the_odds():
    _, labels, probs, truth = make_clouds("symmetric", seed=4)
    wrong = labels != truth
    plain = average_precision_score(wrong, diagnose_labels(labels, probs, Evidence()).score)
    votes = np.where(np.random.default_rng(0).random((len(labels), 2)) < 0.8, truth[:, None], -1)
    heard = diagnose_labels(labels, probs, Evidence(votes=votes))
    assert average_precision_score(wrong, heard.score) > plain + 0.05
    useless = diagnose_labels(labels, probs, Evidence(surprise=np.zeros(len(labels))))
    assert average_precision_score(wrong, useless.score) == pytest.approx(plain, abs=0.01)


def test_the_same_input_gives_the_same_answer():
    features, labels, probs, _ = make_clouds("pairwise", seed=5, n=200)
    one, two = (rank_labels(labels, probs, features=features) for _ in range(2))
    np.testing.assert_array_equal(one.score, two.score)


def test_kinds_are_told_apart():
    labels = np.array([0, 0, 0, 0, 0, 0])
    guess = np.array(
        [[0.05, 0.9, 0.05], [0.5, 0.45, 0.05], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.9, 0.05, 0.05]]
    )
    kinds = tell_kinds(
        labels,
        guess,
        np.array([0.95, 0.4, 0.5, 0.1, 0.1, 0.1]),
        guess.argmax(axis=1),
        stranger=np.array([0, 0, 1, 0, 0, 0], bool),
        duplicate=np.array([0, 0, 0, 0, 1, 0], bool),
        geometry=np.array([0, 0, 0, 0.9, 0, 0.2]),
    )
    assert [KINDS[k] for k in kinds] == [
        "wrong-label", "ambiguous", "out-of-taxonomy", "bad-track", "conflicting-duplicate", "none",
    ]  # fmt: skip


def test_a_duplicate_with_another_label_and_a_stranger_are_seen():
    features, labels, probs, _ = make_clouds("symmetric", seed=6)
    groups = np.arange(len(labels)) // 2
    features[1], labels[1] = features[0], (labels[0] + 1) % 4
    features[7] = 40.0
    probs[7] = 0.25
    ranking = rank_labels(labels, probs, features=features, groups=groups)
    assert [KINDS[k] for k in ranking.kind[:2]] == ["conflicting-duplicate"] * 2
    assert (ranking.kind == KINDS.index("conflicting-duplicate")).sum() == 2
    assert find_strangers(find_neighbours(scale_features(features), 5))[7]


def test_reasons_name_the_witnesses():
    near = Neighbours(index=np.array([[1, 2], [0, -1], [0, 1]]), distance=np.ones((3, 2), np.float32))
    labels, suggested = np.array([2, 1, 1]), np.array([1, 1, 0])
    votes = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 0]])
    told = Reasons.collect(labels, suggested, np.full((3, 3), 1 / 3), votes=votes, nearest=near)
    assert told.write(("read", "write", "phone")).tolist() == [
        "3 of 3 models say write; nearest 2 of 2 are write; labelled phone",
        "2 of 3 models say write; nearest 0 of 1 are write; as labelled",
        "2 of 3 models say read; nearest 0 of 2 are read; labelled write",
    ]
    assert told.write(rows=np.array([2]))[0] == "2 of 3 models say 0; nearest 0 of 2 are 0; labelled 1"
    plain = Reasons.collect(labels, suggested, np.array([[0, 0.75, 0.25], [0, 1, 0], [0.5, 0.5, 0]]))
    assert plain.write()[0] == "the model says 1 (75 %); labelled 2 (25 %)"


def test_reasons_name_annotators_proposals_and_what_is_unlikely():
    labels, suggested = np.array([0, 0, 1]), np.array([1, 0, 1])
    known = Evidence(
        votes=np.array([[0, 1, 3], [0, 0, -1], [-1, -1, -1]]),
        proposed=np.array([1, 0, 3]),
        surprise=np.array([4.0, 0.1, np.nan]),
        geometry=np.array([0.1, 0.9, np.nan]),
    )
    votes = np.array([[1, 0, 1], [1, 1, 1]])
    told = Reasons.collect(labels, suggested, np.full((3, 3), 1 / 3), votes=votes, evidence=known)
    assert told.write(("read", "write", "phone")).tolist() == [
        "2 of 2 models say write; 2 of 3 annotators say another than read; write was proposed; "
        "read is unlikely between what comes before and after; labelled read",
        "box or skeleton cannot be right; 1 of 2 models say read; as labelled",
        "2 of 2 models say write; another value was proposed; as labelled",
    ]


def test_a_class_of_one_group_is_neither_cleared_nor_accused():
    features, labels, probs, _ = make_clouds("symmetric")
    groups = np.arange(len(labels)) % 12
    rare = np.flatnonzero(groups == 5)[:9]
    labels[rare] = 4
    probs = np.column_stack([probs, np.full(len(probs), 1e-3)]) / 1.001
    ranking = rank_labels(labels, probs, features=features, groups=groups)
    others = np.delete(np.arange(len(labels)), rare)
    assert ranking.wrong[rare] == pytest.approx(ranking.wrong[others].mean())
    assert not (ranking.kind[rare] == KINDS.index("wrong-label")).any()
    alone = rank_labels(labels, probs, features=features, groups=np.zeros(len(labels), int))
    assert np.ptp(alone.wrong) > 0.5


def test_a_group_lies_in_one_fold_and_neighbours_are_of_other_groups():
    groups = np.repeat(np.arange(12), 5)
    fold = assign_rows(groups, 60, 3)
    assert all(len(set(fold[groups == g])) == 1 for g in range(12))
    assert set(fold.tolist()) == {0, 1, 2, 3, 4}
    rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    near = find_neighbours(rows, 4, groups=groups)
    assert (groups[near.index] != groups[:, None]).all()
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    apart[groups[:, None] == groups[None]] = np.inf
    np.testing.assert_allclose(near.distance, np.sort(apart, axis=1)[:, :4], rtol=1e-3, atol=1e-3)


def test_approximate_neighbours_are_nearly_the_nearest(monkeypatch):
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=(20, 8))[rng.integers(0, 20, 3000)] * 3 + rng.normal(size=(3000, 8))).astype(np.float32)
    exact = find_neighbours(rows, 10)
    monkeypatch.setattr("curation.scoring.neighbours.MOST_EXACT", 100)
    rough = find_neighbours(rows, 10)
    assert (rough.index != np.arange(3000)[:, None]).all()
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.index.tolist(), rough.index.tolist(), strict=True)])
    assert found > 0.7


@pytest.mark.parametrize(
    ("n", "n_classes", "n_groups"), [(1, 1, 1), (1, 3, 1), (2, 2, 1), (40, 3, 1), (60, 600, 60), (50, 40, 2), (64, 2, 64)]
)
def test_odd_shapes_give_an_answer(n, n_classes, n_groups):
    rng = np.random.default_rng(0)
    labels, probs = rng.integers(0, max(n_classes - 1, 1), n), rng.dirichlet(np.ones(n_classes), n)
    groups = np.arange(n) % n_groups
    ranking = rank_labels(labels, probs, features=rng.normal(size=(n, 4)), groups=groups)
    assert sorted(ranking.order.tolist()) == list(range(n))
    assert np.isfinite(ranking.wrong).all()


def test_constant_features_and_one_label_only():
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 40)
    ranking = rank_labels(np.zeros(40, int), probs, features=np.ones((40, 3)))
    assert np.isfinite(ranking.score).all()
