"""Which label holds: majority, newest, and verdicts with undo, against a model written another way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.store.labels import find_standing_verdicts, resolve_labels
from schemas.records import HumanSpan, Verdict

VALUES = ("read", "write", "phone")


def _label(annotator, value, at, tubelet="t"):
    made_at = "" if at is None else f"2026-01-01T00:00:{at:02d}Z"
    return HumanSpan(tubelet_id=tubelet, axis="a", value=value, annotator=annotator, made_at=made_at)


def _verdict(kind, value=None, tubelet="t", at=0):
    return Verdict(tubelet_id=tubelet, axis="a", kind=kind, value=value, curator="c", made_at=f"2026-01-01T00:00:{at:02d}Z")


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ([("x", "read", 1)], "read"),
        ([("x", "read", 1), ("y", "read", 2), ("z", "write", 3)], "read"),
        ([("x", "read", 1), ("y", "write", 2)], "write"),
        ([("x", "read", 2), ("y", "write", 1)], "read"),
        ([("x", "read", 1), ("x", "write", 2)], "write"),
        ([("x", "write", 2), ("x", "read", 1)], "write"),
        ([("x", "read", 1), ("y", "read", 1), ("x", "write", 3)], "write"),
        ([("x", "read", None), ("y", "write", 1)], "write"),
        ([("x", "read", None), ("y", "write", None)], "write"),
        ([("x", "read", 5), ("y", "write", None)], "read"),
        ([("x", "read", 1), ("y", "write", 2), ("z", "phone", 3), ("w", "read", 0)], "read"),
    ],
)
def test_majority_then_newest(said, value):
    (label,) = resolve_labels([_label(*entry) for entry in said], [])
    assert label.span.value == label.original.value == value


def test_times_are_compared_across_zones_and_ways_of_writing():
    early = HumanSpan(tubelet_id="t", axis="a", value="read", annotator="x", made_at="2026-01-01T12:00:00+02:00")
    late = HumanSpan(tubelet_id="t", axis="a", value="write", annotator="y", made_at="2026-01-01T10:30:00.5")
    (label,) = resolve_labels([late, early], [])
    assert label.original == late


def test_a_relabel_keeps_where_the_annotator_drew():
    drawn = HumanSpan(tubelet_id="t", axis="a", value="read", annotator="x", frame=4, box_xyxy=(1, 2, 3, 4), from_predicted="prd_1")
    verdict = _verdict("relabel", "write")
    (label,) = resolve_labels([drawn], [verdict])
    assert (label.span.value, label.span.annotator, label.span.origin) == ("write", "c", f"verdict/{verdict.id}")
    assert (label.span.frame, label.span.box_xyxy, label.span.from_predicted) == (4, (1, 2, 3, 4), "prd_1")
    assert (label.original, label.verdict, label.dropped) == (drawn, verdict, False)


@given(
    st.lists(st.tuples(st.sampled_from("wxyz"), st.sampled_from(VALUES), st.none() | st.integers(0, 9)), min_size=1, max_size=12)
)
@settings(max_examples=300, deadline=None)
def test_majority_as_a_slow_model_says(said):
    order = sorted(range(len(said)), key=lambda i: (-1 if said[i][2] is None else said[i][2], i))
    last = {}
    for i in order:
        last.pop(said[i][0], None)
        last[said[i][0]] = said[i][1]
    ballots = list(last.values())
    expected = max(ballots, key=lambda v: (ballots.count(v), max(i for i, b in enumerate(ballots) if b == v)))
    (label,) = resolve_labels([_label(*entry) for entry in said], [])
    assert label.original.value == expected
    assert label.n_annotators == len(ballots)
    assert label.agreement == pytest.approx(ballots.count(expected) / len(ballots))


def _stand(kinds):
    """The newest verdict left after every undo has struck out the one before it: a recursive model."""
    left, owed = None, 0
    for index in reversed(range(len(kinds))):
        if kinds[index] == "undo":
            owed += 1
        elif owed:
            owed -= 1
        else:
            left = index
            break
    return left


@given(st.lists(st.sampled_from(["drop", "ambiguous", "keep", "read", "write", "undo"]), max_size=20))
@settings(max_examples=300, deadline=None)
def test_verdicts_as_a_slow_model_says(actions):
    verdicts = [
        _verdict("relabel", action, at=i) if action in VALUES else _verdict(action, at=i) for i, action in enumerate(actions)
    ]
    standing = find_standing_verdicts(verdicts).get("t")
    at = _stand(actions)
    assert standing == (None if at is None else verdicts[at])
    (label,) = resolve_labels([_label("x", "phone", 1)], verdicts)
    assert label.dropped == (at is not None and actions[at] in ("drop", "ambiguous"))
    assert label.span.value == (actions[at] if at is not None and actions[at] in VALUES else "phone")


@given(st.lists(st.tuples(st.sampled_from("st"), st.sampled_from(["drop", "keep", "undo"])), max_size=16))
@settings(max_examples=100, deadline=None)
def test_tubelets_do_not_touch_each_other(actions):
    together = find_standing_verdicts([_verdict(kind, tubelet=t, at=i) for i, (t, kind) in enumerate(actions)])
    for one in "st":
        alone = find_standing_verdicts([_verdict(kind, tubelet=t, at=i) for i, (t, kind) in enumerate(actions) if t == one])
        assert together.get(one) == alone.get(one)


@given(st.lists(st.sampled_from(["drop", "keep", "undo"]), max_size=12), st.sampled_from(["drop", "keep"]))
@settings(max_examples=100, deadline=None)
def test_an_undo_takes_back_exactly_one(actions, more):
    before = [_verdict(kind, at=i) for i, kind in enumerate(actions)]
    after = [*before, _verdict(more, at=30), _verdict("undo", at=31)]
    assert find_standing_verdicts(after) == find_standing_verdicts(before)
