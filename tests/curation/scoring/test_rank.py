"""Ranking: order, ties, ranges, and one line for what cannot be ranked."""

import csv
import time

import numpy as np
import pytest

from curation.scoring.rank import rank_labels, rank_scores, write_ranking
from schemas.errors import InvalidField, NotEnoughData, UnknownName
from schemas.scores import SampleScore

PROBS = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.01, 0.99]])
LABELS = np.array([0, 0, 1, 0])


def test_cross_entropy_decides():
    ranking = rank_labels(LABELS, PROBS)
    assert ranking.order.tolist() == [3, 1, 2, 0]
    np.testing.assert_allclose(ranking.loss, -np.log([0.9, 0.2, 0.5, 0.01]))
    np.testing.assert_allclose(ranking.score, [0.1, 0.8, 0.5, 0.99])
    assert ranking.suggested.tolist() == [0, 1, 0, 1]


def test_margin_counts_the_rival():
    probs = np.array([[0.4, 0.3, 0.3], [0.4, 0.6, 0.0]])
    ranking = rank_labels(np.array([0, 0]), probs, method="margin")
    np.testing.assert_allclose(ranking.score, [0.45, 0.6])


def test_ties_go_by_loss_and_then_by_index():
    probs = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [1e-20, 1, 0], [1e-30, 1, 0]])
    assert rank_labels(np.array([0, 1, 0, 0]), probs).order.tolist() == [3, 2, 0, 1]


def test_probability_zero_has_a_finite_loss():
    ranking = rank_labels(np.array([1]), np.array([[1.0, 0.0]]))
    assert np.isfinite(ranking.loss).all()
    assert ranking.score.tolist() == [1.0]


def test_margins_of_training_change_the_default():
    margins = np.array([-5.0, 1, 2, 3])
    assert rank_labels(LABELS, PROBS, method="aum", margins=margins).order[0] == 0
    both = rank_labels(LABELS, PROBS, margins=margins)
    assert both.order.tolist() == [1, 3, 0, 2]


def test_neighbours_of_the_same_group_do_not_count():
    features = np.array([[0.0], [0.01], [0.02], [9.0], [9.01], [9.02]])
    labels, probs = np.array([0, 0, 1, 1, 1, 0]), np.full((6, 2), 0.5)
    one_group = rank_labels(labels, probs, method="knn", features=features, groups=np.array(list("aaabbb")))
    np.testing.assert_allclose(one_group.score, [2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3], atol=0.34)
    with pytest.raises(InvalidField, match="--features"):
        rank_labels(labels, probs, method="knn")
    with pytest.raises(InvalidField, match="training margins"):
        rank_labels(labels, probs, method="aum")


@pytest.mark.parametrize(
    ("labels", "probs", "error", "message"),
    [
        ([0], [[0.5, 0.6]], InvalidField, "rows that sum to 1, got row 0 sums to 1.1"),
        ([0], [[np.nan, 1]], InvalidField, "row 0 has NaN or inf"),
        ([0, 2], [[1, 0], [1, 0]], InvalidField, "columns from 0 to 1, got 2 at index 1"),
        ([-1], [[1, 0]], InvalidField, "got -1 at index 0"),
        ([0], [[1, 0], [1, 0]], InvalidField, "labels: expected 2 of them, one for each row of the probabilities, got 1"),
        ([0.0], [[1, 0]], InvalidField, "whole numbers"),
        ([[0]], [[1, 0]], InvalidField, "labels: expected an array of shape"),
        ([0], [1, 0], InvalidField, "probs: expected an array of shape"),
        (np.zeros(0, int), np.zeros((0, 3)), NotEnoughData, "samples to rank"),
    ],
)
def test_bad_input_is_one_line(labels, probs, error, message):
    with pytest.raises(error, match=message) as caught:
        rank_labels(np.array(labels), np.array(probs))
    assert "\n" not in str(caught.value)


def test_unknown_method_lists_the_known():
    with pytest.raises(UnknownName, match="unknown scoring method 'best'; known: aum, aum-seen, default, disagreement, edit"):
        rank_labels(LABELS, PROBS, method="best")


def test_ten_thousand_classes_and_one_sample():
    probs = np.full((3, 10_000), 1e-4)
    assert rank_labels(np.array([0, 5, 9_999]), probs).order.tolist() == [0, 1, 2]
    assert rank_labels(np.array([0]), np.array([[1.0]])).loss.tolist() == [0.0]


@pytest.fixture(scope="module")
def million():
    rng = np.random.default_rng(0)
    return rng.integers(0, 8, 1_000_000), rng.dirichlet(np.ones(8), 1_000_000)


def compute_seconds(work):
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def test_a_million_samples_beside_cleanlab(million):
    find_label_issues = pytest.importorskip("cleanlab.filter").find_label_issues
    labels, probs = million
    rank_labels(labels[:1000], probs[:1000])
    ours, ranking = compute_seconds(lambda: rank_labels(labels, probs))
    theirs, _ = compute_seconds(lambda: find_label_issues(labels, probs, return_indices_ranked_by="self_confidence", n_jobs=1))
    assert ours <= 0.8 * theirs
    assert (np.diff(ranking.score[ranking.order]) <= 0).all()


@pytest.mark.slow
def test_a_million_samples_take_at_most_a_second(million):
    labels, probs = million
    assert min(compute_seconds(lambda: rank_labels(labels, probs))[0] for _ in range(3)) <= 1.0


def test_written_ranking_holds_every_index_once(tmp_path):
    ranking = rank_labels(LABELS, PROBS)
    write_ranking(tmp_path / "r.csv", ranking, LABELS)
    with (tmp_path / "r.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["index", "label", "suggested", "score", "loss", "wrong", "kind", "reason"]
    assert rows[0]["reason"] == "the model says 1 (99 %); labelled 0 (1 %)"
    assert [int(row["index"]) for row in rows] == [3, 1, 2, 0]
    assert [float(row["loss"]) for row in rows] == ranking.loss[ranking.order].tolist()


def test_names_with_commas_and_quotes_survive(tmp_path):
    names = ('say "hi"', "a, b")
    write_ranking(tmp_path / "r.csv", rank_labels(LABELS, PROBS), LABELS, names)
    with (tmp_path / "r.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == [names[LABELS[i]] for i in (3, 1, 2, 0)]
    write_ranking(tmp_path / "p.csv", rank_labels(LABELS, PROBS), LABELS, ("read", "write"))
    assert (tmp_path / "p.csv").read_text().splitlines()[1].startswith("3,read,write,0.99,")


def make_score(name, value, **changes):
    fields = {
        "axis": "hands",
        "label": "pen",
        "suggested": "free",
        "loss": value,
        "method": "loss",
        "model": "m",
        "out_of_sample": True,
    }
    return SampleScore(tubelet_id=name, value=value, **(fields | changes))


def test_scores_are_ranked_only_if_they_can_be_compared():
    ranked = rank_scores([make_score("b", 0.2), make_score("a", 0.2), make_score("c", 0.9)])
    assert [s.tubelet_id for s in ranked] == ["c", "a", "b"]
    with pytest.raises(InvalidField, match="scores: method: expected one, got default, loss"):
        rank_scores([make_score("a", 0.1), make_score("b", 0.1, method="default")])
    with pytest.raises(InvalidField, match="in-sample score of b"):
        rank_scores([make_score("a", 0.1), make_score("b", 0.1, out_of_sample=False)])
    assert rank_scores([]) == []
