"""FiftyOne plug-in: Keep, Drop, Relabel, Ambiguous and Undo on the selected labels, the open one, or the panel's.

A thin shell over `curation.review`. FiftyOne loads a copy of this file from the workspace; everything it needs is imported from the
installed package. The panel and the keys are in ``dist/index.umd.js``.
"""

from __future__ import annotations

import time
from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from curation.review.decide import decide, read_link, sync_verdicts
from curation.review.looks import select_pair
from curation.review.panel import count_progress, describe_values, list_cards, list_waiting, show_neighbours
from schemas.errors import CurationError

__all__ = ["register"]

AHEAD = 6
"""How many labels the panel knows in advance."""
REMEMBERED = 5.0
"""Seconds for which a dataset that is a review is believed to be one."""


def _find_chosen(ctx: Any) -> list[str]:
    """Return what a decision is about: the open sample, else the selected ones, else the panel's."""
    if ctx.current_sample:
        return [ctx.current_sample]
    return list(ctx.selected) or [card for card in [ctx.params.get("card")] if card]


_asked: dict[str, tuple[bool, float]] = {}
"""Dataset → whether it is a review, and when that was found out."""


def _is_ours(ctx: Any) -> bool:
    """Say whether the dataset is a review. A page asks for every button at once: the dataset is opened for the first of them."""
    name = str(ctx.request_params.get("dataset_name"))
    known, at = _asked.get(name, (False, -REMEMBERED))
    if time.monotonic() - at >= REMEMBERED:
        known = ctx.dataset is not None and "curate" in ctx.dataset.info
        _asked[name] = known, time.monotonic()
    return known


class _Decision(foo.Operator):  # type: ignore[misc]
    """One button. `place` is where it is, `kind` what it records."""

    kind: Any = ""
    label = ""
    description = ""
    place = types.Places.SAMPLES_GRID_ACTIONS
    suffix = ""

    @property
    def config(self) -> Any:
        """Name, label and icon, as FiftyOne asks for them."""
        return foo.OperatorConfig(
            name=self.kind + self.suffix,
            label=f"curate: {self.label}",
            description=self.description,
            unlisted=bool(self.suffix),
            dynamic=self.kind == "relabel",
        )

    def resolve_placement(self, ctx: Any) -> Any:
        """Return a labelled button, on the pages of this tool's datasets only."""
        if not _is_ours(ctx):
            return None
        return types.Placement(self.place, types.Button(label=self.label, prompt=self.kind == "relabel"))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Record the decision, show it on the page, and say what was done; a refusal is a message, and changes nothing."""
        chosen = _find_chosen(ctx)
        if not chosen and self.kind != "undo":
            return _refuse(ctx, f"Select the labels to {self.kind} first: tick the box on their corner, or open one")
        try:
            done = decide(ctx.dataset, chosen, self.kind, value=ctx.params.get("value"), curator=ctx.params.get("curator"))
        except CurationError as error:
            return _refuse(ctx, str(error))
        ctx.ops.notify(done.message, variant="success")
        if ctx.selected and not ctx.current_sample:
            ctx.ops.clear_selected_samples()
        ctx.trigger("@curate/review/show", {"open": _read_open(ctx)})
        return {"done": True, "message": done.message, "tubelets": done.tubelet_ids, "changed": done.changed}


def _read_open(ctx: Any) -> dict[str, Any] | None:
    """Return the open sample as the page knows samples."""
    if not ctx.current_sample:
        return None
    from bson import ObjectId
    from fiftyone.core.json import stringify

    found: dict[str, Any] = stringify(ctx.dataset._sample_collection.find_one({"_id": ObjectId(ctx.current_sample)}))
    return found


def _refuse(ctx: Any, message: str) -> dict[str, Any]:
    ctx.ops.notify(message, variant="warning")
    return {"done": False, "message": message, "tubelets": [], "changed": {}}


class Keep(_Decision):
    """The label is right."""

    kind, label = "keep", "Keep"
    description = "The label is right"


class Drop(_Decision):
    """The label is wrong and cannot be mended."""

    kind, label = "drop", "Drop"
    description = "Leave this label out of every export"


class Ambiguous(_Decision):
    """Nobody could tell."""

    kind, label = "ambiguous", "Ambiguous"
    description = "Nobody could tell from what is seen: leave it out, and ask the annotators again (curate review apply)"


class Undo(_Decision):
    """Take back."""

    kind, label = "undo", "Undo"
    place = types.Places.SAMPLES_GRID_SECONDARY_ACTIONS
    description = "Take back the newest decision on the selected labels; with none selected, the newest decision of all"


class Relabel(_Decision):
    """The label is wrong and this is the right one."""

    kind, label = "relabel", "Relabel"
    description = "Give the label another value"

    def resolve_input(self, ctx: Any) -> Any:
        """Offer the axis' values; the one that the model suggests is chosen first, if it is one for all."""
        inputs = types.Object()
        chosen = _find_chosen(ctx)
        title = types.View(label=f"Relabel {len(chosen)} label{'' if len(chosen) == 1 else 's'}")
        if not chosen:
            inputs.view("nothing", types.Warning(label="Select at least one label first"))
            return types.Property(inputs, view=title, invalid=True, error_message="nothing is selected")
        link = read_link(ctx.dataset)
        suggested = set(ctx.dataset.select(chosen).values("suggested.label"))
        choices = types.RadioGroup()
        for behaviour in link.axis.behaviours:
            choices.add_choice(behaviour.id, label=behaviour.name, description=behaviour.description)
        default = suggested.pop() if len(suggested) == 1 else None
        inputs.enum("value", choices.values(), label=f"New {link.axis.name.lower()}", view=choices, required=True, default=default)
        return types.Property(inputs, view=title)


