"""How little a label fits what the same student does before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.scoring.noise import compute_log_posterior, fit_symmetric

__all__ = ["compute_surprise"]

_SMALLEST = 1e-3
_LEAST = 30
_MOST = 2_000
"""Moments to learn from."""
_PHASES = 3
_LEAST_FOR_PHASE = 500
"""Moments for each phase of the lesson beyond the first: with fewer, phases are learnt by heart (rendered lessons)."""

Floats = NDArray[np.float64]


def compute_surprise(
    labels: NDArray[np.integer[Any]], probs: Floats, fold: NDArray[np.integer[Any]], timelines: Sequence[NDArray[np.integer[Any]]]
) -> Floats | None:
    """Return (N,) −log P(label | what comes before and after) in nats, NaN for a label that stands alone; None if nearly all do.

    What comes before and after is known by models that never saw it and by its labels, weighed by how often labels are wrong; a
    two-layer HMM (`backends.behaviour.hmm`) says what follows what. It is learnt from the other folds, and never hears what
    the label's own moment looks like.

    Args:
        labels: (N,) columns.
        probs: (N, K) out of fold.
        fold: (N,) fold numbers; all of one timeline are in one.
        timelines: rows of one student after one another, see `curation.scoring.gather.find_timelines`.
    """
    from backends.behaviour.hmm import fit_hmm

    spells = [rows for rows in timelines if len(rows) > 1]
    if sum(map(len, spells)) < _LEAST or probs.shape[1] < 2 or len(np.unique(fold)) < 2:
        return None
    logs = np.log(np.maximum(probs, _SMALLEST))
    belief = np.exp(compute_log_posterior(logs, labels, fit_symmetric(logs, labels))[0])
    surprise = np.full(len(labels), np.nan)
    for number in np.unique(fold):
        taught = _choose([belief[rows] for rows in spells if fold[rows[0]] != number])
        if not taught:
            continue
        model = fit_hmm(taught, n_phases=min(_PHASES, 1 + sum(map(len, taught)) // _LEAST_FOR_PHASE))
        for rows in spells:
            if fold[rows[0]] == number:
                expected = model.expect(belief[rows])[np.arange(len(rows)), labels[rows]]
                surprise[rows] = -np.log(np.maximum(expected, _SMALLEST))
    return surprise


def _choose(sequences: list[Floats]) -> list[Floats]:
    """Return some of the sequences if they are too many to learn from."""
    order = np.random.default_rng(0).permutation(len(sequences))
    total = np.cumsum([len(sequences[i]) for i in order])
    return [sequences[i] for i in sorted(order[: int(np.searchsorted(total, _MOST)) + 1])]
