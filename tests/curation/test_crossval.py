"""Cross-validation: groups never stand on both sides, and what cannot be done is said."""

import numpy as np
import pytest

from curation.crossval import assign_folds, cross_validate, write_predictions
from schemas.errors import InvalidField, NotEnoughData, UnknownName


@pytest.fixture(scope="module")
def motions(sequence_factory):
    return sequence_factory(96, n_groups=6, n_frames=6, seed=2)


@pytest.mark.parametrize("n_folds", [2, 3, 5, None, 99])
def test_a_group_lies_in_one_fold(motions, n_folds):
    fold = assign_folds(motions.label, motions.group, n_folds=n_folds)
    assert sorted(set(fold.tolist())) == list(range(min(n_folds or 6, 6)))
    for name in set(motions.group):
        assert len(set(fold[motions.group == name])) == 1


def test_classes_are_spread_over_folds():
    label = np.array((["a"] * 9 + ["b"]) * 12)
    group = np.repeat([f"g{i}" for i in range(12)], 10)
    fold = assign_folds(label, group, n_folds=4)
    assert [int((label[fold == f] == "b").sum()) for f in range(4)] == [3, 3, 3, 3]


def test_one_group_or_one_fold_is_refused(motions):
    with pytest.raises(NotEnoughData, match=r"groups .* need at least 2, have 1"):
        assign_folds(motions.label, np.full(96, "only"), n_folds=5)
    with pytest.raises(InvalidField, match="folds: expected 2 or more"):
        assign_folds(motions.label, motions.group, n_folds=1)


def test_rare_classes_do_not_stop_the_folds():
    fold = assign_folds(np.array(["a", "b", "c", "d"]), np.array(["1", "2", "3", "4"]), n_folds=3)
    assert set(fold) == {0, 1, 2}


def test_every_sequence_is_judged_out_of_fold(motions, tmp_path):
    result = cross_validate(motions, model="logreg", n_folds=3)
    np.testing.assert_allclose(result.probs.sum(axis=1), 1)
    said = np.array(result.classes)[result.probs.argmax(axis=1)]
    assert (said == motions.label).mean() > 0.4
    write_predictions(tmp_path / "p.npz", result)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as stored:
        assert sorted(stored.files) == ["classes", "fold", "probs"]
        np.testing.assert_array_equal(stored["probs"], result.probs)
        assert stored["classes"].tolist() == list(result.classes)
        assert stored["fold"].dtype.kind == "i"


def test_judged_rows_do_not_depend_on_their_own_labels(motions):
    plain = cross_validate(motions, model="logreg", test_group="video-1")
    label = motions.label.copy()
    held = motions.group == "video-1"
    label[held] = label[held][::-1]
    other = cross_validate(motions.with_labels(label), model="logreg", test_group="video-1")
    np.testing.assert_array_equal(plain.probs, other.probs)


def test_a_test_group_alone_is_predicted(motions):
    result = cross_validate(motions, model="logreg", test_group="video-2")
    held = motions.group == "video-2"
    assert (result.fold[held] == 0).all()
    assert (result.fold[~held] == -1).all()
    assert np.isnan(result.probs[~held]).all()
    assert np.isfinite(result.probs[held]).all()
    with pytest.raises(UnknownName, match="unknown group 'video-99'; known: video-0"):
        cross_validate(motions, model="logreg", test_group="video-99")


def test_a_class_missing_in_training_is_marked(motions):
    label = motions.label.copy()
    label[motions.group == "video-0"] = "dance"
    result = cross_validate(motions.with_labels(label), model="logreg", n_folds=None)
    held, column = motions.group == "video-0", result.classes.index("dance")
    assert not result.taught[held, column].any()
    assert result.taught[~held, column].all()
    assert np.isfinite(result.probs).all()


def test_progress_counts_folds(motions):
    seen = []
    cross_validate(motions, model="logreg", n_folds=3, advance=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_two_workers_say_what_one_says_and_pass_errors_on(motions):
    alone, shared = (cross_validate(motions, model="logreg", n_folds=3, workers=workers) for workers in (1, 2))
    np.testing.assert_array_equal(alone.probs, shared.probs)
    np.testing.assert_array_equal(alone.margins, shared.margins)
    one_class_each = motions.with_labels(np.where(motions.group == "video-0", "a", "b"))
    with pytest.raises(NotEnoughData, match=r"classes to train on .* need at least 2, have 1"):
        cross_validate(one_class_each, model="logreg", n_folds=2, workers=2)
