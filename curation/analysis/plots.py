"""Pictures of a lesson's indicators, drawn by matplotlib without a display: PNG bytes. Students are names, never faces."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from curation.analysis.indicators import LessonIndicators, Roles
from curation.analysis.timelines import Timeline

__all__ = ["draw_class", "draw_groups", "draw_students", "draw_timelines"]

_DPI = 100


def draw_class(timelines: Sequence[Timeline], roles: Roles, colours: Mapping[str, str], *, title: str) -> bytes:
    """Draw the class over time: the mean attention with its middle half of students, and the share of each behaviour."""
    figure = _make_figure(9, 5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    times, table = _sample(timelines)
    values = timelines[0].values
    attentive = np.array([value in roles.attention for value in values])
    attention = 100 * table[..., attentive].sum(axis=-1)
    attention[np.isnan(table[..., 0])] = np.nan
    seen = ~np.isnan(attention).all(axis=0)
    at, rows = times[seen], attention[:, seen]
    low, high = np.nanquantile(rows, [0.25, 0.75], axis=0)
    above.fill_between(at, low, high, alpha=0.25, color="tab:blue", label="middle half of the students", linewidth=0)
    above.plot(at, np.nanmean(rows, axis=0), color="tab:blue", label="mean")
    above.set(ylabel="attention (%)", ylim=(0, 103), title=title)
    above.legend(loc="lower right", fontsize="small")
    above.grid(alpha=0.3)
    shares = np.nanmean(table[:, seen], axis=0)
    below.stackplot(at, 100 * shares.T, labels=values, colors=[colours.get(value, "#808080") for value in values], linewidth=0)
    below.set(xlabel="seconds", ylabel="students (%)", ylim=(0, 100), xlim=(at[0], at[-1]) if len(at) > 1 else None)
    below.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small", reverse=True)
    return _to_png(figure)


def draw_timelines(timelines: Sequence[Timeline], colours: Mapping[str, str], *, title: str) -> bytes:
    """Draw every student's behaviours over time, one bar a student; what people labelled is underlined."""
    from matplotlib.patches import Patch

    figure = _make_figure(9, 1.4 + 0.28 * len(timelines))
    axis = figure.subplots()
    for row, one in enumerate(timelines):
        for value, start, end in one.spells:
            axis.barh(row, end - start, left=start, height=0.8, color=colours.get(value, "#808080"))
        for start, end, labelled in zip(one.start_s, one.end_s, one.labelled, strict=True):
            if labelled:
                axis.plot([start, end], [row + 0.43, row + 0.43], color="black", linewidth=1.2, solid_capstyle="butt")
    _name_rows(axis, [one.student for one in timelines])
    axis.set(xlabel="seconds (underlined: labelled by a person)", title=title)
    axis.set_xlim(min(one.start_s.min() for one in timelines), max(one.end_s.max() for one in timelines))
    shown = [Patch(color=colours.get(value, "#808080"), label=value) for value in timelines[0].values]
    axis.legend(handles=shown, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    return _to_png(figure)


def draw_students(lesson: LessonIndicators) -> bytes:
    """Draw attention, effective participation time, frequency and interactions of every student."""
    columns: tuple[tuple[str, Callable[[Any], float]], ...] = (
        ("attention (%)", lambda one: 100 * one.attention),
        ("effective participation (s)", lambda one: one.effective_s),
        ("events a minute", lambda one: one.per_minute),
        ("interactions", lambda one: one.interactions),
    )
    figure = _make_figure(9, 1.4 + 0.28 * len(lesson.students))
    axes = figure.subplots(1, len(columns), sharey=True)
    rows = range(len(lesson.students))
    for axis, (name, read) in zip(axes, columns, strict=True):
        numbers = [read(one) for one in lesson.students]
        axis.barh(rows, numbers, color=[f"C{one.group % 10}" for one in lesson.students])
        axis.axvline(float(np.mean(numbers)), color="grey", linestyle=":")
        axis.set_xlim(0, max(*numbers, 1e-9) * 1.05 if any(numbers) else 1)
        axis.set_xlabel(name)
        axis.grid(alpha=0.3, axis="x")
    _name_rows(axes[0], [one.student for one in lesson.students])
    figure.suptitle(f"{lesson.lesson}: students (colour = group, dotted = mean)", fontsize="medium")
    return _to_png(figure)


def draw_groups(lesson: LessonIndicators) -> bytes:
    """Draw the students on a circle, group by group, each group in its colour and joined by lines."""
    figure = _make_figure(5, 4.4)
    axis = figure.subplots()
    ordered = sorted(lesson.students, key=lambda one: (one.group, one.student))
    angle = 2 * np.pi * np.arange(len(ordered)) / max(len(ordered), 1)
    x, y = np.cos(angle), np.sin(angle)
    for i, a in enumerate(ordered):
        for j in range(i + 1, len(ordered)):
            if a.group == ordered[j].group:
                axis.plot(x[[i, j]], y[[i, j]], color=f"C{a.group % 10}", alpha=0.5, zorder=1)
    axis.scatter(x, y, c=[f"C{one.group % 10}" for one in ordered], s=160, zorder=2)
    for i, one in enumerate(ordered):
        side = "center" if abs(x[i]) < 0.3 else "left" if x[i] > 0 else "right"
        axis.annotate(_shorten(one.student), (1.12 * x[i], 1.12 * y[i]), ha=side, va="center", fontsize="small")
    axis.set(xlim=(-1.8, 1.8), ylim=(-1.35, 1.35), aspect="equal")
    axis.set_title(f"{lesson.lesson}: {lesson.groups} groups by common events", fontsize="medium")
    axis.set_axis_off()
    return _to_png(figure)


def _sample(timelines: Sequence[Timeline]) -> tuple[Any, Any]:
    """Return times (S,) and probabilities (N, S, K) at these times, NaN where a student is not seen."""
    first = min(float(one.start_s.min()) for one in timelines)
    last = max(float(one.end_s.max()) for one in timelines)
    times = np.linspace(first, last, 400, endpoint=False)
    table = np.full((len(timelines), len(times), len(timelines[0].values)), np.nan)
    for row, one in enumerate(timelines):
        at = np.searchsorted(one.start_s, times, side="right") - 1
        inside = (at >= 0) & (times < one.end_s[np.maximum(at, 0)])
        table[row, inside] = one.probs[at[inside]]
    return times, table


def _make_figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _name_rows(axis: Any, names: Sequence[str]) -> None:
    axis.set_yticks(range(len(names)), [_shorten(name) for name in names], fontsize="small")
    axis.set_ylim(len(names) - 0.5, -0.5)


def _shorten(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:6]}…{name[-6:]}"


def _to_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png", metadata={"Software": None})
    return buffer.getvalue()
