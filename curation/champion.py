"""Which model is in force: the newest promotion that was not rolled back, else the proposer that ships with the tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.base import BehaviourModel
from backends.behaviour import PROPOSER, load_proposer
from backends.weights import read_card
from curation.registry import load_version
from schemas.checks import compute_id
from schemas.errors import InvalidField, ModelError

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import Catalogue

__all__ = ["SHIPPED", "load_champion", "read_champion", "rollback"]

SHIPPED = "shipped"
"""Stands for the proposer that ships with the tool: the first champion of an axis whose classes it knows."""


def read_champion(workspace: Workspace, catalogue: Catalogue, *, axis: str | None = None) -> str | None:
    """Return the champion's version, "shipped" where none was promoted and the proposer knows this axis, else None."""
    axis = axis or workspace.taxonomy.primary.id
    stack = _stack(catalogue, axis)
    return stack[-1] if stack else (SHIPPED if _is_shipped_fit(workspace, axis) else None)


def load_champion(workspace: Workspace, catalogue: Catalogue, *, axis: str | None = None) -> tuple[str, BehaviourModel] | None:
    """Return the champion as (version, model); of the shipped proposer the version its card says. None if there is no champion.

    Raises:
        ModelError: if its files are missing or were changed.
    """
    champion = read_champion(workspace, catalogue, axis=axis)
    if champion is None:
        return None
    if champion == SHIPPED:
        return read_card(PROPOSER).version, load_proposer()
    return champion, load_version(workspace, champion)


def rollback(workspace: Workspace, catalogue: Catalogue, *, axis: str | None = None) -> tuple[str, str | None]:
    """Take back the newest standing promotion of an axis; return the champion before and after. What was promoted stays recorded.

    Raises:
        InvalidField: if nothing is promoted.
    """
    axis = axis or workspace.taxonomy.primary.id
    workspace.taxonomy.axis(axis)
    stack = _stack(catalogue, axis)
    if not stack:
        raise InvalidField("rollback", f"a promoted model on axis {axis}", "none")
    records = catalogue.list_records("promotions")
    after = stack[-2] if len(stack) > 1 else (SHIPPED if _is_shipped_fit(workspace, axis) else None)
    payload = {"event": "rollback", "axis": axis, "from": stack[-1], "to": after}
    catalogue.append_record("promotions", compute_id("pro", "rollback", len(records), payload), payload)
    return stack[-1], after


def _stack(catalogue: Catalogue, axis: str) -> list[str]:
    """Return the promotions of an axis that stand, oldest first."""
    stack: list[str] = []
    for record in catalogue.list_records("promotions"):
        if record["axis"] == axis and record["event"] == "promoted":
            stack.append(record["version"])
        elif record["axis"] == axis and record["event"] == "rollback" and stack:
            stack.pop()
    return stack


def _is_shipped_fit(workspace: Workspace, axis: str) -> bool:
    try:
        card = read_card(PROPOSER)
    except ModelError:
        return False
    return set(card.classes) == set(workspace.taxonomy.axis(axis).values)
