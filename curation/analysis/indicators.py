"""Indicators of a class and its students, after J. Lu's smart-classroom framework (seed B), which names them. Pure.

The definitions are ours, since the paper gives none. An *event* is the start of a spell (a run of the same behaviour).

- attention: share of a student's observed time in attentive behaviours, by their probabilities; of a class: the students' mean.
- participation time: seconds in participating behaviours; effective participation time: the part of it in spells that last at least
  `LEAST_SPELL_S`, so that a hand that is only scratching a head does not count.
- frequency: participating events per minute of observed time.
- participation (class): share of the students with effective participation.
- interactions: pairs of interacting events, one of each of two students, that start within `WITHIN_S`; a pair counts for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import asdict, frozen

from curation.analysis.groups import find_groups
from curation.analysis.timelines import Timeline
from schemas.errors import InvalidField, NotEnoughData

__all__ = ["LEAST_SPELL_S", "ROLES", "WITHIN_S", "LessonIndicators", "Roles", "StudentIndicators", "measure_lesson"]

LEAST_SPELL_S = 2.0
WITHIN_S = 2.0


@frozen(kw_only=True)
class Roles:
    """Which behaviours mean attention, participation and interaction."""

    attention: frozenset[str]
    participation: frozenset[str]
    interaction: frozenset[str]

    def narrow(self, values: Sequence[str]) -> Roles:
        """Return the roles of these values.

        Raises:
            NotEnoughData: if none of them means attention.
        """
        roles = Roles(**{name: names & frozenset(values) for name, names in asdict(self, recurse=False).items()})
        if not roles.attention:
            raise NotEnoughData(f"behaviours that mean attention among {', '.join(values)} (say which in a file of roles)", 1, 0)
        return roles

    @classmethod
    def from_mapping(cls, said: object) -> Roles:
        """Read {"attention": [...], "participation": [...], "interaction": [...]}.

        Raises:
            InvalidField: if it is anything else.
        """
        names = ("attention", "participation", "interaction")
        if not isinstance(said, Mapping) or set(said) != set(names) or not all(isinstance(said[n], list) for n in names):
            raise InvalidField("roles", "the three lists attention, participation and interaction", said)
        return cls(**{name: frozenset(map(str, said[name])) for name in names})


ROLES = Roles(
    attention=frozenset(
        {"attend", "write", "turn-page", "raise-hand", "stand"}
        | {"sitting", "hand-raised", "writing", "writes"}
        | {"hand-raising", "reading", "ahead", "listening"}
    ),
    participation=frozenset({"raise-hand", "stand", "hand-raised", "hand-raising", "standing", "raised"}),
    interaction=frozenset({"raise-hand", "stand", "look-aside", "hand-raised", "sideways", "hand-raising", "aside"}),
)
"""For the taxonomies that ship with the tool; a class that writes is attentive, one that raises hands or stands up takes part."""


@frozen(kw_only=True)
class StudentIndicators:
    """One student in one lesson; see the module. `surprise` is the mean over the tubelets, in [0, 1]."""

    student: str
    observed_s: float
    attention: float
    participation_s: float
    effective_s: float
    events: int
    per_minute: float
    interactions: int
    group: int
    surprise: float


@frozen(kw_only=True)
class LessonIndicators:
    """One lesson; see the module. Times in seconds, shares in [0, 1]."""

    lesson: str
    seconds: float
    participation: float
    attention: float
    participation_s: float
    effective_s: float
    interactions: int
    groups: int
    students: tuple[StudentIndicators, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "students": [asdict(one) for one in self.students]}


def measure_lesson(timelines: Sequence[Timeline], *, roles: Roles = ROLES, seed: int = 0) -> LessonIndicators:
    """Return the indicators of one lesson.

    Args:
        timelines: of its students, at least one.
        roles: what behaviours mean.
        seed: of the groups.

    Raises:
        NotEnoughData: if there is no timeline, or no behaviour means attention.
    """
    if not timelines:
        raise NotEnoughData("students seen in the lesson", 1, 0)
    known = roles.narrow(timelines[0].values)
    seconds = max(float(one.end_s.max()) for one in timelines) - min(float(one.start_s.min()) for one in timelines)
    events = {one.student: [(value, start) for value, start, _ in one.spells] for one in timelines}
    usual = _find_usual(timelines)
    telling = {name: [event for event in those if event[0] != usual] for name, those in events.items()}
    groups = find_groups(telling, seconds=max(seconds, 1e-3), within=WITHIN_S, seed=seed)
    meetings = _count_interactions({name: [e for e in those if e[0] in known.interaction] for name, those in events.items()})
    students = tuple(_measure_student(one, known, groups[one.student], meetings[one.student]) for one in timelines)
    return LessonIndicators(
        lesson=timelines[0].lesson,
        seconds=seconds,
        participation=float(np.mean([one.effective_s > 0 for one in students])),
        attention=float(np.mean([one.attention for one in students])),
        participation_s=float(np.mean([one.participation_s for one in students])),
        effective_s=float(np.mean([one.effective_s for one in students])),
        interactions=sum(meetings.values()) // 2,
        groups=len(set(groups.values())),
        students=students,
    )


def _measure_student(one: Timeline, roles: Roles, group: int, interactions: int) -> StudentIndicators:
    attentive = [value in roles.attention for value in one.values]
    observed = float(one.seconds.sum())
    spells = [(start, end) for value, start, end in one.spells if value in roles.participation]
    lengths = np.array([end - start for start, end in spells])
    return StudentIndicators(
        student=one.student,
        observed_s=observed,
        attention=float((one.seconds * one.probs[:, attentive].sum(axis=1)).sum() / observed),
        participation_s=float(lengths.sum()),
        effective_s=float(lengths[lengths >= LEAST_SPELL_S - 1e-6].sum()),
        events=len(spells),
        per_minute=60 * len(spells) / observed,
        interactions=interactions,
        group=group,
        surprise=float(np.nanmean(one.surprise)) if np.isfinite(one.surprise).any() else float("nan"),
    )


def _find_usual(timelines: Sequence[Timeline]) -> str:
    """Return the behaviour that most time is spent in: to fall back to it is no event that says anything."""
    total = np.sum([one.seconds @ one.probs for one in timelines], axis=0)
    return timelines[0].values[int(np.argmax(total))]


def _count_interactions(events: Mapping[str, Sequence[tuple[str, float]]]) -> dict[str, int]:
    """Return student → how many pairs of events, own and another's, start within `WITHIN_S`."""
    counts = dict.fromkeys(events, 0)
    names = sorted(events)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            near = sum(abs(s - t) <= WITHIN_S for _, s in events[a] for _, t in events[b])
            counts[a] += near
            counts[b] += near
    return counts
