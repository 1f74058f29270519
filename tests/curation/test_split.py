from collections import Counter

import numpy as np
import pytest

from curation.certificate import Member, certify_split, verify_certificate
from curation.split import ASIDE, Split, group_lessons, plan_split
from curation.stratify import assign_groups
from schemas.errors import InvalidField, LeakError, NotEnoughData, UnknownName

SHARES = {"train": 0.75, "test": 0.25}


def make_counts(seed, n_groups, n_classes=5):
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(1.0, 20.0, size=(n_groups, n_classes)))


def test_lessons_that_share_a_student_through_others_are_one_group():
    pairs = [("l3", "ann"), ("l1", "ann"), ("l1", "bo"), ("l5", "bo"), ("l2", "cy"), ("l4", None), ("l6", None), ("l2", None)]
    assert group_lessons(pairs) == {"l1": "l1", "l2": "l2", "l3": "l1", "l4": "l4", "l5": "l1", "l6": "l6"}


def test_a_student_and_a_lesson_of_the_same_name_are_two_things():
    assert group_lessons([("a", "b"), ("b", "c")]) == {"a": "a", "b": "b"}


def test_groups_do_not_depend_on_the_order_of_the_pairs():
    rng = np.random.default_rng(0)
    pairs = [(f"l{rng.integers(40):02}", f"s{rng.integers(60)}") for _ in range(50)]
    expected = group_lessons(pairs)
    for _ in range(5):
        rng.shuffle(pairs)
        assert group_lessons([(str(a), str(b)) for a, b in pairs]) == expected


@pytest.mark.parametrize("seed", range(8))
def test_dealing_gives_each_side_its_share_of_every_class(seed):
    counts = make_counts(seed, 24)
    sides = np.array(assign_groups(counts, SHARES, seed=seed))
    share = counts[sides == "test"].sum(axis=0) / counts.sum(axis=0)
    assert np.abs(share - 0.25).max() < 0.08
    assert assign_groups(counts, SHARES, seed=seed) == sides.tolist()


def test_dealing_is_as_good_as_trying_everything_on_few_groups():
    counts = make_counts(3, 8, 3)
    share = counts / counts.sum(axis=0)
    whole = np.column_stack([share, counts.sum(axis=1) / counts.sum()])

    def cost(mask):
        test = whole[mask].sum(axis=0)
        return ((test - 0.25) ** 2).sum() + ((1 - test - 0.75) ** 2).sum()

    masks = [np.array([(m >> i) & 1 for i in range(8)], bool) for m in range(1, 255)]
    best = min(cost(m) for m in masks)
    found = np.array(assign_groups(counts, SHARES, seed=0)) == "test"
    assert cost(found) == pytest.approx(best, abs=1e-9)


def test_a_rare_class_is_on_every_side_if_enough_groups_hold_it():
    counts = np.array([[100, 0], [100, 0], [100, 0], [100, 1], [100, 0], [100, 1], [100, 0], [100, 0]])
    sides = assign_groups(counts, SHARES, seed=1)
    assert {sides[3], sides[5]} == {"train", "test"}


def test_three_sides_each_get_a_group_even_when_there_are_just_three():
    assert sorted(assign_groups(np.array([[90], [9], [1]]), {"train": 0.8, "val": 0.1, "test": 0.1}, seed=0)) == [
        "test",
        "train",
        "val",
    ]
    with pytest.raises(NotEnoughData, match="need at least 3, have 2"):
        assign_groups(np.array([[90], [9]]), {"train": 0.8, "val": 0.1, "test": 0.1}, seed=0)


def test_many_groups_are_dealt_quickly_and_well():
    counts = make_counts(0, 1500)
    sides = np.array(assign_groups(counts, SHARES, seed=0))
    assert abs(counts[sides == "test"].sum() / counts.sum() - 0.25) < 0.005


