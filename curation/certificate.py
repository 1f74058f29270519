"""The split certificate: proof that no lesson and no student stands on two sides of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict, frozen

from schemas.errors import InvalidField, LeakError

__all__ = ["Certificate", "Member", "SideFacts", "certify_split", "verify_certificate"]


@frozen(kw_only=True)
class Member:
    """One tubelet on one side: its lesson, and its student where that is known."""

    tubelet_id: str
    side: str
    lesson: str
    student: str | None = None


@frozen(kw_only=True)
class SideFacts:
    """What one side holds. `n_unknown` counts its tubelets without a known student: for them only the lesson proves anything."""

    lessons: tuple[str, ...]
    students: tuple[str, ...]
    n_tubelets: int
    n_unknown: int


@frozen(kw_only=True)
class Certificate:
    """The sides of a split and the SHA-256 of its sorted membership (one ``side, lesson, student, tubelet`` line per tubelet)."""

    sides: Mapping[str, SideFacts]
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain: dict[str, Any] = {"sha256": self.sha256, "sides": {}}
        for side in sorted(self.sides):
            plain["sides"][side] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.sides[side]).items()}
        return plain


def certify_split(members: Iterable[Member]) -> Certificate:
    """Check that no lesson and no known student is on two sides, and certify it.

    Students are told apart by name alone, also across schools. A tubelet that is listed twice (an oversampled one) counts once.

    Raises:
        LeakError: names the first lesson, else the first student, that is on more than one side.
        InvalidField: if one tubelet is listed with two lessons or students.
    """
    unique = _index_members(members)
    _check_one_side("lesson", ((m.lesson, m.side) for m in unique))
    _check_one_side("student", ((m.student, m.side) for m in unique if m.student is not None))
    lines = sorted("\t".join((m.side, m.lesson, m.student or "", m.tubelet_id)) for m in unique)
    sides = {side: _describe([m for m in unique if m.side == side]) for side in sorted({m.side for m in unique})}
    return Certificate(sides=sides, sha256=hashlib.sha256("\n".join(lines).encode()).hexdigest())


def verify_certificate(certificate: Mapping[str, Any], members: Iterable[Member]) -> Certificate:
    """Check a stored certificate against the tubelets it is said to be for; extra keys in `certificate` are left alone.

    Raises:
        LeakError: if a lesson or a student is on two sides, whatever the certificate says.
        InvalidField: if the certificate is for another membership.
    """
    found = certify_split(members)
    if certificate.get("sha256") != found.sha256:
        raise InvalidField("certificate.sha256", f"{found.sha256} (what these tubelets give)", certificate.get("sha256"))
    if certificate.get("sides") != found.to_dict()["sides"]:
        raise InvalidField("certificate.sides", "the lessons and students of these tubelets", "others")
    return found


def _index_members(members: Iterable[Member]) -> list[Member]:
    seen: dict[tuple[str, str], Member] = {}
    home: dict[str, tuple[str, str | None]] = {}
    for member in members:
        if home.setdefault(member.tubelet_id, (member.lesson, member.student)) != (member.lesson, member.student):
            raise InvalidField(f"tubelet {member.tubelet_id}", "one lesson and one student", (member.lesson, member.student))
        seen[member.side, member.tubelet_id] = member
    return list(seen.values())


def _check_one_side(kind: str, pairs: Iterable[tuple[str | None, str]]) -> None:
    sides: dict[str, set[str]] = {}
    for name, side in pairs:
        sides.setdefault(str(name), set()).add(side)
    for name in sorted(sides):
        if len(sides[name]) > 1:
            raise LeakError(kind, name, sorted(sides[name]))


def _describe(members: Sequence[Member]) -> SideFacts:
    return SideFacts(
        lessons=tuple(sorted({m.lesson for m in members})),
        students=tuple(sorted({m.student for m in members if m.student is not None})),
        n_tubelets=len(members),
        n_unknown=sum(m.student is None for m in members),
    )
