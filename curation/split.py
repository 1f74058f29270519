"""Splitting by lesson and student.

Two tubelets belong together if they share a lesson or a known student, directly or through others: the connected components of
the graph lesson – student are the *groups*. Whole groups are dealt to the sides so that each class is shared out as asked. Once
made, a split is frozen: later ones keep every lesson on its side, and add new lessons to train.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen

from curation.certificate import Certificate, Member, certify_split
from curation.stratify import assign_groups
from schemas.checks import check_range, compute_id
from schemas.errors import InvalidField, NotEnoughData, UnknownName

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import Catalogue

__all__ = ["ASIDE", "SIDES", "Split", "group_lessons", "list_members", "make_split", "plan_split", "read_split"]

SIDES = ("train", "val", "test")
ASIDE = "aside"
_PRIORITY = ("test", "val", "train")


@frozen(kw_only=True)
class Split:
    """Where every lesson stands.

    `sides` lesson → train, val, test or aside; `groups` lesson → name of its group (its first lesson by name; one that is set
    aside is a group of its own); `reasons` lesson → why it is set aside.
    """

    sides: Mapping[str, str]
    groups: Mapping[str, str]
    reasons: Mapping[str, str] = field(factory=dict)
    id: str = ""
    new: bool = False

    def side_of(self, lesson: str) -> str:
        """Return the side of a lesson; one that came after the split is aside until the next."""
        return self.sides.get(lesson, ASIDE)

    def lessons(self, side: str) -> tuple[str, ...]:
        """Return the lessons of one side, sorted."""
        return tuple(sorted(lesson for lesson, where in self.sides.items() if where == side))


def group_lessons(pairs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Return lesson → group for (lesson, student) pairs; a student of None (unknown) connects nothing.

    Lessons that share a student, directly or through other lessons, get one group, named after its alphabetically first lesson.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def find(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for lesson, student in set(pairs):
        root = find(("lesson", lesson))
        if student is not None:
            parent[find(("student", student))] = root
    names: dict[tuple[str, str], str] = {}
    lessons = sorted(name for kind, name in parent if kind == "lesson")
    for lesson in lessons:
        names.setdefault(find(("lesson", lesson)), lesson)
    return {lesson: names[find(("lesson", lesson))] for lesson in lessons}


def plan_split(
    students: Mapping[str, Iterable[str]],
    counts: Mapping[str, Mapping[str, int]],
    shares: Mapping[str, float],
    *,
    seed: int,
    previous: Mapping[str, str] | None = None,
    test_lessons: Sequence[str] = (),
) -> Split:
    """Plan where every lesson stands.

    First split: groups with labels are dealt by `assign_groups`; groups without labels go to train; `test_lessons` (with their
    groups) are the test side instead where they are named. Later splits (`previous` given): every lesson stays on its side; new
    lessons join train; a lesson that shares a student with one of a side that comes before its own (test, then val, then train) is
    set aside with the reason, so that test stays as it was. `test_lessons` may then name new lessons.

    Args:
        students: lesson → its known students. Its keys are all lessons there are.
        counts: lesson → class → labelled tubelets; lessons may be missing.
        shares: side → asked share.
        seed: see `assign_groups`.
        previous: lesson → side of the split before.
        test_lessons: lessons that must be in test.

    Raises:
        UnknownName: if `test_lessons` names a lesson there is not.
        NotEnoughData: if there are fewer labelled groups than sides.
        InvalidField: if `test_lessons` names one that was on another side.
    """
    for lesson in test_lessons:
        if lesson not in students:
            raise UnknownName("lesson", lesson, sorted(students))
    groups = group_lessons((lesson, s) for lesson, names in students.items() for s in (None, *names))
    if previous is not None:
        return _extend(students, previous, test_lessons)
    if test_lessons:
        chosen = {groups[lesson] for lesson in test_lessons}
        if chosen == set(groups.values()):
            raise NotEnoughData("groups of lessons that share no student with the named test lessons", 1, 0)
        return Split(sides={lesson: "test" if group in chosen else "train" for lesson, group in groups.items()}, groups=groups)
    classes = sorted({c for table in counts.values() for c in table})
    totals: dict[str, Counter[str]] = {}
    for lesson, table in counts.items():
        totals.setdefault(groups[lesson], Counter()).update(table)
    labelled = sorted(group for group, table in totals.items() if table.total() > 0)
    matrix = np.array([[totals[g][c] for c in classes] for g in labelled], float).reshape(len(labelled), len(classes))
    dealt = dict(zip(labelled, assign_groups(matrix, shares, seed=seed), strict=True))
    return Split(sides={lesson: dealt.get(group, "train") for lesson, group in groups.items()}, groups=groups)


def _extend(students: Mapping[str, Iterable[str]], previous: Mapping[str, str], test_lessons: Sequence[str]) -> Split:
    wanted = {lesson: previous.get(lesson, "train") for lesson in students}
    wanted = {lesson: "train" if side == ASIDE else side for lesson, side in wanted.items()}
    for lesson in test_lessons:
        if previous.get(lesson, ASIDE) not in (ASIDE, "test"):
            raise InvalidField("test lesson", "a lesson that never was on another side", f"{lesson} ({previous[lesson]})")
        wanted[lesson] = "test"
    sides: dict[str, str] = {}
    reasons: dict[str, str] = {}
    owner: dict[str, str] = {}
    for side in _PRIORITY:
        placed = []
        for lesson in sorted(lesson for lesson, where in wanted.items() if where == side):
            shared = sorted(s for s in students[lesson] if s in owner)
            if shared:
                holder = owner[shared[0]]
                sides[lesson] = ASIDE
                reasons[lesson] = f"its student {shared[0]!r} is also in {holder!r}, which is on the {sides[holder]} side"
            else:
                sides[lesson] = side
                placed.append(lesson)
        owner.update({s: lesson for lesson in reversed(placed) for s in students[lesson]})
    placed_pairs = [(lesson, s) for lesson, names in students.items() if sides[lesson] != ASIDE for s in (None, *names)]
    groups = {**{lesson: lesson for lesson in reasons}, **group_lessons(placed_pairs)}
    return Split(sides=dict(sorted(sides.items())), groups=dict(sorted(groups.items())), reasons=reasons)


def list_members(catalogue: Catalogue, split: Split) -> list[Member]:
    """Return every tubelet of the catalogue with its side, those set aside left out."""
    contexts = catalogue.describe_tubelets().values()
    members = (Member(tubelet_id=c.tubelet.id, side=split.side_of(c.lesson), lesson=c.lesson, student=c.student) for c in contexts)
    return [m for m in members if m.side != ASIDE]


def read_split(catalogue: Catalogue) -> Split | None:
    """Return the newest split of the workspace, or None."""
    records = catalogue.list_records("splits")
    if not records:
        return None
    last = records[-1]
    return Split(sides=last["sides"], groups=last["groups"], reasons=last["reasons"], id=last["split"])


def make_split(
    workspace: Workspace,
    catalogue: Catalogue,
    *,
    axis: str | None = None,
    test_share: float | None = None,
    val_share: float = 0.0,
    seed: int | None = None,
    test_lessons: Sequence[str] = (),
) -> tuple[Split, Certificate]:
    """Make the workspace's split, or bring it up to date with new lessons; certify and record it.

    The newest split is taken over as `plan_split` says; where nothing has changed nothing is recorded. The certificate covers every
    tubelet, labelled or not.

    Raises:
        NotEnoughData: if there are too few groups with labels for a first split.
        LeakError: if a lesson or student ends up on two sides.
    """
    axis = axis or workspace.taxonomy.primary.id
    workspace.taxonomy.axis(axis)
    learning = workspace.config.learning
    test = check_range("test share", learning.test_share if test_share is None else test_share, 1e-6, 1 - 1e-6)
    val = check_range("val share", val_share, 0, 1 - test - 1e-9)
    shares = {"train": 1 - test - val, **({"val": val} if val else {}), "test": test}
    contexts = catalogue.describe_tubelets()
    students: dict[str, set[str]] = {clip.lesson: set() for clip in catalogue.list_clips()}
    for context in contexts.values():
        students.setdefault(context.lesson, set()).update({context.student} - {None})  # type: ignore[arg-type]
    counts: dict[str, Counter[str]] = {}
    for label in catalogue.current_labels(axis):
        if not label.dropped:
            counts.setdefault(contexts[label.tubelet_id].lesson, Counter())[label.span.value] += 1
    before = read_split(catalogue)
    previous = None if before is None else before.sides
    seed = learning.seed if seed is None else seed
    plan = plan_split(students, counts, shares, seed=seed, previous=previous, test_lessons=test_lessons)
    return _record_split(catalogue, plan, before, {"axis": axis, "seed": seed, "shares": shares})


def _record_split(catalogue: Catalogue, plan: Split, before: Split | None, facts: Mapping[str, Any]) -> tuple[Split, Certificate]:
    certificate = certify_split(list_members(catalogue, plan))
    same = before is not None and (before.sides, before.groups, before.reasons) == (plan.sides, plan.groups, plan.reasons)
    if before is not None and same:
        return before, certificate
    parent = None if before is None else before.id
    sides, groups = dict(sorted(plan.sides.items())), dict(sorted(plan.groups.items()))
    split_id = compute_id("spl", sides, groups, dict(sorted(plan.reasons.items())), parent)
    payload = {"split": split_id, "parent": parent, "sides": sides, "groups": groups, "reasons": dict(plan.reasons)}
    new = catalogue.append_record("splits", split_id, {**payload, **facts, "certificate": certificate.to_dict()})
    return Split(sides=sides, groups=groups, reasons=plan.reasons, id=split_id, new=new), certificate
