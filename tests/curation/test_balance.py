import numpy as np
import pytest

from curation.balance import BALANCERS, balance_indices
from schemas.errors import InvalidField, UnknownName


def draw_set(seed, n=400, n_groups=7):
    rng = np.random.default_rng(seed)
    labels = rng.choice(["attend", "write", "sleep", "stand"], size=n, p=[0.7, 0.2, 0.07, 0.03])
    return labels, rng.integers(n_groups, size=n).astype(str)


def count(labels, index):
    names, counts = np.unique(np.asarray(labels)[index], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize("method", list(BALANCERS))
@pytest.mark.parametrize("seed", [0, 1])
def test_every_method_gives_valid_deterministic_indices_of_every_class(method, seed):
    labels, groups = draw_set(seed)
    chosen = balance_indices(labels, groups, method=method, rng=np.random.default_rng(5))
    again = balance_indices(labels, groups, method=method, rng=np.random.default_rng(5))
    np.testing.assert_array_equal(chosen, again)
    assert chosen.dtype == np.int64
    assert chosen.min() >= 0
    assert chosen.max() < len(labels)
    assert (np.diff(chosen) >= 0).all()
    assert set(labels[chosen]) == set(labels)
    if method != "oversample":
        assert len(set(chosen.tolist())) == len(chosen)


@pytest.mark.parametrize("method", list(BALANCERS))
def test_every_method_leaves_balanced_classes_alone(method):
    labels = ["a", "b", "c"] * 5
    chosen = balance_indices(labels, ["g"] * 15, method=method, rng=np.random.default_rng(0))
    assert chosen.tolist() == list(range(15))


@pytest.mark.parametrize(
    ("method", "ratio", "expected"),
    [
        ("none", 1.0, {"a": 100, "b": 16, "c": 4}),
        ("undersample", 1.0, {"a": 4, "b": 4, "c": 4}),
        ("undersample", 2.0, {"a": 8, "b": 8, "c": 4}),
        ("capped", 1.0, {"a": 16, "b": 16, "c": 4}),
        ("capped", 1.5, {"a": 24, "b": 16, "c": 4}),
        ("capped", 0.1, {"a": 2, "b": 2, "c": 2}),
        ("sqrt", 1.0, {"a": 20, "b": 8, "c": 4}),
        ("oversample", 1.0, {"a": 100, "b": 100, "c": 100}),
        ("oversample", 4.0, {"a": 100, "b": 25, "c": 25}),
    ],
)
def test_class_counts_are_what_the_method_says(method, ratio, expected):
    labels = ["a"] * 100 + ["b"] * 16 + ["c"] * 4
    groups = np.arange(120) % 5
    chosen = balance_indices(labels, groups, method=method, ratio=ratio, rng=np.random.default_rng(0))
    assert count(labels, chosen) == expected


def test_oversampling_repeats_every_sample_as_often_as_the_others_within_one():
    labels = ["a"] * 50 + ["b"] * 8
    chosen = balance_indices(labels, ["g"] * 58, method="oversample", rng=np.random.default_rng(3))
    repeats = np.bincount(chosen, minlength=58)
    assert repeats[:50].tolist() == [1] * 50
    assert set(repeats[50:].tolist()) == {6, 7}
    assert repeats.sum() == 100


def test_a_class_is_spread_over_groups_so_that_none_dominates():
    labels = ["a"] * 100 + ["b"] * 12
    groups = ["big"] * 90 + ["mid"] * 8 + ["small"] * 2 + ["big"] * 12
    chosen = balance_indices(labels, groups, method="undersample", rng=np.random.default_rng(0))
    of_a = [groups[i] for i in chosen if labels[i] == "a"]
    assert {g: of_a.count(g) for g in ("big", "mid", "small")} == {"big": 5, "mid": 5, "small": 2}


def test_nested_groups_spread_over_lessons_and_then_over_students():
    labels = ["a"] * 60 + ["b"] * 12
    lesson = ["l1"] * 40 + ["l2"] * 20 + ["l1"] * 12
    student = ["s1"] * 35 + ["s2"] * 5 + ["s3"] * 10 + ["s4"] * 10 + ["s1"] * 12
    chosen = balance_indices(labels, np.column_stack([lesson, student]), method="undersample", rng=np.random.default_rng(1))
    of_a = [student[i] for i in chosen if labels[i] == "a"]
    assert {s: of_a.count(s) for s in ("s1", "s2", "s3", "s4")} == {"s1": 3, "s2": 3, "s3": 3, "s4": 3}


@pytest.mark.parametrize("seed", range(20))
def test_filling_takes_exactly_what_is_wanted_and_never_more_than_there_is(seed):
    rng = np.random.default_rng(seed)
    labels, groups = draw_set(seed, n=int(rng.integers(5, 300)), n_groups=int(rng.integers(1, 30)))
    sizes = count(labels, np.arange(len(labels)))
    ratio = float(rng.uniform(0.2, 3))
    chosen = balance_indices(labels, groups, method="capped", ratio=ratio, rng=rng)
    cap = max(1, int(np.floor(ratio * np.median(list(sizes.values())) + 0.5)))
    assert count(labels, chosen) == {name: min(n, cap) for name, n in sizes.items()}


def test_the_rng_decides_which_samples_stay():
    labels, groups = draw_set(0)
    a, b = (balance_indices(labels, groups, method="undersample", rng=np.random.default_rng(s)) for s in (0, 1))
    assert a.tolist() != b.tolist()
    assert count(labels, a) == count(labels, b)


def test_nothing_in_gives_nothing_out():
    assert balance_indices([], [], method="capped", rng=np.random.default_rng(0)).tolist() == []


def test_bad_input_is_refused():
    with pytest.raises(UnknownName, match=r"unknown balance method 'smote'; known: capped, none, oversample, sqrt, undersample"):
        balance_indices(["a"], ["g"], method="smote", rng=np.random.default_rng(0))
    with pytest.raises(InvalidField, match=r"groups: expected one row for each of the 2 labels"):
        balance_indices(["a", "b"], ["g"], method="none", rng=np.random.default_rng(0))
    with pytest.raises(InvalidField, match="ratio"):
        balance_indices(["a", "b"], ["g", "g"], method="none", ratio=0, rng=np.random.default_rng(0))
