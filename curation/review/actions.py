"""What a curator can do to a label: drop it, give it another value, keep it, call it ambiguous, take the last decision back.

Every decision is a new row in the catalogue, in one transaction for all labels that it is made on; nothing is ever overwritten.
FiftyOne's plug-in and the command line are thin shells over this module.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Literal

from schemas.checks import check_name
from schemas.errors import InvalidField, NotEnoughData, UnknownName
from schemas.records import Verdict
from schemas.vocabulary import Label, Taxonomy

if TYPE_CHECKING:
    from curation.store.catalogue import Catalogue

__all__ = ["KINDS", "find_curator", "list_standing", "record_verdict", "undo_last"]

Kind = Literal["drop", "relabel", "keep", "ambiguous", "undo"]
KINDS: tuple[Kind, ...] = ("drop", "relabel", "keep", "ambiguous", "undo")


def find_curator(name: str | None = None) -> str:
    """Return who decides: `name`, else CURATE_CURATOR, else the account's name.

    Raises:
        InvalidField: if the name is blank at its ends or has control characters.
    """
    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        account = "curator"
    return check_name("curator", name or os.environ.get("CURATE_CURATOR") or account)


def record_verdict(
    catalogue: Catalogue,
    tubelet_ids: Sequence[str],
    axis: str,
    kind: Kind,
    *,
    value: str | None = None,
    curator: str | None = None,
    taxonomy: Taxonomy | None = None,
) -> list[Verdict]:
    """Record one decision on the labels that `tubelet_ids` have on `axis`; all of them, or none. Return the rows that are new.

    A label on which this very decision stands already gets no second row: a double click is one click.

    Args:
        catalogue: where the rows go.
        tubelet_ids: the labelled tubelets; one named twice counts once.
        axis: the axis that the labels are on.
        kind: what is decided; undo takes back each label's newest standing verdict, and the one before stands again.
        value: the new value of a relabel.
        curator: who decides; see `find_curator`.
        taxonomy: checks `axis` and `value` where given.

    Raises:
        NotEnoughData: if no tubelet is named.
        UnknownName: if a tubelet has no label on this axis, or the taxonomy does not have the value.
        InvalidField: if the kind is unknown, a relabel has no value, or there is nothing to undo on one of the labels.
    """
    chosen = list(dict.fromkeys(tubelet_ids))
    if not chosen:
        raise NotEnoughData("labels to decide on", 1, 0)
    if taxonomy is not None:
        if value is None:
            taxonomy.axis(axis)
        else:
            taxonomy.check_label(Label(axis=axis, value=value))
    made_at = _stamp(datetime.now(UTC))
    name = find_curator(curator)
    verdicts = [Verdict(tubelet_id=t, axis=axis, kind=kind, curator=name, made_at=made_at, value=value) for t in chosen]

    def choose_new(labelled: set[str], before: list[Verdict]) -> list[Verdict]:
        for tubelet_id in chosen:
            if tubelet_id not in labelled:
                raise UnknownName(f"label on axis {axis}: tubelet", tubelet_id, [f"{len(labelled)} of those named"])
        newest = {tubelet: stack[-1] for (tubelet, _), stack in list_standing(before).items()}
        if kind == "undo":
            for tubelet_id in chosen:
                if tubelet_id not in newest:
                    raise InvalidField("undo", "a label with a verdict to take back", tubelet_id)
        stands = {tubelet for tubelet, verdict in newest.items() if (verdict.kind, verdict.value) == (kind, value)}
        return [verdict for verdict in verdicts if verdict.tubelet_id not in stands]

    return catalogue.add_decision(axis, chosen, choose_new)


def list_standing(verdicts: Sequence[Verdict]) -> dict[tuple[str, str], list[Verdict]]:
    """Return the verdicts that are not taken back, oldest first, by (tubelet, axis); `verdicts` are in the order they were made."""
    standing: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        stack = standing.setdefault((verdict.tubelet_id, verdict.axis), [])
        if verdict.kind != "undo":
            stack.append(verdict)
        elif stack:
            stack.pop()
    return {key: stack for key, stack in standing.items() if stack}


def undo_last(
    catalogue: Catalogue, n: int = 1, *, axis: str | None = None, curator: str | None = None, made_by: str | None = None
) -> list[Verdict]:
    """Take back the newest `n` decisions that still stand, in one transaction; return the undo rows.

    A decision made on many labels at once counts as one.

    Args:
        catalogue: where the rows are.
        n: how many decisions, 1 or more.
        axis: only decisions on this axis.
        curator: who takes them back; see `find_curator`.
        made_by: only decisions of this curator; None = whoever made them.

    Raises:
        InvalidField: if `n` is below 1.
        NotEnoughData: if fewer decisions stand.
    """
    if n < 1:
        raise InvalidField("last", "a number of 1 or more", n)
    name, now = find_curator(curator), datetime.now(UTC)

    def take_back(_: set[str], verdicts: list[Verdict]) -> list[Verdict]:
        undone = _find_newest(verdicts, n, made_by)
        return [
            Verdict(tubelet_id=verdict.tubelet_id, axis=verdict.axis, kind="undo", curator=name, made_at=_stamp(now, step))
            for step, decision in enumerate(undone)
            for verdict in decision
        ]

    return catalogue.add_decision(axis, None, take_back)


def _find_newest(verdicts: Sequence[Verdict], n: int, made_by: str | None) -> list[list[Verdict]]:
    """Return the newest `n` decisions that still stand, newest first; what was decided on many labels at once is one.

    Raises:
        NotEnoughData: if fewer stand.
    """
    standing = {verdict.id for stack in list_standing(verdicts).values() for verdict in stack}
    decisions: dict[tuple[str, str, str, str], list[Verdict]] = {}
    for verdict in reversed(verdicts):
        if verdict.id in standing and made_by in (None, verdict.curator):
            decisions.setdefault((verdict.axis, verdict.made_at, verdict.curator, verdict.kind), []).append(verdict)
    if len(decisions) < n:
        raise NotEnoughData("decisions to take back", n, len(decisions))
    return list(islice(decisions.values(), n))


def _stamp(moment: datetime, step: int = 0) -> str:
    return (moment + timedelta(microseconds=step)).isoformat(timespec="microseconds")
