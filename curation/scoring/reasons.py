"""One line for the curator that says why a label is where it is in the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.scoring.methods import Evidence
from curation.scoring.neighbours import Neighbours

__all__ = ["Reasons"]

Counts = NDArray[np.int64]

_FACTS = (
    "label", "suggested", "votes", "near", "n_near", "percent", "own_percent", "against", "n_asked", "proposed", "strange",
    "impossible",
)  # fmt: skip
_STRANGE = 2.0
"""A label half as likely as by chance is strange."""
_IMPOSSIBLE = 0.5
"""A geometry that is more impossible than not is told (`curation.scoring.geometry`)."""


@frozen(kw_only=True, eq=False)
class Reasons:
    """What speaks for and against N labels, as numbers; strings are made when they are asked for.

    `label`, `suggested` (N,) columns; `votes` (N,) models that say `suggested`, of `n_models`; `near` (N,) nearest neighbours
    labelled `suggested`, of `n_near` (N,); `percent` (N,) and `own_percent` (N,): probability of the suggestion and of the label;
    `against` (N,) annotators of `n_asked` (N,) who say another than the label; `proposed` (N,) the column that had been proposed
    where it is not the label, plus one; `strange` (N,) 1 where the label is unlikely between what comes before and after;
    `impossible` (N,) 1 where box or skeleton cannot be right.
    """

    label: Counts
    suggested: Counts
    votes: Counts
    n_models: int
    near: Counts
    n_near: Counts
    percent: Counts
    own_percent: Counts
    against: Counts
    n_asked: Counts
    proposed: Counts
    strange: Counts
    impossible: Counts

    @classmethod
    def collect(
        cls,
        labels: NDArray[Any],
        suggested: Counts,
        guess: NDArray[np.float64],
        *,
        votes: Counts | None = None,
        nearest: Neighbours | None = None,
        evidence: Evidence | None = None,
    ) -> Self:
        """Count what there is.

        Args:
            labels: (N,) columns.
            suggested: (N,) columns.
            guess: (N, K) probabilities without the label.
            votes: (M, N) what each of M models says; None = only `guess` is known.
            nearest: neighbours, or None.
            evidence: what annotators, proposals, transitions, boxes and skeletons say.
        """
        rows, zeros = np.arange(len(labels)), np.zeros(len(labels), np.int64)
        near, n_near = zeros, zeros
        if nearest is not None:
            same = labels[np.maximum(nearest.index, 0)] == suggested[:, None]
            near, n_near = (same & nearest.known).sum(axis=1), nearest.known.sum(axis=1)
        return cls(
            label=np.asarray(labels, np.int64),
            suggested=suggested,
            votes=zeros if votes is None else (votes == suggested).sum(axis=0),
            n_models=0 if votes is None else len(votes),
            near=near,
            n_near=n_near,
            percent=np.rint(100 * guess[rows, suggested]).astype(np.int64),
            own_percent=np.rint(100 * guess[rows, labels]).astype(np.int64),
            **_count_witnesses(np.asarray(labels, np.int64), guess.shape[1], evidence),
        )

    def write(self, names: Sequence[str] | None = None, rows: NDArray[Any] | None = None) -> NDArray[np.object_]:
        """Return (N,) lines, as in "3 of 3 models say write; nearest 9 of 10 are write; labelled phone".

        Args:
            names: (K,) of classes; by default their numbers.
            rows: which samples, in which order; by default all.
        """
        chosen = slice(None) if rows is None else rows
        facts = np.stack([getattr(self, name) for name in _FACTS])[:, chosen]
        if self.n_models:
            facts[[_FACTS.index("percent"), _FACTS.index("own_percent")]] = 0
        if not facts.shape[1]:
            return np.zeros(0, object)
        packed = np.zeros(facts.shape[1], np.int64)
        for fact in facts:
            packed = packed * (int(fact.max()) + 1) + fact
        _, first, back = np.unique(packed, return_index=True, return_inverse=True)
        lines = np.empty(len(first), object)
        for i, column in enumerate(first):
            lines[i] = self._say(dict(zip(_FACTS, map(int, facts[:, column]), strict=True)), names)
        return np.asarray(lines[back])

    def _say(self, fact: dict[str, int], names: Sequence[str] | None) -> str:
        said, was = _name(fact["suggested"], names), _name(fact["label"], names)
        is_same = fact["suggested"] == fact["label"]
        same = "as labelled" if is_same else f"labelled {was}"
        if self.n_models:
            verb = "says" if self.n_models == 1 else "say"
            models = f"{fact['votes']} of {self.n_models} models {verb} {said}"
        else:
            models = f"the model says {said} ({fact['percent']} %)"
            same += "" if is_same else f" ({fact['own_percent']} %)"
        around = f"nearest {fact['near']} of {fact['n_near']} are {said}" if fact["n_near"] else ""
        asked = f"{fact['against']} of {fact['n_asked']} annotators say another than {was}" if fact["against"] else ""
        shown = f"{_name(fact['proposed'] - 1, names)} was proposed" if fact["proposed"] else ""
        strange = f"{was} is unlikely between what comes before and after" if fact["strange"] else ""
        crooked = "box or skeleton cannot be right" if fact["impossible"] else ""
        return "; ".join(part for part in (crooked, models, around, asked, shown, strange, same) if part)


def _name(column: int, names: Sequence[str] | None) -> str:
    if names is None:
        return str(column)
    return names[column] if column < len(names) else "another value"


def _count_witnesses(labels: Counts, n_classes: int, evidence: Evidence | None) -> dict[str, Counts]:
    """Return `against`, `n_asked`, `proposed`, `strange` and `impossible` of `Reasons`."""
    none: Counts = np.zeros(len(labels), np.int64)
    found: dict[str, Counts] = dict.fromkeys(("against", "n_asked", "proposed", "strange", "impossible"), none)
    if evidence is None:
        return found
    if evidence.votes is not None:
        cast = evidence.votes >= 0
        found |= {"against": (cast & (evidence.votes != labels[:, None])).sum(axis=1), "n_asked": cast.sum(axis=1)}
    if evidence.proposed is not None:
        found["proposed"] = np.where(evidence.proposed != labels, evidence.proposed + 1, 0).astype(np.int64)
    if evidence.surprise is not None:
        found["strange"] = (np.nan_to_num(evidence.surprise) > max(np.log(_STRANGE * n_classes), np.log(2))).astype(np.int64)
    if evidence.geometry is not None:
        found["impossible"] = (np.nan_to_num(evidence.geometry) > _IMPOSSIBLE).astype(np.int64)
    return found
