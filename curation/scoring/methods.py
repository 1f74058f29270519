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

__all__ = [
    "Evidence",
    "score_by_default",
    "score_by_joint",
    "score_by_loss",
    "score_by_margin",
    "score_by_neighbours",
    "score_by_seen_margin",
    "score_by_training_margin",
]

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]

N_NEIGHBOURS = 10


@frozen(kw_only=True, eq=False)
class Evidence:
    """What may be known beside the probabilities, about N samples.

    `features` (N, D): alike samples are near; `groups` (N,): neighbours within one group are no independent witnesses; `margins`
    (N,): mean margin of the label over early epochs, out of fold (see `curation.crossval.Predictions`); `seen_margins` (N,): the
    same of a network that was trained on the sample; `opinions`: each (N, K) out-of-sample probabilities of one model, where
    `probs` is their mean; `votes` (N, A): columns that annotators said, −1 = nothing; `proposed` (N,): the column first proposed,
    −1 = none, and `edits` (N,) in [0, 1] how far box and skeleton were moved from the proposal; `surprise` (N,) in nats, −log of
    the transitions around the label, NaN = not known; `geometry` (N,) in [0, 1], 1 = impossible (`curation.scoring.geometry`).
    """

    features: NDArray[np.floating[Any]] | None = None
    groups: NDArray[Any] | None = None
    margins: Floats | None = None
    seen_margins: Floats | None = None
    opinions: tuple[Floats, ...] = ()
    votes: Labels | None = None
    proposed: Labels | None = None
    edits: Floats | None = None
    surprise: Floats | None = None
    geometry: Floats | None = None


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
    """Return the rank of the mean early-epoch margin, lowest margin = 1, of a network that was not trained on the sample.

    After "Identifying Mislabeled Data using the Area Under the Margin Ranking" (Pleiss et al., 2020), eq. 2, but out of fold.

    Raises:
        InvalidField: if margins were not recorded.
    """
    if evidence.margins is None:
        raise InvalidField(
            "method", "a method that needs probabilities alone (training margins are known only with --sequences)", "aum"
        )
    return rank_evenly(-evidence.margins)


def score_by_seen_margin(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return the rank of the mean early-epoch margin, lowest margin = 1, of a network trained on the sample (Pleiss et al., 2020).

    Raises:
        InvalidField: if such margins were not recorded.
    """
    return rank_evenly(-require(evidence.seen_margins, "aum-seen", "margins of a network trained on the samples"))


def score_by_neighbours(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return the share of a sample's nearest neighbours (of other groups, where groups are known) that have another label.

    Raises:
        InvalidField: if there are no features.
    """
    if evidence.features is None:
        raise InvalidField("method", "a method that needs probabilities alone, or --features", "knn")
    from curation.scoring.neighbours import find_neighbours, scale_features

    near = find_neighbours(scale_features(evidence.features), N_NEIGHBOURS, groups=evidence.groups)
    total = near.known.sum(axis=1)
    differs = (labels[np.maximum(near.index, 0)] != labels[:, None]) & near.known
    return np.asarray(np.where(total > 0, differs.sum(axis=1) / np.maximum(total, 1), 0.5))


def score_by_joint(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return (c + 1 − p(label) / (p(label) + p(rival))) / 2, c = 1 if the label is off the diagonal of the confident joint.

    A sample counts as class j if p(j) is at least the mean p(j) of those labelled j, and no such class has a larger p:
    C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (2021), eq. 1.
    """
    own = _take_own(labels, probs)
    n_classes = probs.shape[1]
    counts = np.bincount(labels, minlength=n_classes)
    bars = np.where(counts > 0, np.bincount(labels, weights=own, minlength=n_classes) / np.maximum(counts, 1), np.inf)
    confident = np.where(probs >= bars, probs, -1)
    claimed = confident.argmax(axis=1)
    off = (confident.max(axis=1) >= 0) & (claimed != labels)
    rivals = probs.copy()
    rivals[np.arange(len(labels)), labels] = 0
    return np.asarray((off + 1 - own / np.maximum(own + rivals.max(axis=1), 1e-12)) / 2)


def score_by_default(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return the score of `curation.scoring.diagnose.diagnose_labels`, which combines all that is known."""
    from curation.scoring.diagnose import diagnose_labels

    return diagnose_labels(labels, probs, evidence).score


def require(value: NDArray[Any] | None, method: str, what: str) -> NDArray[Any]:
    """Return `value`.

    Raises:
        InvalidField: if it is None: the method needs `what`.
    """
    if value is None:
        raise InvalidField("method", f"a method for what is known ({method} needs {what})", method)
    return value


def rank_evenly(values: Floats) -> Floats:
    """Return mid-ranks in (0, 1), ties equal, the largest value near 1."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(values) - 0.5) / len(values))


def _take_own(labels: Labels, probs: Floats) -> Floats:
    return np.asarray(probs[np.arange(len(labels)), labels])
