"""The gate: a new model becomes champion only if it is better on the frozen test lessons. Every decision is recorded."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from attrs import frozen

from backends.base import BehaviourModel
from backends.behaviour import load_proposer
from curation.certificate import Member, certify_split
from curation.champion import SHIPPED, read_champion
from curation.figures import Figures, compute_figures
from curation.registry import ModelRecord, find_model, load_version
from curation.sequences import collect_sequences
from curation.split import read_split
from schemas.checks import compute_id
from schemas.errors import NotEnoughData
from schemas.sequences import SequenceSet

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import ArrayStore, Catalogue

__all__ = [
    "Gate",
    "TestSide",
    "evaluate_model",
    "measure",
    "promote",
    "read_test_side",
]


@frozen(kw_only=True, eq=False)
class TestSide:
    """The frozen test lessons with their labels as they stand now. `sha256` is over the sorted (tubelet, label) pairs."""

    __test__ = False

    axis: str
    sequences: SequenceSet
    members: tuple[Member, ...]
    sha256: str


@frozen(kw_only=True)
class Gate:
    """One decision of the gate. `before` is the champion's version (or "shipped", or None) and `after` the one from now on."""

    decision: Literal["promoted", "kept"]
    reason: str
    version: str
    before: str | None
    after: str | None
    candidate: Figures | None
    champion: Figures | None
    test_sha256: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "decision": self.decision,
            "reason": self.reason,
            "version": self.version,
            "before": self.before,
            "after": self.after,
            "candidate": None if self.candidate is None else self.candidate.to_dict(),
            "champion": None if self.champion is None else self.champion.to_dict(),
            "test_sha256": self.test_sha256,
        }


def read_test_side(workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, *, axis: str | None = None) -> TestSide:
    """Collect the labelled tubelets of the newest split's test lessons, verdicts applied, dropped ones left out.

    Raises:
        NotEnoughData: if there is no split yet or nothing on its test side is labelled.
    """
    axis = axis or workspace.taxonomy.primary.id
    split = read_split(catalogue)
    contexts = catalogue.describe_tubelets()
    labels = [] if split is None else catalogue.current_labels(axis)
    kept = [x for x in labels if split and not x.dropped and split.side_of(contexts[x.tubelet_id].lesson) == "test"]
    if split is None or not kept:
        raise NotEnoughData(f"labelled tubelets of axis {axis} in test lessons (`curate split` chooses the lessons)", 1, 0)
    ids, values = [x.tubelet_id for x in kept], [x.span.value for x in kept]
    found = [contexts[i] for i in ids]
    text = "\n".join(f"{i}\t{value}" for i, value in sorted(zip(ids, values, strict=True)))
    return TestSide(
        axis=axis,
        sequences=collect_sequences(workspace, catalogue, arrays, ids, values, groups={c.lesson: c.lesson for c in found}),
        members=tuple(Member(tubelet_id=c.tubelet.id, side="test", lesson=c.lesson, student=c.student) for c in found),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def measure(workspace: Workspace, model: BehaviourModel, side: TestSide) -> Figures:
    """Return how good `model` is on the test side; the interval draws whole lessons."""
    values = workspace.taxonomy.axis(side.axis).values
    probs = model.predict_proba(side.sequences.pose)
    said = np.asarray(model.classes)[probs.argmax(axis=1)]
    classes = (*values, *(c for c in model.classes if c not in values))
    return compute_figures(side.sequences.label, said, side.sequences.group, classes=classes)


def evaluate_model(
    workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, *, version: str | None = None
) -> tuple[str, Figures, TestSide]:
    """Measure one model (the newest by default; "shipped" for the proposer) on the frozen test lessons.

    Returns:
        The version measured, its figures, and what it was measured on.

    Raises:
        UnknownName: if there is no such model.
        NotEnoughData: if no test lesson is labelled.
        LeakError: if the model was trained on a lesson or student of the test side.
    """
    if version == SHIPPED:
        side = read_test_side(workspace, catalogue, arrays)
        return SHIPPED, measure(workspace, load_proposer(), side), side
    record = find_model(catalogue, version)
    side = read_test_side(workspace, catalogue, arrays, axis=record.axis)
    _check_unseen(record, side)
    return record.version, measure(workspace, load_version(workspace, record.version), side), side


def promote(workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, *, version: str | None = None) -> Gate:
    """Make a model (the newest by default) champion if its macro-F1 on the frozen test lessons is higher than the champion's.

    Both are measured now, on the same tubelets and labels. Either way the decision is recorded with both figures and the hash of
    the test side; the same question about the same models and labels is recorded once.

    Raises:
        UnknownName: if there is no such model.
        NotEnoughData: if no test lesson is labelled.
        LeakError: if the model was trained on a lesson or student of the test side.
    """
    record = find_model(catalogue, version)
    before = read_champion(workspace, catalogue, axis=record.axis)
    if before == record.version:
        return Gate(
            decision="kept", reason="it is the champion already", version=before, before=before, after=before,
            candidate=None, champion=None, test_sha256=None,
        )  # fmt: skip
    side = read_test_side(workspace, catalogue, arrays, axis=record.axis)
    _check_unseen(record, side)
    candidate = measure(workspace, load_version(workspace, record.version), side)
    champion = _measure_champion(workspace, catalogue, side, before)
    better = champion is None or candidate.macro_f1 > champion.macro_f1
    gate = Gate(
        decision="promoted" if better else "kept",
        reason=_explain(candidate, champion, before),
        version=record.version,
        before=before,
        after=record.version if better else before,
        candidate=candidate,
        champion=champion,
        test_sha256=side.sha256,
    )
    _record_gate(catalogue, record.axis, gate)
    return gate


def _measure_champion(workspace: Workspace, catalogue: Catalogue, side: TestSide, before: str | None) -> Figures | None:
    if before is None:
        return None
    if before == SHIPPED:
        return measure(workspace, load_proposer(), side)
    return measure(workspace, load_version(workspace, before), side)


def _check_unseen(record: ModelRecord, side: TestSide) -> None:
    """Certify that nothing the model was trained on is on the test side."""
    trained = [Member(tubelet_id=f"lesson {x}", side="train", lesson=x) for x in record.lessons]
    trained += [Member(tubelet_id=f"student {x}", side="train", lesson=f"(trained) {x}", student=x) for x in record.students]
    certify_split([*trained, *side.members])


def _explain(candidate: Figures, champion: Figures | None, before: str | None) -> str:
    if champion is None:
        return f"macro-F1 {candidate.macro_f1:.3f}, there is no champion to beat"
    sign = ">" if candidate.macro_f1 > champion.macro_f1 else "<" if candidate.macro_f1 < champion.macro_f1 else "="
    return f"macro-F1 {candidate.macro_f1:.3f} {sign} {champion.macro_f1:.3f} of {before}, on {candidate.n} test tubelets"


def _record_gate(catalogue: Catalogue, axis: str, gate: Gate) -> None:
    place = len(catalogue.list_records("promotions")) if gate.decision == "promoted" else 0
    gate_id = compute_id("pro", gate.decision, axis, gate.version, gate.before, gate.test_sha256, place)
    catalogue.append_record("promotions", gate_id, {"event": gate.decision, "axis": axis, **gate.to_dict()})
