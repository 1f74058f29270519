"""The commands that read and write plain files: rank, crossval, simulate."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from curation.cli import cli
from schemas.errors import FormatError, InvalidField, NotEnoughData, UnknownName
from schemas.sequences import write_sequences


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli, list(words))


@pytest.fixture
def files(tmp_path, sequence_factory):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "y.npy", rng.integers(0, 3, 20))
    np.save(tmp_path / "p.npy", rng.dirichlet(np.ones(3), 20))
    write_sequences(tmp_path / "s.npz", sequence_factory(48, n_groups=3, n_frames=3))
    return tmp_path


def read_rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_rank_from_probabilities(call, files):
    result = call("rank", "--labels", "y.npy", "--probs", "p.npy", "--out", "r.csv")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("r.csv: 20 labels ranked by default")
    rows = read_rows(files / "r.csv")
    assert sorted(int(row["index"]) for row in rows) == list(range(20))
    labels, probs = np.load(files / "y.npy"), np.load(files / "p.npy")
    top = int(rows[0]["index"])
    assert probs[top, labels[top]] == probs[np.arange(20), labels].min()


def test_rank_from_sequences_trains_what_it_needs(call, files):
    result = call("rank", "--sequences", "s.npz", "--model", "logreg", "--folds", "all", "--out", "r.csv", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["ranked"] == 48
    rows = read_rows(files / "r.csv")
    assert {row["reason"].split()[1:4] == ["of", "3", "models"] for row in rows} == {True}
    assert {row["label"] for row in rows} <= {"attend", "look-aside", "phone", "raise-hand", "sleep", "stand", "turn-page", "write"}
    first = (files / "r.csv").read_bytes()
    call("rank", "--sequences", "s.npz", "--model", "logreg", "--folds", "all", "--out", "r.csv")
    assert (files / "r.csv").read_bytes() == first


def test_crossval_writes_probabilities(call, files):
    result = call("crossval", "--sequences", "s.npz", "--model", "logreg", "--test-group", "video-1", "--out", "preds.npz")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith("preds.npz: 16 of 48 sequences predicted in 1 folds, accuracy 0.")
    with np.load(files / "preds.npz", allow_pickle=False) as stored:
        assert stored["probs"].shape == (48, 8)
        assert (stored["fold"] >= 0).sum() == 16


def test_simulate_writes_a_curve(call, files):
    words = ("--strategy", "margin", "--test-groups", "video-0", "--budgets", "10,20", "--seed", "3", "--model", "logreg")
    result = call("simulate", "--sequences", "s.npz", *words, "--out", "c.csv")
    assert result.exit_code == 0, result.output
    assert [row["round"] for row in read_rows(files / "c.csv")] == ["1", "2", "full"]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("rank", "--labels", "no.npy", "--probs", "p.npy"), FormatError, "no.npy: file: expected an existing .npy array"),
        (("rank", "--labels", "y.npy", "--probs", "s.npz"), FormatError, "an .npz of several"),
        (("rank", "--labels", "bad.npy", "--probs", "p.npy"), FormatError, "without pickled objects"),
        (("rank", "--labels", "text.npy", "--probs", "p.npy"), FormatError, "text.npy: file"),
        (("rank", "--labels", "y.npy", "--probs", "p.npy", "--method", "x"), UnknownName, "unknown scoring method"),
        (("rank", "--labels", "y.npy", "--probs", "y.npy"), InvalidField, "probs: expected an array of shape"),
        (("rank", "--sequences", "p.npy"), FormatError, "p.npy: file"),
        (("rank", "--labels", "y.npy", "--probs", "damaged.npz"), FormatError, "damaged.npz: file"),
        (("rank", "--sequences", "one.npz", "--model", "logreg"), NotEnoughData, "groups"),
        (("crossval", "--sequences", "s.npz", "--model", "nope"), UnknownName, "unknown model 'nope'; known: cnn-lstm"),
        (("crossval", "--sequences", "one.npz", "--model", "logreg"), NotEnoughData, "groups"),
        (("crossval", "--sequences", "no.npz", "--model", "logreg"), FormatError, "existing sequence file"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(call, files, sequence_factory, words, error, message):
    np.save(files / "bad.npy", np.array([{}], object))
    (files / "text.npy").write_text("hello")
    (files / "damaged.npz").write_bytes((files / "s.npz").read_bytes()[:200])
    write_sequences(files / "one.npz", sequence_factory(16, n_groups=1, n_frames=2))
    result = call(*words, "--out", "out.file")
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (files / "out.file").exists()


def rank_these(call, files, labels, probs, *more):
    np.save(files / "a.npy", labels)
    np.save(files / "b.npy", probs)
    return call("rank", "--labels", "a.npy", "--probs", "b.npy", *more, "--out", "out.csv")


@pytest.mark.parametrize(
    ("labels", "probs", "message"),
    [
        ([0, 1], [[0.5, 0.5], [0.7, 0.4]], "probs: expected rows that sum to 1, got row 1 sums to 1.1"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.4]], "probs: expected finite probabilities, got row 1 has NaN or inf"),
        ([0, 1], [[0.5, 0.5], [1.5, -0.5]], "probs: expected probabilities in [0, 1]"),
        ([0, np.nan], [[0.5, 0.5], [0.5, 0.5]], "labels: expected whole numbers"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "labels: expected columns from 0 to 1, got 2 at index 1"),
        (np.zeros(0, int), np.zeros((0, 2)), "samples to rank"),
    ],
)
def test_what_is_no_probability_is_one_line(call, files, labels, probs, message):
    result = rank_these(call, files, np.array(labels), np.array(probs))
    assert isinstance(result.exception, (InvalidField, NotEnoughData))
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (files / "out.csv").exists()


def test_nan_among_features_is_one_line(call, files):
    np.save(files / "e.npy", np.array([[1.0], [np.nan]]))
    result = rank_these(call, files, np.array([0, 1]), np.full((2, 2), 0.5), "--features", "e.npy")
    assert "features: expected finite numbers, got NaN or inf" in str(result.exception)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"in_sample": True}, "got 20 of 20 rows in-sample, the first at index 0"),
        ({"out_of_sample": np.arange(20) != 7}, "got 1 of 20 rows in-sample, the first at index 7"),
        ({"fold": np.where(np.arange(20) < 12, -1, 0)}, "got 12 of 20 rows in-sample, the first at index 0"),
        ({"in_sample": np.zeros(3, bool)}, "in_sample: expected an array of shape (20)"),
    ],
)
def test_in_sample_probabilities_are_refused_in_one_line(call, files, flags, message):
    np.savez(files / "preds.npz", probs=np.load(files / "p.npy"), **flags)
    result = call("rank", "--labels", "y.npy", "--probs", "preds.npz", "--out", "out.csv")
    assert isinstance(result.exception, InvalidField)
    assert message in str(result.exception)
    assert not (files / "out.csv").exists()


def test_the_in_sample_flag_is_answered_in_one_line(call, files):
    result = call("rank", "--labels", "y.npy", "--probs", "p.npy", "--in-sample", "--out", "out.csv")
    wanted = "probs: expected out-of-sample probabilities, of models that were not trained on these samples, got in-sample ones"
    assert wanted in str(result.exception)
    assert not (files / "out.csv").exists()


def test_crossvals_predictions_are_ranked_as_they_are(call, files):
    call("crossval", "--sequences", "s.npz", "--model", "logreg", "--folds", "all", "--out", "preds.npz")
    with np.load(files / "preds.npz") as told, np.load(files / "s.npz") as given:
        np.save(files / "a.npy", np.searchsorted(told["classes"], given["label"]))
        np.save(files / "b.npy", told["probs"])
    for probs, out in (("preds.npz", "one.csv"), ("b.npy", "two.csv")):
        assert call("rank", "--labels", "a.npy", "--probs", probs, "--out", out).exit_code == 0
    assert (files / "one.csv").read_bytes() == (files / "two.csv").read_bytes()


@pytest.mark.parametrize(("n", "n_classes", "used"), [(1, 4, 4), (60, 10_000, 10_000), (60, 5, 3), (600, 600, 600)])
def test_one_sample_many_classes_and_classes_without_samples_are_ranked(call, files, n, n_classes, used):
    rng = np.random.default_rng(0)
    np.save(files / "e.npy", rng.normal(size=(n, 4)))
    np.save(files / "g.npy", np.zeros(n, int))
    labels, probs = rng.integers(0, used, n), rng.dirichlet(np.ones(n_classes), n)
    result = rank_these(call, files, labels, probs, "--features", "e.npy", "--groups", "g.npy")
    assert result.exit_code == 0, result.output
    rows = read_rows(files / "out.csv")
    assert sorted(int(row["index"]) for row in rows) == list(range(n))
    assert all(0 <= float(row["score"]) <= 1 and 0 <= float(row["wrong"]) <= 1 for row in rows)


@pytest.mark.parametrize(
    "words",
    [
        ("rank", "--out", "r.csv"),
        ("rank", "--sequences", "s.npz", "--in-sample", "--out", "r.csv"),
        ("rank", "--sequences", "s.npz", "--labels", "y.npy", "--out", "r.csv"),
        ("crossval", "--sequences", "s.npz", "--model", "logreg", "--folds", "1", "--out", "p.npz"),
        ("simulate", "--sequences", "s.npz", "--strategy", "margin", "--test-groups", "a", "--budgets", "1,x", "--out", "c.csv"),
    ],
)
def test_wrong_usage_is_exit_2(call, files, words):
    assert call(*words).exit_code == 2
