"""What people and models say about tubelets: predictions, annotations, scores, verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, Table, func, select

from curation.store import rows, tables
from curation.store.base import Store
from curation.store.labels import CurrentLabel, resolve_labels
from schemas.checks import check_name
from schemas.records import HumanSpan, PredictedSpan, Verdict
from schemas.scores import SampleScore

__all__ = ["StatementStore"]


class StatementStore(Store):
    """What is said about tubelets. Annotations and verdicts can only be added to: the database refuses anything else."""

    def add_predictions(self, spans: Iterable[PredictedSpan]) -> int:
        """Add models' proposals and return how many were new; one model version speaks once about a tubelet and axis."""
        return self._add(tables.PREDICTIONS, [rows.from_prediction(span) for span in spans])

    def list_predictions(self, axis: str, *, model: str | None = None, version: str | None = None) -> list[PredictedSpan]:
        """Return one proposal per tubelet on `axis`: the newest added among those of the model and version, where given."""
        table = tables.PREDICTIONS
        newest = select(func.max(table.c.seq)).where(table.c.axis == axis).group_by(table.c.tubelet_id)
        if model is not None:
            newest = newest.where(table.c.model == model)
        if version is not None:
            newest = newest.where(table.c.version == version)
        return [rows.to_prediction(row) for row in self._read(select(table).where(table.c.seq.in_(newest)).order_by(table.c.seq))]

    def add_annotations(self, spans: Iterable[HumanSpan]) -> int:
        """Add people's labels and return how many were new."""
        return self._add(tables.ANNOTATIONS, [rows.from_annotation(span) for span in spans])

    def list_annotations(self, axis: str | None = None) -> list[HumanSpan]:
        """Return everything that annotators ever said, on one axis or on all, in the order of adding."""
        return [rows.to_annotation(row) for row in self._read(_in_order(tables.ANNOTATIONS, axis))]

    def add_scores(self, scores: Iterable[SampleScore], *, run: str) -> int:
        """Add the scores of one run and return how many were new: one per run, axis, method and tubelet."""
        check_name("run", run)
        return self._add(tables.SCORES, [rows.from_score(score, run) for score in scores])

    def list_scores(self, axis: str, *, method: str | None = None, run: str | None = None) -> list[SampleScore]:
        """Return the scores of one run and one method, most suspect first (then by higher loss, then by tubelet id).

        Where `method` or `run` is not given, it is that of the newest score on the axis among those that match.
        """
        table = tables.SCORES
        matching = [table.c.axis == axis]
        if method is not None:
            matching.append(table.c.method == method)
        if run is not None:
            matching.append(table.c.run == run)
        newest = self._read(select(table.c.run, table.c.method).where(*matching).order_by(table.c.seq.desc()).limit(1))
        if not newest:
            return []
        chosen = (table.c.axis == axis, table.c.run == newest[0]["run"], table.c.method == newest[0]["method"])
        scores = [rows.to_score(row) for row in self._read(select(table).where(*chosen))]
        return sorted(scores, key=lambda score: (-score.value, -score.loss, score.tubelet_id))

    def add_verdict(self, verdict: Verdict) -> bool:
        """Add a curator's decision; return False if this very decision is there already."""
        return self._add(tables.VERDICTS, [rows.from_verdict(verdict)]) == 1

    def add_verdicts(self, verdicts: Iterable[Verdict]) -> int:
        """Add one decision made on many labels, in one transaction, and return how many rows were new."""
        return self._add(tables.VERDICTS, [rows.from_verdict(verdict) for verdict in verdicts])

    def list_verdicts(self, axis: str | None = None) -> list[Verdict]:
        """Return every verdict ever given, undone ones too, on one axis or on all, in the order of adding."""
        return [rows.to_verdict(row) for row in self._read(_in_order(tables.VERDICTS, axis))]

    def current_labels(self, axis: str) -> list[CurrentLabel]:
        """Return the label of every labelled tubelet as it stands now, sorted by tubelet id; see `labels.resolve_labels`."""
        return resolve_labels(self.list_annotations(axis), self.list_verdicts(axis))


def _in_order(table: Table, axis: str | None) -> Select[Any]:
    query = select(table) if axis is None else select(table).where(table.c.axis == axis)
    return query.order_by(table.c.seq)
