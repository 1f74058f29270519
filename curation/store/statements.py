"""What people and models say about tubelets: predictions, annotations, scores, verdicts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

from curation.store import rows, tables
from curation.store.base import Store, insert_rows
from curation.store.labels import CurrentLabel, resolve_labels
from schemas.checks import check_name
from schemas.records import HumanSpan, PredictedSpan, Verdict
from schemas.scores import SampleScore

__all__ = ["Decide", "StatementStore"]

_CHUNK = 5000

Decide = Callable[[set[str], list[Verdict]], Sequence[Verdict]]
"""(labelled tubelets, verdicts on them in the order of adding) → the verdicts to add."""


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

    def find_predictions(self, ids: Collection[str]) -> list[PredictedSpan]:
        """Return the proposals of these ids that there are, in the order of adding."""
        table, wanted, found = tables.PREDICTIONS, sorted(set(ids)), []
        for start in range(0, len(wanted), _CHUNK):
            found += self._read(select(table).where(table.c.id.in_(wanted[start : start + _CHUNK])))
        return [rows.to_prediction(row) for row in sorted(found, key=lambda row: row["seq"])]

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

    def add_decision(self, axis: str | None, tubelet_ids: Collection[str] | None, decide: Decide) -> list[Verdict]:
        """Look at what stands and add what `decide` makes of it, in one transaction that no other writer comes between.

        Args:
            axis: whose labels and verdicts are looked at; None = all.
            tubelet_ids: only those of these tubelets; None = all.
            decide: what to add; what it raises leaves everything as it was.

        Returns:
            The verdicts that `decide` returned.
        """
        with self._database.write() as connection:
            labelled = {row["tubelet_id"] for row in _select(connection, tables.ANNOTATIONS, axis, tubelet_ids)}
            verdicts = [rows.to_verdict(row) for row in _select(connection, tables.VERDICTS, axis, tubelet_ids)]
            made = list(decide(labelled, verdicts))
            insert_rows(connection, tables.VERDICTS, [rows.from_verdict(verdict) for verdict in made])
        return made

    def list_verdicts(self, axis: str | None = None) -> list[Verdict]:
        """Return every verdict ever given, undone ones too, on one axis or on all, in the order of adding."""
        return [rows.to_verdict(row) for row in self._read(_in_order(tables.VERDICTS, axis))]

    def count_verdicts(self, axis: str) -> int:
        """Return how many verdicts were ever given on an axis, undone ones too."""
        return int(self._read(select(func.count().label("n")).where(tables.VERDICTS.c.axis == axis))[0]["n"])

    def current_labels(self, axis: str, tubelet_ids: Collection[str] | None = None) -> list[CurrentLabel]:
        """Return the label of every labelled tubelet as it stands now, sorted by tubelet id; see `labels.resolve_labels`.

        Args:
            axis: which labels.
            tubelet_ids: only those of these tubelets; None = all.
        """
        if tubelet_ids is None:
            return resolve_labels(self.list_annotations(axis), self.list_verdicts(axis))
        with self._database.read() as connection:
            said = [rows.to_annotation(row) for row in _select(connection, tables.ANNOTATIONS, axis, tubelet_ids)]
            verdicts = [rows.to_verdict(row) for row in _select(connection, tables.VERDICTS, axis, tubelet_ids)]
        return resolve_labels(said, verdicts)


def _in_order(table: Table, axis: str | None) -> Select[Any]:
    query = select(table) if axis is None else select(table).where(table.c.axis == axis)
    return query.order_by(table.c.seq)


def _select(connection: Connection, table: Table, axis: str | None, tubelet_ids: Collection[str] | None) -> list[dict[str, Any]]:
    """Return the rows of an axis, of all tubelets or of some, in the order of adding."""
    query = _in_order(table, axis)
    if tubelet_ids is None:
        return [dict(row) for row in connection.execute(query).mappings()]
    wanted, found = sorted(set(tubelet_ids)), []
    for start in range(0, len(wanted), _CHUNK):
        some = query.where(table.c.tubelet_id.in_(wanted[start : start + _CHUNK]))
        found += [dict(row) for row in connection.execute(some).mappings()]
    return sorted(found, key=lambda row: row["seq"])
