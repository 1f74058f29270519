"""Grouped out-of-fold scores of labels: train without a group, ask about the group."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from curation.crossval import Predictions, cross_validate
from curation.scoring.geometry import score_geometry
from curation.scoring.methods import Evidence
from curation.scoring.rank import Ranking, rank_labels
from curation.scoring.transitions import compute_surprise
from schemas.sequences import SequenceSet

__all__ = ["JUDGES", "ScoredLabels", "score_sequences"]

JUDGES = ("tcn", "extra-trees")
"""Models whose opinions are averaged by default: a network and trees err on different samples."""


@frozen(kw_only=True, eq=False)
class ScoredLabels:
    """A ranking of N labels: `labels` (N,) and `ranking` count columns of `classes`; `probs` (N, K) are what it rests on."""

    ranking: Ranking
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    probs: NDArray[np.float64]
    fold: NDArray[np.int64]


def score_sequences(
    sequences: SequenceSet,
    *,
    models: Sequence[str] = JUDGES,
    method: str = "default",
    n_folds: int | None = 5,
    seed: int = 0,
    n_seeds: int = 1,
    workers: int = 1,
    known: Evidence | None = None,
    timelines: Sequence[NDArray[np.int64]] = (),
    advance: Callable[[int, int], None] | None = None,
) -> ScoredLabels:
    """Score every label by models that had not seen its group.

    Probabilities and early-epoch margins are averaged over models and seeds; the default method hears every model on its own,
    compares poses, and hears what else is known. A class that a fold's training part lacks cannot be judged there: it gets 1 / K,
    so that its samples are neither cleared nor accused.

    Args:
        sequences: labelled sequences.
        models: names in `backends.behaviour.MODELS`.
        method: a name in `curation.scoring.SCORERS`.
        n_folds: see `curation.crossval.assign_folds`.
        seed: decides folds and training.
        n_seeds: trainings a fold and model.
        workers: processes among which the folds are shared; the answer does not depend on it.
        known: what people, proposals and boxes say.
        timelines: rows of one student after one another: what follows what is learnt, out of fold.
        advance: is called with (trainings done, trainings).

    Raises:
        UnknownName: if a model or the method is unknown.
        NotEnoughData: if there are fewer than two groups or classes.
    """
    from curation.scoring import SCORERS

    SCORERS.load(method)
    known = known or Evidence()
    runs: list[Predictions] = []
    jobs = [(model, seed + 1000 * k) for k in range(n_seeds) for model in models]
    for number, (model, job_seed) in enumerate(jobs):
        report = None if advance is None else _shift(advance, number, len(jobs))
        runs.append(cross_validate(sequences, model=model, n_folds=n_folds, seed=job_seed, workers=workers, advance=report))
    labels = np.searchsorted(np.array(runs[0].classes), sequences.label).astype(np.int64)
    said = np.stack([_neutralise(run) for run in runs])
    said /= said.sum(axis=2, keepdims=True)
    probs = said.mean(axis=0)
    ranking = rank_labels(
        labels,
        probs,
        method=method,
        groups=sequences.group,
        margins=np.mean([run.margins for run in runs], axis=0),
        features=_describe(sequences, method),
        more=evolve(
            known,
            opinions=tuple(said.reshape(n_seeds, len(models), *probs.shape).mean(axis=0)),
            geometry=_inspect(sequences, known.geometry),
            surprise=compute_surprise(labels, probs, runs[0].fold, timelines) if method in ("default", "surprise") else None,
        ),
    )
    return ScoredLabels(ranking=ranking, labels=labels, classes=runs[0].classes, probs=probs, fold=runs[0].fold)


def _neutralise(run: Predictions) -> NDArray[np.float64]:
    """Return probabilities with 1 / K for classes the row's model was never taught, the rest sharing what is left."""
    n_classes = run.probs.shape[1]
    known = np.where(run.taught, run.probs, 0)
    left = run.taught.sum(axis=1, keepdims=True) / n_classes
    shared = known / np.maximum(known.sum(axis=1, keepdims=True), 1e-12) * left
    return np.asarray(np.where(run.taught, shared, 1 / n_classes))


def _describe(sequences: SequenceSet, method: str) -> NDArray[np.float32] | None:
    """Return flat normalised poses for methods that compare samples."""
    if method not in ("default", "knn"):
        return None
    from backends.behaviour.flat import MAX_FRAMES, flatten_poses

    return flatten_poses(sequences.pose, min(MAX_FRAMES, sequences.pose.shape[1]))


def _inspect(sequences: SequenceSet, boxes: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return how impossible skeletons are, or boxes where these are worse; None if neither can be told."""
    if sequences.skeleton is None:
        return boxes
    skeletons = score_geometry(sequences.pose, sequences.skeleton)
    return skeletons if boxes is None else np.fmax(skeletons, boxes)


def _shift(advance: Callable[[int, int], None], number: int, total: int) -> Callable[[int, int], None]:
    return lambda done, each: advance(number * each + done, total * each)
