"""Out-of-fold probabilities: every sequence is judged by a model that saw neither it nor anything else of its group."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from schemas.errors import InvalidField, NotEnoughData, UnknownName
from schemas.files import replace_file
from schemas.sequences import SequenceSet

if TYPE_CHECKING:
    from backends.base import EpochReport

__all__ = ["EARLY_EPOCHS", "Predictions", "assign_folds", "cross_validate", "write_predictions"]

EARLY_EPOCHS = 15
"""Epochs over which margins are averaged: before a network starts to memorise wrong labels."""

Advance = Callable[[int, int], None]


@frozen(kw_only=True, eq=False)
class Predictions:
    """What models said about N sequences they had not been trained on.

    `probs` (N, K), NaN in the rows of fold −1; `classes` (K,); `fold` (N,), −1 = only trained on; `taught` (N, K): the class
    occurred in what the row's model was trained on; `margins` (N,): mean over the first `EARLY_EPOCHS` epochs of log p(label) −
    max log p(other), out of fold (large = the label is easy to believe), NaN in fold −1.
    """

    probs: NDArray[np.float64]
    classes: tuple[str, ...]
    fold: NDArray[np.int64]
    taught: NDArray[np.bool_]
    margins: NDArray[np.float64]


def assign_folds(label: NDArray[np.str_], group: NDArray[np.str_], *, n_folds: int | None, seed: int = 0) -> NDArray[np.int64]:
    """Return (N,) fold numbers from 0; a group lies in one fold, and classes are spread as evenly as whole groups allow.

    Args:
        label: (N,).
        group: (N,).
        n_folds: how many, at most as many as groups; None = one fold a group.
        seed: decides ties.

    Raises:
        NotEnoughData: if there are fewer than two groups.
        InvalidField: if fewer than two folds are asked for.
    """
    names, numbers = np.unique(group, return_inverse=True)
    if len(names) < 2:
        raise NotEnoughData("groups (videos or persons) to hold out one at a time", 2, len(names))
    if n_folds is None or n_folds >= len(names):
        return numbers.astype(np.int64)
    if n_folds < 2:
        raise InvalidField("folds", "2 or more, or all", n_folds)
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    fold = np.zeros(len(label), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            parts = list(StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(label, label, group))
        except ValueError:
            parts = list(GroupKFold(n_folds).split(label, label, group))
    for number, (_, rows) in enumerate(parts):
        fold[rows] = number
    return np.unique(fold, return_inverse=True)[1].astype(np.int64)


def cross_validate(
    sequences: SequenceSet,
    *,
    model: str = "default",
    n_folds: int | None = 5,
    test_group: str | None = None,
    seed: int = 0,
    workers: int = 1,
    advance: Advance | None = None,
) -> Predictions:
    """Train a model per fold and let it judge what it has not seen; the answer does not depend on the number of workers.

    Args:
        sequences: what to learn from and to judge.
        model: a name in `backends.behaviour.MODELS`.
        n_folds: see `assign_folds`.
        test_group: hold out this group only; all others are only trained on.
        seed: decides folds and training.
        workers: processes among which the folds are shared.
        advance: is called with (folds done, folds).

    Raises:
        UnknownName: if there is no such model or group.
        NotEnoughData: if there is one group only, or a fold leaves fewer than two classes to train on.
    """
    from backends.behaviour import MODELS

    MODELS.load(model)
    fold = _assign(sequences, n_folds, test_group, seed)
    n, n_classes = len(sequences), len(sequences.classes)
    column = np.searchsorted(np.array(sequences.classes), sequences.label)
    probs, margins = np.full((n, n_classes), np.nan), np.full(n, np.nan)
    taught = np.zeros((n, n_classes), bool)
    numbers = sorted(set(fold.tolist()) - {-1})
    jobs = {number: (sequences, model, fold == number, seed + number) for number in numbers}
    for done, (number, said, early) in enumerate(_judge_all(jobs, workers)):
        held = fold == number
        probs[held], margins[held] = said, early
        taught[held] = np.isin(np.arange(n_classes), column[~held])
        if advance is not None:
            advance(done + 1, len(numbers))
    return Predictions(probs=probs, classes=sequences.classes, fold=fold, taught=taught, margins=margins)


_Job = tuple[SequenceSet, str, NDArray[np.bool_], int]
_Judged = tuple[NDArray[np.float64], NDArray[np.float64]]


def _judge_all(jobs: dict[int, _Job], workers: int) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield (fold, probabilities, early margins) as they are done."""
    if workers <= 1 or len(jobs) <= 1:
        for number, job in jobs.items():
            yield (number, *_judge_fold(*job))
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_judge_fold, *job): number for number, job in jobs.items()}
        for future in as_completed(waiting):
            yield (waiting[future], *future.result())


def _judge_fold(sequences: SequenceSet, model: str, held: NDArray[np.bool_], seed: int) -> _Judged:
    """Train on what is not `held` and return what the model says of what is, and the early margins there."""
    from backends.base import predict_sequences
    from backends.behaviour import MODELS

    column = np.searchsorted(np.array(sequences.classes), sequences.label)
    early = _EarlyMargins(sequences.take(held), column[held])
    trained = MODELS.load(model)().fit(sequences.take(~held), classes=sequences.classes, seed=seed, progress=early.watch)
    return predict_sequences(trained, sequences.take(held)), early.compute_mean()


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write ``probs``, ``classes`` and ``fold`` as an ``.npz`` without pickled objects, whole or not at all."""
    with replace_file(path) as stream:
        np.savez_compressed(
            stream,
            allow_pickle=False,
            probs=predictions.probs,
            classes=np.array(predictions.classes, np.str_),
            fold=predictions.fold,
        )


def _assign(sequences: SequenceSet, n_folds: int | None, test_group: str | None, seed: int) -> NDArray[np.int64]:
    if test_group is None:
        return assign_folds(sequences.label, sequences.group, n_folds=n_folds, seed=seed)
    held = sequences.group == test_group
    if not held.any():
        raise UnknownName("group", test_group, sorted(set(sequences.group.tolist())))
    if held.all():
        raise NotEnoughData("groups (one to test on and others to train on)", 2, 1)
    return np.where(held, 0, -1).astype(np.int64)


class _EarlyMargins:
    """Collects the held-out labels' margins over the first epochs of a training."""

    def __init__(self, sequences: SequenceSet, column: NDArray[Any]) -> None:
        self._sequences, self._column = sequences, column
        self._total, self._count = np.zeros(len(sequences)), 0

    def watch(self, report: EpochReport) -> None:
        if report.epoch > EARLY_EPOCHS:
            return
        from backends.base import predict_sequences

        logs = np.log(np.maximum(predict_sequences(report.model, self._sequences), 1e-12))
        rows = np.arange(len(logs))
        own = logs[rows, self._column].copy()
        logs[rows, self._column] = -np.inf
        self._total += own - (logs.max(axis=1) if logs.shape[1] > 1 else 0)
        self._count += 1

    def compute_mean(self) -> NDArray[np.float64]:
        return self._total / max(self._count, 1)
