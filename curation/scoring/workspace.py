"""Scoring the labels of a workspace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from curation.scoring.gather import find_timelines, gather_evidence
from curation.scoring.kinds import KINDS
from curation.scoring.out_of_fold import JUDGES, ScoredLabels, score_sequences
from curation.scoring.watch import inspect_tubelets
from schemas.checks import compute_id
from schemas.errors import NotEnoughData
from schemas.scores import Fault, SampleScore

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import ArrayStore, Catalogue
    from curation.store.labels import CurrentLabel

__all__ = ["ScoreResult", "list_scorable", "score_workspace"]


_WORTH_PROCESSES = 200
"""Labels from which on training folds side by side saves more than starting the processes costs."""


@frozen(kw_only=True)
class ScoreResult:
    """What one scoring did: `scores` most suspect first, and how many of them were `new` to the catalogue."""

    run: str
    axis: str
    method: str
    model: str
    scores: tuple[SampleScore, ...]
    new: int


def list_scorable(catalogue: Catalogue, axis: str) -> list[CurrentLabel]:
    """Return the standing labels of one axis that may be scored: not dropped, and not of a lesson frozen for testing."""
    from curation.split import read_split

    split = read_split(catalogue)
    contexts = catalogue.describe_tubelets()
    return [
        label
        for label in catalogue.current_labels(axis)
        if not label.dropped and (split is None or split.side_of(contexts[label.tubelet_id].lesson) != "test")
    ]


def score_workspace(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    *,
    axis: str | None = None,
    method: str = "default",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ScoreResult:
    """Score every standing label on one axis by models that never saw its lesson or student, and add the scores to the catalogue.

    The workspace's model and the usual judges (`out_of_fold.JUDGES`) are asked, and what else is known is heard
    (`gather.gather_evidence`): annotators, proposals, boxes, and what the student does before and after.

    The run's id is a hash of labels, statements, settings and method: scoring the same again adds nothing.

    Args:
        workspace: its settings say which model, how many folds, and the seed.
        catalogue: gives labels and takes scores.
        arrays: gives poses.
        axis: by default the taxonomy's first.
        method: a name in `curation.scoring.SCORERS`.
        workers: processes that train side by side, with the same answer.
        progress: is called with (trainings done, trainings).

    Raises:
        UnknownName: if axis, method or model is unknown.
        NotEnoughData: if there are fewer than two labels, classes or groups of lessons.
    """
    from curation.scoring import SCORERS
    from curation.sequences import collect_sequences

    axis_id = workspace.taxonomy.primary.id if axis is None else workspace.taxonomy.axis(axis).id
    SCORERS.load(method)
    labels = sorted(list_scorable(catalogue, axis_id), key=lambda label: label.tubelet_id)
    if len(labels) < 2:
        raise NotEnoughData(f"labels on axis {axis_id} to score (pull some from Label Studio first)", 2, len(labels))
    learning = workspace.config.learning
    models = tuple(dict.fromkeys((learning.model, *JUDGES)))
    name = "+".join(models)
    pairs = [(label.tubelet_id, label.span.value) for label in labels]
    said = _list_statements(catalogue, axis_id, pairs)
    run = compute_id("run", "faults", axis_id, method, name, learning.folds, learning.seed, pairs, said)
    known = catalogue.list_scores(axis_id, method=method, run=run)
    if len(known) == len(pairs):
        return ScoreResult(run=run, axis=axis_id, method=method, model=name, scores=tuple(known), new=0)
    sequences = collect_sequences(workspace, catalogue, arrays, [p[0] for p in pairs], [p[1] for p in pairs])
    everything = catalogue.describe_tubelets()
    scored = score_sequences(
        sequences,
        known=gather_evidence(catalogue, arrays, axis_id, labels, everything),
        timelines=find_timelines([everything[p[0]] for p in pairs]),
        models=models,
        method=method,
        n_folds=learning.folds,
        seed=learning.seed,
        workers=workers if len(pairs) >= _WORTH_PROCESSES else 1,
        advance=progress,
    )
    faults = inspect_tubelets(catalogue, arrays, [everything[p[0]].tubelet for p in pairs], sequences)
    scores = _to_scores(scored, faults, [p[0] for p in pairs], axis_id, (method, name))
    new = catalogue.add_scores(scores, run=run)
    return ScoreResult(run=run, axis=axis_id, method=method, model=name, scores=tuple(scores), new=new)


def _list_statements(catalogue: Catalogue, axis: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return what makes the evidence beside the labels: what was said of these tubelets, by whom, from which proposal."""
    scored = {tubelet_id for tubelet_id, _ in pairs}
    return sorted(f"{span.id} {span.from_predicted}" for span in catalogue.list_annotations(axis) if span.tubelet_id in scored)


def _to_scores(
    scored: ScoredLabels, faults: Sequence[tuple[Fault, ...]], tubelet_ids: Sequence[str], axis: str, by: tuple[str, str]
) -> list[SampleScore]:
    """Return scores, most suspect first; `by` is method and model."""
    ranking = scored.ranking
    reasons = None if ranking.reasons is None else ranking.reasons.write(scored.classes)
    return [
        SampleScore(
            tubelet_id=tubelet_ids[i],
            axis=axis,
            label=scored.classes[scored.labels[i]],
            suggested=scored.classes[ranking.suggested[i]],
            value=float(ranking.score[i]),
            loss=float(ranking.loss[i]),
            method=by[0],
            model=by[1],
            out_of_sample=True,
            wrong=None if ranking.wrong is None else float(ranking.wrong[i]),
            kind=None if ranking.kind is None else KINDS[ranking.kind[i]],
            reason=None if reasons is None else str(reasons[i]),
            faults=faults[i],
        )
        for i in ranking.order
    ]
