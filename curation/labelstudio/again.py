"""Asking annotators again: a task of its own for each label that a curator has set aside as ambiguous.

The task shows the window's picture with that one student in it. Its key holds the verdict's id, so a label is asked about once for
each verdict; what the annotators answer is pulled like all their work; the label stays out until a curator keeps or relabels it.
"""

from __future__ import annotations

from attrs import evolve

from curation.config import Workspace
from curation.labelstudio.push import PushResult, push_tasks
from curation.labelstudio.tasks import TaskPlan, plan_tasks
from curation.store import ArrayStore, Catalogue, CurrentLabel

__all__ = ["list_doubtful", "plan_reviews", "push_reviews"]


def list_doubtful(catalogue: Catalogue, axis: str) -> list[CurrentLabel]:
    """Return the labels of an axis whose standing verdict is ambiguous."""
    return [label for label in catalogue.current_labels(axis) if label.verdict is not None and label.verdict.kind == "ambiguous"]


def plan_reviews(workspace: Workspace, catalogue: Catalogue, axis: str) -> list[TaskPlan]:
    """Return the tasks that ask about the ambiguous labels of an axis again."""
    suggested = {score.tubelet_id: score.suggested for score in catalogue.list_scores(axis)}
    plans: list[TaskPlan] = []
    doubtful = {label.tubelet_id: label for label in list_doubtful(catalogue, axis)}
    if not doubtful:
        return plans
    for plan in plan_tasks(workspace, catalogue, set(doubtful)):
        for tubelet in plan.tubelets:
            label = doubtful.get(tubelet.id)
            if label is not None and label.verdict is not None:
                said = f"{axis}: {label.verdict.curator} could not tell; {label.original.annotator} said {label.original.value}"
                note = f"{said}, the evidence says {suggested[tubelet.id]}" if tubelet.id in suggested else said
                plans.append(evolve(plan, key=f"{plan.key}:{label.verdict.id}", tubelets=(tubelet,), note=note))
    return plans


def push_reviews(workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, axis: str) -> PushResult | None:
    """Give Label Studio a task for each ambiguous label that it has none for; return None if there is none.

    Raises:
        ServerError, AuthError: as `push_tasks`.
    """
    plans = plan_reviews(workspace, catalogue, axis)
    return push_tasks(workspace, catalogue, arrays, plans=plans) if plans else None