def make_lessons(n):
    students = {f"l{i}": {f"s{i}a", f"s{i}b"} for i in range(n)}
    counts = {lesson: {"write": 10, "attend": 30} for lesson in students}
    return students, counts


def test_a_first_split_deals_labelled_groups_and_trains_on_the_rest():
    students, counts = make_lessons(8)
    students["l9"] = set()
    plan = plan_split(students, counts, SHARES, seed=0)
    assert len(plan.lessons("test")) == 2
    assert plan.sides["l9"] == "train"
    assert not plan.reasons
    assert plan == plan_split(students, counts, SHARES, seed=0)


def test_a_first_split_needs_two_labelled_groups():
    students, counts = make_lessons(3)
    for names in students.values():
        names.add("everywhere")
    with pytest.raises(
        NotEnoughData, match="groups of lessons that share no student, with labels, one for each side: need at least 2, have 1"
    ):
        plan_split(students, counts, SHARES, seed=0)
    with pytest.raises(NotEnoughData, match="have 0"):
        plan_split({"l0": set(), "l1": set()}, {}, SHARES, seed=0)


def test_named_test_lessons_take_their_whole_group_along():
    students, counts = make_lessons(4)
    students["l3"].add("s1a")
    plan = plan_split(students, counts, SHARES, seed=0, test_lessons=["l1"])
    assert plan.lessons("test") == ("l1", "l3")
    assert plan.groups["l3"] == "l1"
    with pytest.raises(UnknownName, match="unknown lesson 'nine'; known: l0, l1, l2, l3"):
        plan_split(students, counts, SHARES, seed=0, test_lessons=["nine"])
    with pytest.raises(NotEnoughData, match="share no student with the named test lessons"):
        plan_split(students, counts, SHARES, seed=0, test_lessons=["l0", "l1", "l2"])


def test_later_splits_keep_every_side_and_send_new_lessons_to_train():
    students, counts = make_lessons(6)
    first = plan_split(students, counts, SHARES, seed=0)
    students["new"] = {"zoe"}
    counts["new"] = {"write": 1000}
    later = plan_split(students, counts, SHARES, seed=99, previous=first.sides)
    assert {k: v for k, v in later.sides.items() if k != "new"} == first.sides
    assert later.sides["new"] == "train"


def test_a_new_lesson_with_a_test_student_is_set_aside_with_the_reason():
    students, counts = make_lessons(6)
    first = plan_split(students, counts, SHARES, seed=0)
    test, train = first.lessons("test")[0], first.lessons("train")[0]
    students["new"] = {sorted(students[test])[0], sorted(students[train])[0]}
    later = plan_split(students, counts, SHARES, seed=0, previous=first.sides)
    assert later.sides["new"] == ASIDE
    assert later.reasons["new"] == f"its student {sorted(students[test])[0]!r} is also in {test!r}, which is on the test side"
    assert later.groups[train] != later.groups[test]
    students["new"] = {sorted(students[train])[0]}
    assert plan_split(students, counts, SHARES, seed=0, previous=later.sides).sides["new"] == "train"


def test_a_student_who_turns_up_on_both_frozen_sides_takes_the_train_lesson_out():
    students, counts = make_lessons(6)
    first = plan_split(students, counts, SHARES, seed=0)
    test, train = first.lessons("test")[0], first.lessons("train")[0]
    students[test].add("guest")
    students[train].add("guest")
    later = plan_split(students, counts, SHARES, seed=0, previous=first.sides)
    assert later.lessons("test") == first.lessons("test")
    assert later.lessons(ASIDE) == (train,)


def test_test_may_be_widened_by_new_lessons_only():
    students, counts = make_lessons(6)
    first = plan_split(students, counts, SHARES, seed=0)
    students["new"] = {"zoe"}
    later = plan_split(students, counts, SHARES, seed=0, previous=first.sides, test_lessons=["new"])
    assert later.lessons("test") == (*first.lessons("test"), "new")
    with pytest.raises(InvalidField, match=r"a lesson that never was on another side, got l\d \(train\)"):
        plan_split(students, counts, SHARES, seed=0, previous=first.sides, test_lessons=[first.lessons("train")[0]])


