"""What the review's panel shows: how far the review is, what is left to find, what is taken for what, the labels to decide on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.vocabulary import Axis

__all__ = ["STOP_BELOW", "count_progress", "describe_values", "list_cards", "list_waiting", "show_neighbours"]

STOP_BELOW = 0.02
"""Stopping is suggested when at most this share of the labels that are left is expected to be wrong."""

_FIELDS = (
    "tubelet", "filepath", "label", "suggested", "proposal", "p_wrong", "suspicion", "reason", "trouble", "verdict", "curator",
    "original", "annotator", "student", "lesson", "start", "agreement", "duplicate", "neighbours", "faults",
)  # fmt: skip


def describe_values(axis: Axis) -> list[dict[str, str]]:
    """Return the axis' values with name, colour and what they mean, in the taxonomy's order."""
    return [{"id": b.id, "name": b.name, "colour": b.colour, "description": b.description} for b in axis.behaviours]


def count_progress(dataset: Any, sample_ids: Sequence[str] = ()) -> dict[str, Any]:
    """Count what is decided and what is left, of all labels; and what is taken for what, of all or of some labels.

    Args:
        dataset: a review.
        sample_ids: the confusions of these only; none = of all that nobody has decided on.

    Returns:
        ``total``, ``reviewed``, ``verdicts`` {verdict: labels}, ``expected`` (the sum of the probabilities of being wrong over the
        labels that nobody has decided on), ``stop`` (whether so few of them are wrong that stopping is suggested) and ``pairs``
        [{label, suggested, n, expected}].
    """
    pair = {"label": "$label.label", "suggested": "$suggested.label", "verdict": "$verdict"}
    grouped = _group(dataset, {}, pair)
    total = sum(row["n"] for row in grouped)
    left = [row for row in grouped if row.get("verdict") is None]
    verdicts: dict[str, int] = {}
    for row in grouped:
        if row.get("verdict") is not None:
            verdicts[row["verdict"]] = verdicts.get(row["verdict"], 0) + row["n"]
    waiting, expected = sum(row["n"] for row in left), sum(row["expected"] for row in left)
    scored = left if not sample_ids else _group(dataset, _match_ids(sample_ids), pair)
    return {
        "total": total,
        "reviewed": total - waiting,
        "verdicts": verdicts,
        "expected": round(expected, 2),
        "stop": waiting == 0 or expected <= STOP_BELOW * waiting,
        "pairs": _sum_pairs(scored),
    }


def list_waiting(view: Any, n: int, *, skip: Iterable[str] = ()) -> list[str]:
    """Return the ids of a view's first `n` samples that nobody has decided on, in the view's order, without those in `skip`."""
    left_out = set(skip)
    waiting = view.match({"verdict": None}).limit(n + len(left_out)).values("id")
    return [sample for sample in waiting if sample not in left_out][:n]


def list_cards(dataset: Any, sample_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is to be known of samples, in the order of their ids; those that are not there any more are left out."""
    found = {card["id"]: card for card in _find_cards(dataset, _match_ids(sample_ids))}
    return [found[sample] for sample in sample_ids if sample in found]


def show_neighbours(dataset: Any, card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the cards of the labels whose motion is most like a card's, the nearest first."""
    found = {other["tubelet"]: other for other in _find_cards(dataset, {"tubelet": {"$in": list(card.get("neighbours") or [])}})}
    return [found[tubelet] for tubelet in card.get("neighbours") or [] if tubelet in found]


def _find_cards(dataset: Any, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_make_card(document) for document in dataset._sample_collection.find(wanted, dict.fromkeys(_FIELDS, 1))]


def _make_card(document: Mapping[str, Any]) -> dict[str, Any]:
    card = {name: document.get(name) for name in _FIELDS}
    for name in ("label", "suggested", "proposal"):
        card[name] = (card[name] or {}).get("label")
    return {"id": str(document["_id"]), **card}


def _match_ids(sample_ids: Iterable[str]) -> dict[str, Any]:
    from bson import ObjectId

    return {"_id": {"$in": [ObjectId(sample) for sample in sample_ids if ObjectId.is_valid(sample)]}}


def _group(dataset: Any, wanted: Mapping[str, Any], by: Mapping[str, str]) -> list[dict[str, Any]]:
    total = {"n": {"$sum": 1}, "expected": {"$sum": {"$ifNull": ["$p_wrong", 0]}}}
    pipeline = [{"$match": dict(wanted)}, {"$group": {"_id": dict(by), **total}}]
    return [{**row["_id"], "n": row["n"], "expected": row["expected"]} for row in dataset._sample_collection.aggregate(pipeline)]


def _sum_pairs(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    pairs: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.get("suggested") is not None:
            held = pairs.setdefault((row["label"], row["suggested"]), [0, 0.0])
            held[0] += row["n"]
            held[1] += row["expected"]
    return [
        {"label": label, "suggested": suggested, "n": n, "expected": round(expected, 2)}
        for (label, suggested), (n, expected) in sorted(pairs.items())
    ]
