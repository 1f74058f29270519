"""Scoring methods: (labels, probabilities, evidence) → suspicion in [0, 1], 1 = most suspect. Pure, vectorised functions.

`labels` (N,) are columns of `probs` (N, K), which must be out-of-sample: the loss of a model on what it was trained on is the
worst usable score, because it has memorised the wrong labels too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from schemas.errors import InvalidField

__all__ = ["Evidence", "score_by_default", "score_by_loss", "score_by_margin", "score_by_neighbours", "score_by_training_margin"]

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]

_NEIGHBOURS = 15


@frozen(kw_only=True, eq=False)
class Evidence:
    """What may be known beside the probabilities.

    `features` (N, D): alike samples are near; `groups` (N,): neighbours within one group are no independent witnesses; `margins`
    (N,): mean margin of the label over early epochs, out of fold (see `curation.crossval.Predictions`).
    """

    features: NDArray[np.floating[Any]] | None = None
    groups: NDArray[Any] | None = None
    margins: Floats | None = None


def score_by_loss(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return 1 − p(label): the order of the cross-entropy −log p(label)."""
    return 1 - _take_own(labels, probs)


def score_by_margin(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return (1 − (p(label) − the largest other p)) / 2."""
    own = _take_own(labels, probs)
    if probs.shape[1] == 1:
        return np.asarray((1 - own) / 2)
    top = np.argmax(probs, axis=1)
    rows = np.flatnonzero(top == labels)
    rival = probs.max(axis=1)
    others = probs[rows].copy()
    others[np.arange(len(rows)), labels[rows]] = -1
    rival[rows] = others.max(axis=1)
    return np.asarray(np.clip((1 - (own - rival)) / 2, 0, 1))


def score_by_training_margin(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return the rank of the mean early-epoch margin, lowest margin = 1.

    After "Identifying Mislabeled Data using the Area Under the Margin Ranking" (Pleiss et al., 2020), eq. 2, but out of fold.

    Raises:
        InvalidField: if margins were not recorded.
    """
    if evidence.margins is None:
        raise InvalidField(
            "method", "a method that needs probabilities alone (training margins are known only with --sequences)", "aum"
        )
    return _rank(-evidence.margins)


def score_by_neighbours(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return the share of a sample's nearest neighbours (of other groups, where groups are known) that have another label.

    Raises:
        InvalidField: if there are no features.
    """
    if evidence.features is None:
        raise InvalidField("method", "a method that needs probabilities alone, or --features", "knn")
    from sklearn.neighbors import NearestNeighbors

    n = len(labels)
    groups = np.arange(n) if evidence.groups is None else np.unique(evidence.groups, return_inverse=True)[1]
    largest = int(np.bincount(groups).max())
    k = min(n, _NEIGHBOURS + largest)
    scaled = evidence.features.astype(np.float32)
    scaled = (scaled - scaled.mean(axis=0)) / np.maximum(scaled.std(axis=0), 1e-6)
    near = NearestNeighbors(n_neighbors=k).fit(scaled).kneighbors(scaled, return_distance=False)
    foreign = groups[near] != groups[:, None]
    counted = foreign & (foreign.cumsum(axis=1) <= _NEIGHBOURS)
    differs = (labels[near] != labels[:, None]) & counted
    total = counted.sum(axis=1)
    return np.asarray(np.where(total > 0, differs.sum(axis=1) / np.maximum(total, 1), 0.5))


def score_by_default(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return the mean rank by loss and by early-epoch margin where margins are known, 1 − p(label) where they are not."""
    loss = score_by_loss(labels, probs, evidence)
    if evidence.margins is None:
        return loss
    return (_rank(loss) + score_by_training_margin(labels, probs, evidence)) / 2


def _take_own(labels: Labels, probs: Floats) -> Floats:
    return np.asarray(probs[np.arange(len(labels)), labels])


def _rank(values: Floats) -> Floats:
    """Return mid-ranks in (0, 1), ties equal."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(values) - 0.5) / len(values))
