"""One line for the curator that says why a label is where it is in the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.scoring.neighbours import Neighbours

__all__ = ["Reasons"]

Counts = NDArray[np.int64]


@frozen(kw_only=True, eq=False)
class Reasons:
    """What speaks for and against N labels, as numbers; strings are made when they are asked for.

    `label`, `suggested` (N,) columns; `votes` (N,) models that say `suggested`, of `n_models`; `near` (N,) nearest neighbours
    labelled `suggested`, of `n_near` (N,); `percent` (N,) and `own_percent` (N,): probability of the suggestion and of the label.
    """

    label: Counts
    suggested: Counts
    votes: Counts
    n_models: int
    near: Counts
    n_near: Counts
    percent: Counts
    own_percent: Counts

    @classmethod
    def collect(
        cls,
        labels: NDArray[Any],
        suggested: Counts,
        guess: NDArray[np.float64],
        *,
        votes: Counts | None = None,
        nearest: Neighbours | None = None,
    ) -> Self:
        """Count what there is.

        Args:
            labels: (N,) columns.
            suggested: (N,) columns.
            guess: (N, K) probabilities without the label.
            votes: (M, N) what each of M models says; None = only `guess` is known.
            nearest: neighbours, or None.
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
        )

    def write(self, names: Sequence[str] | None = None, rows: NDArray[Any] | None = None) -> NDArray[np.object_]:
        """Return (N,) lines, as in "3 of 3 models say write; nearest 9 of 10 are write; labelled phone".

        Args:
            names: (K,) of classes; by default their numbers.
            rows: which samples, in which order; by default all.
        """
        chosen = slice(None) if rows is None else rows
        facts = np.stack([self.label, self.suggested, self.votes, self.near, self.n_near, self.percent, self.own_percent])[
            :, chosen
        ]
        if self.n_models:
            facts[5:] = 0
        if not facts.shape[1]:
            return np.zeros(0, object)
        packed = np.zeros(facts.shape[1], np.int64)
        for fact in facts:
            packed = packed * (int(fact.max()) + 1) + fact
        _, first, back = np.unique(packed, return_index=True, return_inverse=True)
        lines = np.empty(len(first), object)
        for i, column in enumerate(first):
            lines[i] = self._say(*(int(v) for v in facts[:, column]), names=names)
        return np.asarray(lines[back])

    def _say(
        self, label: int, suggested: int, votes: int, near: int, n_near: int, percent: int, own: int, *, names: Sequence[str] | None
    ) -> str:
        said, was = (str(c) if names is None else names[c] for c in (suggested, label))
        same = "as labelled" if suggested == label else f"labelled {was}"
        if not self.n_models:
            return f"the model says {said} ({percent} %); {same}" + ("" if suggested == label else f" ({own} %)")
        verb = "says" if self.n_models == 1 else "say"
        models = f"{votes} of {self.n_models} models {verb} {said}"
        around = f"; nearest {near} of {n_near} are {said}" if n_near else ""
        return f"{models}{around}; {same}"
