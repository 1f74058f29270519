"""FiftyOne plug-in: Keep, Drop, Relabel and Undo on the selected labels or the open one. A thin shell over `curation.review`.

FiftyOne loads a copy of this file from the workspace; everything it needs is imported from the installed package.
"""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from curation.review.decide import decide, read_link
from schemas.errors import CurationError

__all__ = ["register"]


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
        if ctx.dataset is None or "curate" not in ctx.dataset.info:
            return None
        return types.Placement(self.place, types.Button(label=self.label, prompt=self.kind == "relabel"))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Record the decision, show it on the page, and say what was done; a refusal is a message, and changes nothing."""
        chosen = [ctx.current_sample] if ctx.current_sample else list(ctx.selected)
        if not chosen and self.kind != "undo":
            return _refuse(ctx, f"Select the labels to {self.kind} first: tick the box on their corner, or open one")
        try:
            done = decide(ctx.dataset, chosen, self.kind, value=ctx.params.get("value"), curator=ctx.params.get("curator"))
        except CurationError as error:
            return _refuse(ctx, str(error))
        ctx.ops.notify(done.message, variant="success")
        if not ctx.current_sample:
            ctx.ops.clear_selected_samples()
        ctx.ops.reload_dataset()  # reload_samples leaves the tiles as they were drawn (FiftyOne 1.22)
        return {"done": True, "message": done.message, "tubelets": done.tubelet_ids}


def _refuse(ctx: Any, message: str) -> dict[str, Any]:
    ctx.ops.notify(message, variant="warning")
    return {"done": False, "message": message, "tubelets": []}


class Keep(_Decision):
    """The label is right."""

    kind, label = "keep", "Keep"
    description = "The label is right"


class Drop(_Decision):
    """The label is wrong and cannot be mended."""

    kind, label = "drop", "Drop"
    description = "Leave this label out of every export"


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
        chosen = [ctx.current_sample] if ctx.current_sample else list(ctx.selected)
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


def _here(cls: type[_Decision]) -> type[_Decision]:
    """Return the twin of an operator whose button is beside the open sample: FiftyOne gives an operator one place."""
    place = {"place": types.Places.SAMPLES_VIEWER_ACTIONS, "suffix": "_here", "__doc__": cls.__doc__}
    return type(f"{cls.__name__}Here", (cls,), place)


def register(plugin: Any) -> None:
    """Register the operators."""
    for cls in (Drop, Relabel, Keep, Undo):
        plugin.register(cls)
        plugin.register(_here(cls))