def make_members():
    return [
        Member(tubelet_id="t1", side="train", lesson="l1", student="ann"),
        Member(tubelet_id="t2", side="train", lesson="l1", student=None),
        Member(tubelet_id="t3", side="test", lesson="l2", student="bo"),
        Member(tubelet_id="t4", side="test", lesson="l3", student="bo"),
    ]


def test_the_certificate_says_what_each_side_holds():
    certificate = certify_split(make_members())
    assert certificate.to_dict()["sides"] == {
        "test": {"lessons": ["l2", "l3"], "students": ["bo"], "n_tubelets": 2, "n_unknown": 0},
        "train": {"lessons": ["l1"], "students": ["ann"], "n_tubelets": 2, "n_unknown": 1},
    }
    assert certificate.sha256 == certify_split(reversed(make_members())).sha256
    assert certificate.sha256 == certify_split([*make_members(), make_members()[0]]).sha256
    assert verify_certificate({**certificate.to_dict(), "split": "spl_1"}, make_members()) == certificate


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        (Member(tubelet_id="t5", side="train", lesson="l2"), "lesson 'l2' is on more than one side: test, train"),
        (Member(tubelet_id="t5", side="train", lesson="l9", student="bo"), "student 'bo' is on more than one side: test, train"),
        (Member(tubelet_id="t1", side="test", lesson="l1", student="ann"), "lesson 'l1'"),
    ],
)
def test_a_leak_is_named_whatever_the_certificate_says(extra, match):
    with pytest.raises(LeakError, match=match):
        certify_split([*make_members(), extra])
    with pytest.raises(LeakError, match=match):
        verify_certificate(certify_split(make_members()).to_dict(), [*make_members(), extra])


def test_a_certificate_of_other_tubelets_is_refused():
    certificate = certify_split(make_members()).to_dict()
    with pytest.raises(InvalidField, match=r"certificate\.sha256"):
        verify_certificate(certificate, make_members()[:3])
    certificate["sides"]["train"]["lessons"] = ["l8"]
    with pytest.raises(InvalidField, match=r"certificate\.sides"):
        verify_certificate(certificate, make_members())
    with pytest.raises(InvalidField, match="tubelet t1: expected one lesson and one student"):
        certify_split([make_members()[0], Member(tubelet_id="t1", side="train", lesson="l7", student="ann")])


@pytest.mark.parametrize("seed", range(10))
def test_no_plan_ever_leaks(seed):
    """Random lessons and students, grown over five splits: every plan can be certified, and test never changes."""
    rng = np.random.default_rng(seed)
    students, counts, previous, frozen = {}, {}, None, None
    for step in range(5):
        for i in range(8):
            lesson = f"l{step}{i}"
            students[lesson] = {f"s{rng.integers(200)}" for _ in range(3)}
            counts[lesson] = Counter(rng.choice(["a", "b", "c"], size=20).tolist())
        plan = plan_split(students, counts, SHARES, seed=seed, previous=previous)
        members = [
            Member(tubelet_id=f"{lesson}-{s}", side=plan.sides[lesson], lesson=lesson, student=s)
            for lesson, names in students.items()
            for s in names
            if plan.sides[lesson] != ASIDE
        ]
        certify_split(members)
        of_side = {plan.groups[m.lesson]: m.side for m in members}
        assert all(of_side[plan.groups[m.lesson]] == m.side for m in members)
        frozen = frozen or plan.lessons("test")
        assert plan.lessons("test") == frozen
        previous = plan.sides


def test_a_lesson_that_came_after_the_split_is_aside():
    assert Split(sides={"l1": "test"}, groups={"l1": "l1"}).side_of("l2") == ASIDE