class Look(foo.Operator):  # type: ignore[misc]
    """What the panel shows of the label at hand."""

    @property
    def config(self) -> Any:
        """Name and label."""
        return foo.OperatorConfig(name="look", label="curate: look", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Return the label at hand and those that come next, in the order of the page's view.

        ``at`` is the sample to show first (the page's first undecided one where it is missing), ``skip`` those passed over.
        """
        from curation.store import Catalogue

        if ctx.dataset is None or "curate" not in ctx.dataset.info:
            return {"ours": False}
        try:
            link = read_link(ctx.dataset)
            with Catalogue.open(link.workspace.catalogue_url, create=False) as catalogue:
                changed = sync_verdicts(ctx.dataset, catalogue, link.axis.id)
        except CurationError as error:
            return {"ours": True, "problem": str(error)}
        chosen = list(ctx.selected) or [s for s in [ctx.params.get("at")] if s]
        waiting = list_waiting(_find_view(ctx), AHEAD, skip=[*chosen, *ctx.params.get("skip", [])])
        cards = list_cards(ctx.dataset, [*chosen[-1:], *waiting])
        return {
            "ours": True,
            "axis": link.axis.name,
            "values": describe_values(link.axis),
            "cards": cards,
            "neighbours": {card["id"]: show_neighbours(ctx.dataset, card) for card in cards[:2]},
            "changed": changed,
        }


class Count(foo.Operator):  # type: ignore[misc]
    """How far the review is; asked for after the label at hand, since all labels are counted for it."""

    @property
    def config(self) -> Any:
        """Name and label."""
        return foo.OperatorConfig(name="count", label="curate: count", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Return progress and confusions, the latter of what is selected or lassoed, if anything is."""
        if not _is_ours(ctx):
            return {}
        scope = list(ctx.selected) if len(ctx.selected) > 1 else _find_lasso(ctx)
        return {"progress": count_progress(ctx.dataset, scope), "scope": len(scope)}


def _find_lasso(ctx: Any) -> list[str]:
    """Return the samples that are lassoed in the map, if any are: the page's view has them alone then."""
    lasso = ctx.extended_selection or {}
    if lasso.get("selection"):
        return list(lasso["selection"])
    return list(_find_view(ctx).values("id")) if ctx.request_params.get("extended") else []


def _find_view(ctx: Any) -> Any:
    """Return what the page shows. Of a saved view `ctx.view` is the view alone, without filters and lasso."""
    from fiftyone.server.view import get_view

    given = ctx.request_params
    return get_view(ctx.dataset, stages=given.get("view"), filters=given.get("filters"), extended_stages=given.get("extended"))


class Pair(foo.Operator):  # type: ignore[misc]
    """A cell of the confusion matrix."""

    @property
    def config(self) -> Any:
        """Name and label."""
        return foo.OperatorConfig(name="pair", label="curate: show a confused pair", unlisted=True)

    def execute(self, ctx: Any) -> None:
        """Show the labels that say ``label`` and look like ``suggested``."""
        ctx.ops.set_view(select_pair(ctx.dataset, ctx.params["label"], ctx.params["suggested"]))


def _here(cls: type[_Decision]) -> type[_Decision]:
    """Return the twin of an operator whose button is beside the open sample: FiftyOne gives an operator one place."""
    place = {"place": types.Places.SAMPLES_VIEWER_ACTIONS, "suffix": "_here", "__doc__": cls.__doc__}
    return type(f"{cls.__name__}Here", (cls,), place)


def register(plugin: Any) -> None:
    """Register the operators."""
    for cls in (Drop, Relabel, Keep, Ambiguous, Undo):
        plugin.register(cls)
        plugin.register(_here(cls))
    plugin.register(Look)
    plugin.register(Count)
    plugin.register(Pair)
