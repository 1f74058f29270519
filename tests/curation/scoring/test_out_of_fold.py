"""Finding labels made wrong on purpose, and neutrality towards classes a fold was never taught."""

import numpy as np
import pytest

from curation.scoring.out_of_fold import score_sequences
from schemas.errors import NotEnoughData, UnknownName


def test_most_of_the_most_suspect_labels_are_wrong(sequence_factory, label_spoiler):
    motions = sequence_factory(200, n_groups=5, n_frames=6, seed=4, noise=0.02)
    given, wrong = label_spoiler(motions.label, 0.2, seed=1)
    scored = score_sequences(motions.with_labels(given), models=("logreg",), n_folds=3)
    k = int(wrong.sum())
    assert wrong[scored.ranking.order[:k]].mean() >= 0.7
    suggested = np.array(scored.classes)[scored.ranking.suggested]
    assert (suggested[wrong] == motions.label[wrong]).mean() >= 0.5
    again = score_sequences(motions.with_labels(given), models=("logreg",), n_folds=3)
    np.testing.assert_array_equal(again.ranking.score, scored.ranking.score)


@pytest.mark.slow
def test_the_default_finds_seven_of_ten(sequence_factory, label_spoiler):
    motions = sequence_factory(400, n_groups=8, seed=4)
    given, wrong = label_spoiler(motions.label, 0.2, seed=2)
    scored = score_sequences(motions.with_labels(given))
    assert wrong[scored.ranking.order[: int(wrong.sum())]].mean() >= 0.7


def test_a_class_never_taught_is_neither_cleared_nor_accused(sequence_factory):
    motions = sequence_factory(96, n_groups=6, n_frames=4)
    label = motions.label.copy()
    rare = (motions.group == "video-0") & (label == "sleep")
    label[label == "sleep"] = "attend"
    label[rare] = "dance"
    scored = score_sequences(motions.with_labels(label), models=("logreg",), n_folds=None)
    np.testing.assert_allclose(scored.ranking.loss[rare], np.log(8))
    np.testing.assert_allclose(scored.probs.sum(axis=1), 1)


def test_seeds_are_averaged_and_progress_counts_trainings(sequence_factory):
    motions, seen = sequence_factory(64, n_groups=4, n_frames=4), []
    scored = score_sequences(
        motions, models=("logreg", "logreg"), n_folds=2, n_seeds=2, method="knn", advance=lambda *x: seen.append(x)
    )
    assert seen == [(i, 8) for i in range(1, 9)]
    assert scored.probs.shape == (64, 8)


def test_what_cannot_be_scored_is_said_before_training(sequence_factory):
    motions = sequence_factory(16, n_groups=1, n_frames=2)
    with pytest.raises(NotEnoughData, match="groups"):
        score_sequences(motions)
    with pytest.raises(UnknownName, match="scoring method 'x'"):
        score_sequences(motions, method="x")
