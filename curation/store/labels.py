"""What counts as a tubelet's label, out of everything that people ever said about it. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from attrs import evolve, frozen

from schemas.records import HumanSpan, Verdict

__all__ = ["CurrentLabel", "find_newest", "find_standing_verdicts", "resolve_labels"]


@frozen(kw_only=True)
class CurrentLabel:
    """The label of one tubelet on one axis as it stands now.

    `original` is what the annotators said. `span` is what holds: the same, or after a relabel the curator's value with
    annotator = curator and origin = "verdict/<id>". A `dropped` label (its verdict is drop or ambiguous) must not be trained on or
    exported. `agreement` in (0, 1] is the share of the annotators, each by the newest statement, who said `original.value`.
    """

    tubelet_id: str
    span: HumanSpan
    original: HumanSpan
    verdict: Verdict | None = None
    dropped: bool = False
    agreement: float = 1.0
    n_annotators: int = 1


def resolve_labels(annotations: Iterable[HumanSpan], verdicts: Iterable[Verdict]) -> list[CurrentLabel]:
    """Return one current label per labelled tubelet, sorted by tubelet id.

    An annotator's newest statement replaces that annotator's earlier ones. Several annotators: the majority; on a tie the
    value said last. Then the newest verdict that was not undone.

    Args:
        annotations: of one axis, in the order in which they were added.
        verdicts: of the same axis, in the order in which they were added; those on unlabelled tubelets are ignored.
    """
    spans: dict[str, list[HumanSpan]] = defaultdict(list)
    for span in annotations:
        spans[span.tubelet_id].append(span)
    standing = find_standing_verdicts(verdicts)
    return [_apply_verdict(*_choose_span(spans[tubelet]), standing.get(tubelet)) for tubelet in sorted(spans)]


def find_standing_verdicts(verdicts: Iterable[Verdict]) -> dict[str, Verdict]:
    """Return tubelet id → its newest verdict that was not undone; an undo with nothing left to undo does nothing.

    Args:
        verdicts: of one axis, in the order in which they were added.
    """
    stacks: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        stack = stacks[verdict.tubelet_id]
        if verdict.kind != "undo":
            stack.append(verdict)
        elif stack:
            stack.pop()
    return {tubelet: stack[-1] for tubelet, stack in stacks.items() if stack}


def find_newest(spans: Iterable[HumanSpan]) -> dict[str, tuple[int, HumanSpan]]:
    """Return annotator → the newest statement, with its place among all in the order of time.

    Args:
        spans: about one tubelet, in the order in which they were added.
    """
    oldest_first = sorted(spans, key=lambda span: _read_time(span.made_at))
    return {span.annotator: (order, span) for order, span in enumerate(oldest_first)}


def _choose_span(spans: list[HumanSpan]) -> tuple[HumanSpan, int, int]:
    """Return the statement that holds, how many annotators say the same, and how many there are."""
    if len(spans) == 1:
        return spans[0], 1, 1
    newest = find_newest(spans)
    votes = Counter(span.value for _, span in newest.values())
    most = max(votes.values())
    chosen = max((entry for entry in newest.values() if votes[entry[1].value] == most), key=lambda entry: entry[0])[1]
    return chosen, most, len(newest)


def _apply_verdict(original: HumanSpan, votes: int, annotators: int, verdict: Verdict | None) -> CurrentLabel:
    span = original
    if verdict is not None and verdict.value is not None:
        span = evolve(
            original, value=verdict.value, annotator=verdict.curator, origin=f"verdict/{verdict.id}", made_at=verdict.made_at
        )
    return CurrentLabel(
        tubelet_id=original.tubelet_id,
        span=span,
        original=original,
        verdict=verdict,
        dropped=verdict is not None and verdict.kind in ("drop", "ambiguous"),
        agreement=votes / annotators,
        n_annotators=annotators,
    )


def _read_time(text: str) -> float:
    """Return seconds since 1970 (a time without zone is UTC); what is no ISO 8601 time counts as older than any."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return float("-inf")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
