"""Active learning played through on a labelled sequence file: how good is a model after so many labels chosen so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.select import STRATEGIES
from schemas.errors import InvalidField, NotEnoughData, UnknownName
from schemas.files import write_text
from schemas.sequences import SequenceSet

__all__ = ["CurvePoint", "simulate_labelling", "write_curve"]


@frozen(kw_only=True)
class CurvePoint:
    """Accuracy and macro-F1 (over the classes of the test groups) after `n_labelled` labels; `round` from 1, or "full"."""

    round: str
    n_labelled: int
    accuracy: float
    macro_f1: float


def simulate_labelling(
    sequences: SequenceSet,
    *,
    strategy: str,
    test_groups: Sequence[str],
    budgets: Sequence[int],
    seed: int = 0,
    model: str = "extra-trees",
    advance: Callable[[int, int], None] | None = None,
) -> list[CurvePoint]:
    """Label up to each budget with `strategy`, train, and measure on the test groups; last, label the whole pool.

    A first batch that yields a single class cannot train a model: what is measured then is always saying this class, and the next
    batch is chosen with equal probabilities.

    Args:
        sequences: with true labels, which are revealed as they are chosen.
        strategy: a name in `curation.select.STRATEGIES`.
        test_groups: are never labelled.
        budgets: labels in all after each round, increasing.
        seed: decides selection and training.
        model: a name in `backends.behaviour.MODELS`.
        advance: is called with (rounds done, rounds).

    Returns:
        One point a budget, and the point `full`.

    Raises:
        UnknownName: if strategy, model or a test group is unknown.
        InvalidField: if the budgets do not increase, or are more than there is.
        NotEnoughData: if nothing is left to choose from.
    """
    from backends.behaviour import MODELS
    from backends.behaviour.flat import MAX_FRAMES, flatten_poses

    select, make = STRATEGIES.load(strategy), MODELS.load(model)
    test = _find_test(sequences, test_groups)
    pool, asked = sequences.take(~test), sequences.take(test)
    _check_budgets(budgets, len(pool))
    classes, rng = sequences.classes, np.random.default_rng(seed)
    features = flatten_poses(pool.pose, min(MAX_FRAMES, pool.pose.shape[1]))
    labelled = np.zeros(len(pool), bool)
    probs = np.full((len(pool), len(classes)), 1 / len(classes))
    points = []
    for number, budget in enumerate([*budgets, len(pool)], start=1):
        full = number > len(budgets)
        wanted = budget - int(labelled.sum())
        chosen = np.flatnonzero(~labelled) if full else select(probs, wanted, features=features, labelled=labelled, rng=rng)
        labelled[chosen] = True
        taught = pool.take(labelled)
        if len(taught.classes) < 2:
            said = np.full(len(asked), taught.classes[0])
        else:
            fitted = make().fit(taught, classes=classes, seed=seed)
            said = np.array(classes)[fitted.predict_proba(asked.pose).argmax(axis=1)]
            probs = fitted.predict_proba(pool.pose) if number < len(budgets) else probs
        points.append(_measure("full" if full else str(number), int(labelled.sum()), said, asked.label))
        if advance is not None:
            advance(number, len(budgets) + 1)
    return points


def write_curve(path: str | Path, points: Sequence[CurvePoint]) -> None:
    """Write ``round,n_labelled,accuracy,macro_f1`` as CSV, whole or not at all."""
    rows = [f"{p.round},{p.n_labelled},{p.accuracy:.6f},{p.macro_f1:.6f}" for p in points]
    write_text(path, "\n".join(["round,n_labelled,accuracy,macro_f1", *rows]) + "\n")


def _find_test(sequences: SequenceSet, test_groups: Sequence[str]) -> NDArray[np.bool_]:
    known = sorted(set(sequences.group.tolist()))
    for name in test_groups:
        if name not in known:
            raise UnknownName("group", name, known)
    test: NDArray[np.bool_] = np.isin(sequences.group, list(test_groups))
    if not test.any() or test.all():
        raise NotEnoughData("groups (one to test on and one to label)", 2, len(known) if not test.any() else 1)
    return test


def _check_budgets(budgets: Sequence[int], n_pool: int) -> None:
    if not budgets or min(budgets) < 1 or list(budgets) != sorted(set(budgets)):
        raise InvalidField("budgets", "increasing numbers of labels, from 1", list(budgets))
    if budgets[-1] > n_pool:
        raise InvalidField("budgets", f"at most the {n_pool} sequences outside the test groups", budgets[-1])


def _measure(name: str, n_labelled: int, said: NDArray[np.str_], true: NDArray[np.str_]) -> CurvePoint:
    scores = []
    for value in np.unique(true):
        hit = int(((said == value) & (true == value)).sum())
        scores.append(2 * hit / (int((said == value).sum()) + int((true == value).sum())))
    return CurvePoint(round=name, n_labelled=n_labelled, accuracy=float((said == true).mean()), macro_f1=float(np.mean(scores)))
