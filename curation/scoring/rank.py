"""Ranking labels by suspicion: a ranking serves a curator better than a filter that hides what it missed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from curation.scoring import SCORERS
from curation.scoring.diagnose import diagnose_labels
from curation.scoring.kinds import KINDS
from curation.scoring.methods import Evidence
from curation.scoring.reasons import Reasons
from schemas.checks import check_array, check_probabilities
from schemas.errors import InvalidField, NotEnoughData
from schemas.files import replace_file
from schemas.scores import Fault, SampleScore, describe_faults

__all__ = ["Ranking", "rank_labels", "rank_scores", "write_ranking"]

_SMALLEST = 1e-300
MOST_FAULTS = 5
"""How many faults a line of `ranked.csv` tells."""


@frozen(kw_only=True, eq=False)
class Ranking:
    """N samples by suspicion.

    `order` (N,) indices, most suspect first; `suggested` (N,) the likeliest column; `score` (N,) in [0, 1], 1 = most suspect;
    `loss` (N,) −log p(label) in nats. All but `order` are in the order of the input. Where the method is `default`: `wrong` (N,)
    the calibrated probability that the label is wrong, `kind` (N,) index into `kinds.KINDS`, and `reasons`.
    """

    order: NDArray[np.int64]
    suggested: NDArray[np.int64]
    score: NDArray[np.float64]
    loss: NDArray[np.float64]
    wrong: NDArray[np.float64] | None = None
    kind: NDArray[np.int8] | None = None
    reasons: Reasons | None = None


def rank_labels(
    labels: NDArray[Any],
    probs: NDArray[Any],
    *,
    method: str = "default",
    features: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    margins: NDArray[Any] | None = None,
    more: Evidence | None = None,
) -> Ranking:
    """Rank labels, most suspect first; equal scores by loss, then by index.

    Args:
        labels: (N,) int columns of `probs`.
        probs: (N, K) out-of-sample probabilities, rows summing to 1.
        method: a name in `SCORERS`.
        features: (N, D), for methods that compare samples.
        groups: (N,), likewise.
        margins: (N,), see `Evidence`.
        more: whatever else is known; the three above are added to it.

    Raises:
        UnknownName: if there is no such method.
        NotEnoughData: if there are no samples.
        InvalidField: if an array has the wrong shape, a row does not sum to 1, or a label is no column.
    """
    score_samples = SCORERS.load(method)
    checked = check_probabilities("probs", probs)
    columns = _check_labels(labels, checked)
    n = len(columns)
    if groups is not None:
        check_array("groups", groups, (n,))
    evidence = evolve(
        Evidence() if more is None else more,
        features=_check_rows("features", features, n),
        groups=groups,
        margins=_check_rows("margins", margins, n),
    )
    loss = -np.log(np.maximum(checked[np.arange(n), columns], _SMALLEST)) + 0.0
    if method == "default":
        found = diagnose_labels(columns, checked, evidence)
        score, kind, reasons = np.clip(found.score, 0, 1), found.kind, found.reasons
        order = _order(score, loss)
        return Ranking(
            order=order,
            suggested=found.suggested,
            score=score,
            loss=loss,
            wrong=np.clip(found.wrong, 0, 1),
            kind=kind,
            reasons=reasons,
        )
    score = np.clip(np.asarray(score_samples(columns, checked, evidence), np.float64), 0, 1)
    return Ranking(order=_order(score, loss), suggested=np.argmax(checked, axis=1), score=score, loss=loss)


def rank_scores(scores: Sequence[SampleScore]) -> list[SampleScore]:
    """Return scores most suspect first; ties by loss, then by tubelet id.

    Raises:
        InvalidField: if they are of several methods or axes, or one was made in-sample: those cannot be compared.
    """
    for name in ("method", "axis"):
        values = sorted({getattr(score, name) for score in scores})
        if len(values) > 1:
            raise InvalidField(f"scores: {name}", "one", ", ".join(values))
    for score in scores:
        if not score.out_of_sample:
            raise InvalidField("scores", "out-of-sample scores", f"an in-sample score of {score.tubelet_id}")
    return sorted(scores, key=lambda score: (-score.value, -score.loss, score.tubelet_id))


def write_ranking(
    path: str | Path,
    ranking: Ranking,
    labels: NDArray[Any],
    names: Sequence[str] | None = None,
    faults: Sequence[Sequence[Fault]] | None = None,
) -> None:
    """Write ``index,label,suggested,score,loss`` as CSV, most suspect first, whole or not at all.

    Where the ranking knows them, ``wrong,kind,reason`` follow; then ``faults``, where somebody has looked for them.

    Args:
        path: where to.
        ranking: what `rank_labels` returned.
        labels: (N,) the columns that were ranked.
        names: (K,) what to write for a column; by default its number.
        faults: (N,) keypoints and boxes of each sample that cannot be right.
    """
    import pyarrow as pa
    from pyarrow import csv

    order = ranking.order
    columns: dict[str, Any] = {"index": order, "label": np.asarray(labels)[order], "suggested": ranking.suggested[order]}
    if names is not None:
        known = np.array(names, np.str_)
        columns |= {name: pa.array(known[columns[name]].tolist(), pa.string()) for name in ("label", "suggested")}
    columns |= {"score": ranking.score[order], "loss": ranking.loss[order]}
    if ranking.wrong is not None and ranking.kind is not None and ranking.reasons is not None:
        columns["wrong"] = ranking.wrong[order]
        columns["kind"] = pa.array(np.array(KINDS)[ranking.kind[order]])
        columns["reason"] = pa.array(ranking.reasons.write(names, order), pa.string())
    if faults is not None:
        columns["faults"] = pa.array([describe_faults(faults[i], most=MOST_FAULTS) for i in order.tolist()], pa.string())
    plain = names is None or not any(set(name) & set(',"\r\n') for name in names)
    options = csv.WriteOptions(include_header=False, quoting_style="none" if plain else "needed")
    with replace_file(path) as stream:
        stream.write((",".join(columns) + "\n").encode())
        csv.write_csv(pa.table(columns), stream, options)


def _check_labels(labels: NDArray[Any], probs: NDArray[np.float64]) -> NDArray[np.int64]:
    array = check_array("labels", labels, (None,))
    n, n_classes = probs.shape
    if array.dtype.kind not in "iu":
        raise InvalidField("labels", "whole numbers, columns of the probabilities", f"dtype {array.dtype}")
    if len(array) != n:
        raise InvalidField("labels", f"{n} of them, one for each row of the probabilities", len(array))
    if not n:
        raise NotEnoughData("samples to rank", 1, 0)
    outside = np.flatnonzero((array < 0) | (array >= n_classes))
    if len(outside):
        raise InvalidField("labels", f"columns from 0 to {n_classes - 1}", f"{array[outside[0]]} at index {outside[0]}")
    return array.astype(np.int64)


def _check_rows(name: str, value: NDArray[Any] | None, n: int) -> NDArray[Any] | None:
    if value is None:
        return None
    array = np.asarray(value)
    if array.ndim not in (1, 2) or len(array) != n:
        raise InvalidField(name, f"{n} rows, one for each sample", f"shape {array.shape}")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise InvalidField(name, "finite numbers", f"dtype {array.dtype}" if array.dtype.kind not in "fiu" else "NaN or inf")
    return array


def _order(score: NDArray[np.float64], loss: NDArray[np.float64]) -> NDArray[np.int64]:
    order = np.argsort(-score)
    ordered = score[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((-loss, -score))
    return order.astype(np.int64)
