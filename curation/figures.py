"""How good predictions are: accuracy, macro-F1, per class, confusion, and an interval that respects groups. Pure array code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import asdict, frozen
from numpy.typing import ArrayLike, NDArray

from schemas.errors import InvalidField, NotEnoughData

__all__ = ["ClassFigures", "Figures", "compute_figures", "compute_macro_f1"]

_DRAWS = 1000


@frozen(kw_only=True)
class ClassFigures:
    """Precision, recall and F1 of one class, each in [0, 1] (0 where undefined), and how often it occurs in the truth."""

    precision: float
    recall: float
    f1: float
    support: int


@frozen(kw_only=True)
class Figures:
    """What `compute_figures` returns. `confusion[i][j]`: class i of the truth predicted as class j, in the order of `classes`."""

    n: int
    n_groups: int
    accuracy: float
    macro_f1: float
    low: float | None
    high: float | None
    classes: tuple[str, ...]
    per_class: dict[str, ClassFigures]
    confusion: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain = asdict(self)
        return {**plain, "classes": list(self.classes), "confusion": [list(row) for row in self.confusion]}


def compute_macro_f1(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Return the macro-F1 in [0, 1] of (..., K, K) confusions: the mean F1 over the classes that occur in the truth.

    F1 = 2 TP / (2 TP + FP + FN). A class that is only predicted adds no term of its own; it costs recall where it is wrong. 0 where
    the truth is empty.
    """
    table = np.asarray(confusion, float)
    hit = np.diagonal(table, axis1=-2, axis2=-1)
    truth, said = table.sum(axis=-1), table.sum(axis=-2)
    f1 = 2 * hit / np.maximum(truth + said, 1e-300)
    occurs = truth > 0
    return np.asarray((f1 * occurs).sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1))


def compute_figures(truth: ArrayLike, predicted: ArrayLike, groups: ArrayLike, *, classes: Sequence[str], seed: int = 0) -> Figures:
    """Compare predicted with true labels.

    The interval is the 2.5 to 97.5 % range of macro-F1 over 1000 bootstrap draws of whole groups (samples of one lesson or student
    are not independent); None with fewer than two groups.

    Args:
        truth: (N,) labels.
        predicted: (N,) labels.
        groups: (N,) what is drawn together.
        classes: all labels, in the order of the confusion.
        seed: of the draws.

    Raises:
        NotEnoughData: if there is no sample.
        InvalidField: if the lengths differ or a label is not among `classes`.
    """
    names, said = np.asarray(truth, np.str_), np.asarray(predicted, np.str_)
    if not len(names):
        raise NotEnoughData("samples to measure on", 1, 0)
    if len(said) != len(names) or len(np.asarray(groups)) != len(names):
        raise InvalidField("predicted, groups", f"{len(names)}, one for each label", f"{len(said)}, {len(np.asarray(groups))}")
    position = {name: i for i, name in enumerate(classes)}
    unknown = sorted((set(names.tolist()) | set(said.tolist())) - set(position))
    if unknown:
        raise InvalidField("label", f"one of {', '.join(classes)}", unknown[0])
    _, group = np.unique(np.asarray(groups, np.str_), return_inverse=True)
    k, n_groups = len(classes), int(group.max()) + 1
    tables = np.zeros((n_groups, k, k), np.int64)
    rows = np.array([position[x] for x in names.tolist()], np.int64)
    columns = np.array([position[x] for x in said.tolist()], np.int64)
    np.add.at(tables, (group.astype(np.int64), rows, columns), 1)
    confusion = tables.sum(axis=0)
    low, high = _draw_interval(tables, seed)
    return Figures(
        n=len(names),
        n_groups=n_groups,
        accuracy=float(np.trace(confusion) / confusion.sum()),
        macro_f1=float(compute_macro_f1(confusion)),
        low=low,
        high=high,
        classes=tuple(classes),
        per_class={name: _describe_class(confusion, i) for name, i in position.items()},
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _draw_interval(tables: NDArray[np.int64], seed: int) -> tuple[float | None, float | None]:
    n_groups = len(tables)
    if n_groups < 2:
        return None, None
    rng = np.random.default_rng(seed)
    times = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=_DRAWS)
    drawn = compute_macro_f1(np.tensordot(times, tables, axes=1))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _describe_class(confusion: NDArray[np.int64], i: int) -> ClassFigures:
    hit, truth, said = int(confusion[i, i]), int(confusion[i].sum()), int(confusion[:, i].sum())
    return ClassFigures(
        precision=hit / said if said else 0.0,
        recall=hit / truth if truth else 0.0,
        f1=2 * hit / (truth + said) if truth + said else 0.0,
        support=truth,
    )
