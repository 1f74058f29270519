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
        (("crossval", "--sequences", "s.npz", "--model", "nope"), UnknownName, "unknown model 'nope'; known: cnn-lstm"),
        (("crossval", "--sequences", "one.npz", "--model", "logreg"), NotEnoughData, "groups"),
        (("crossval", "--sequences", "no.npz", "--model", "logreg"), FormatError, "existing sequence file"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(call, files, sequence_factory, words, error, message):
    np.save(files / "bad.npy", np.array([{}], object))
    (files / "text.npy").write_text("hello")
    write_sequences(files / "one.npz", sequence_factory(16, n_groups=1, n_frames=2))
    result = call(*words, "--out", "out.file")
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (files / "out.file").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("rank", "--out", "r.csv"),
        ("rank", "--sequences", "s.npz", "--labels", "y.npy", "--out", "r.csv"),
        ("crossval", "--sequences", "s.npz", "--model", "logreg", "--folds", "1", "--out", "p.npz"),
        ("simulate", "--sequences", "s.npz", "--strategy", "margin", "--test-groups", "a", "--budgets", "1,x", "--out", "c.csv"),
    ],
)
def test_wrong_usage_is_exit_2(call, files, words):
    assert call(*words).exit_code == 2
