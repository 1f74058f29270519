import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from curation.figures import compute_figures, compute_macro_f1
from schemas.errors import InvalidField, NotEnoughData

CLASSES = ("a", "b", "c", "d")


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth = rng.choice(["a", "b", "c"], 200)
    said = np.where(rng.random(200) < 0.6, truth, rng.choice(CLASSES, 200))
    found = compute_figures(truth, said, rng.integers(5, size=200), classes=CLASSES)
    assert found.accuracy == pytest.approx(accuracy_score(truth, said))
    assert found.macro_f1 == pytest.approx(f1_score(truth, said, average="macro", labels=["a", "b", "c"]))
    np.testing.assert_array_equal(found.confusion, confusion_matrix(truth, said, labels=CLASSES))
    expected = precision_recall_fscore_support(truth, said, labels=CLASSES, zero_division=0)
    for i, name in enumerate(CLASSES):
        one = found.per_class[name]
        assert (one.precision, one.recall, one.f1, one.support) == pytest.approx([float(column[i]) for column in expected])
    assert found.low <= found.macro_f1 <= found.high


def test_the_interval_is_wider_when_whole_groups_differ():
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b"], 400)
    group = np.repeat(np.arange(8), 50)
    wrong = np.isin(group, [0, 1, 2])
    said = np.where(wrong, np.where(truth == "a", "b", "a"), truth)
    by_group = compute_figures(truth, said, group, classes=["a", "b"])
    shuffled = compute_figures(truth, said, rng.permutation(group), classes=["a", "b"])
    assert by_group.high - by_group.low > 2 * (shuffled.high - shuffled.low)
    assert by_group == compute_figures(truth, said, group, classes=["a", "b"])


def test_one_group_has_no_interval():
    found = compute_figures(["a", "b"], ["a", "a"], ["g", "g"], classes=["a", "b"])
    assert (found.low, found.high) == (None, None)
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert found.to_dict()["per_class"]["a"]["precision"] == 0.5


def test_an_empty_truth_scores_nothing():
    assert compute_macro_f1(np.zeros((3, 3))) == 0


def test_bad_input_is_refused():
    with pytest.raises(NotEnoughData, match="samples to measure on"):
        compute_figures([], [], [], classes=["a", "b"])
    with pytest.raises(InvalidField, match="predicted, groups: expected 2, one for each label, got 1, 2"):
        compute_figures(["a", "b"], ["a"], ["g", "g"], classes=["a", "b"])
    with pytest.raises(InvalidField, match="label: expected one of a, b, got z"):
        compute_figures(["a", "b"], ["a", "z"], ["g", "g"], classes=["a", "b"])
