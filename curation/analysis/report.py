"""``curate report --out DIR``: indicators, groups and surprises as tables, pictures and one page that needs nothing beside it."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from curation.analysis.indicators import ROLES, LessonIndicators, Roles, measure_lesson
from curation.analysis.timelines import Timeline, collect_timelines, smooth_timelines
from schemas.errors import FormatError
from schemas.files import write_bytes, write_text

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import Catalogue

__all__ = ["PAGE_NAME", "Report", "read_roles", "write_report"]

PAGE_NAME = "report.html"
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:1rem 0}th,td{padding:.2rem .7rem;text-align:right;"
    "border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}img{max-width:100%;display:block;margin:1rem 0}"
)


@frozen(kw_only=True)
class Report:
    """What was written: the page, and the indicators of each lesson."""

    page: Path
    lessons: tuple[LessonIndicators, ...]


def read_roles(path: str | Path) -> Roles:
    """Read a YAML or JSON file with the lists attention, participation and interaction.

    Raises:
        FormatError: if there is none, or it is something else.
        InvalidField: if a list is missing.
    """
    import yaml

    try:
        said = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise FormatError(path, "file", "a file of roles", (error.strerror or str(error)).lower()) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FormatError(path, "file", "YAML or JSON", " ".join(str(error).split())) from error
    return Roles.from_mapping(said)


def write_report(
    workspace: Workspace, catalogue: Catalogue, folder: str | Path, *, axis: str | None = None, roles: Roles = ROLES, seed: int = 0
) -> Report:
    """Write ``report.html`` (pictures inside, no scripts, no addresses), ``<lesson>-*.png``, and the tables as CSV and JSON.

    ``surprise.csv`` lists all tubelets, the most surprising first: labels and proposals that fit neither what the same student did
    before nor after.

    Raises:
        UnknownName: for an unknown axis.
        NotEnoughData: if nothing is labelled or proposed, or no behaviour means attention.
        StorageError: if the folder cannot be written to.
    """
    target = Path(folder)
    chosen = workspace.taxonomy.axis(axis or workspace.taxonomy.primary.id)
    colours = {behaviour.id: behaviour.colour for behaviour in chosen.behaviours}
    timelines = smooth_timelines(collect_timelines(workspace, catalogue, axis=chosen.id), seed=seed)
    known = roles.narrow(chosen.values)
    lessons, sections = [], []
    for name, rows in groupby(timelines, key=lambda one: one.lesson):
        own = list(rows)
        lesson = measure_lesson(own, roles=known, seed=seed)
        pictures = _draw(own, lesson, known, colours)
        for kind, data in pictures.items():
            write_bytes(target / f"{_safe(name)}-{kind}.png", data)
        lessons.append(lesson)
        sections.append(_format_lesson(lesson, pictures))
    write_text(target / "students.csv", _to_csv([{"lesson": x.lesson, **row} for x in lessons for row in x.to_dict()["students"]]))
    write_text(target / "lessons.csv", _to_csv([{k: v for k, v in x.to_dict().items() if k != "students"} for x in lessons]))
    write_text(target / "surprise.csv", _to_csv(_list_surprises(timelines)))
    write_text(target / "report.json", json.dumps([x.to_dict() for x in lessons], indent=1, sort_keys=True) + "\n")
    write_text(target / PAGE_NAME, _format_page(f"{workspace.root.name}: {chosen.name or chosen.id}", lessons, sections))
    return Report(page=target / PAGE_NAME, lessons=tuple(lessons))


def _draw(own: Sequence[Timeline], lesson: LessonIndicators, roles: Roles, colours: Mapping[str, str]) -> dict[str, bytes]:
    from curation.analysis.plots import draw_class, draw_groups, draw_students, draw_timelines

    return {
        "class": draw_class(own, roles, colours, title=f"{lesson.lesson}: the class over time"),
        "timelines": draw_timelines(own, colours, title=f"{lesson.lesson}: behaviours"),
        "students": draw_students(lesson),
        "groups": draw_groups(lesson),
    }


def _list_surprises(timelines: Sequence[Timeline]) -> list[dict[str, Any]]:
    rows = [
        {
            "tubelet": tubelet,
            "lesson": one.lesson,
            "student": one.student,
            "start_s": round(float(one.start_s[i]), 3),
            "value": one.values[int(one.probs[i].argmax())],
            "said_by": "person" if one.labelled[i] else "model",
            "surprise": round(float(one.surprise[i]), 6),
        }
        for one in timelines
        for i, tubelet in enumerate(one.tubelet_ids)
    ]
    return sorted(rows, key=lambda row: (-float(str(row["surprise"])), str(row["tubelet"])))


def _to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _format_page(title: str, lessons: Sequence[LessonIndicators], sections: Sequence[str]) -> str:
    rows = [
        (x.lesson, len(x.students), f"{x.seconds:.0f}", f"{100 * x.participation:.0f}", f"{100 * x.attention:.0f}",
         f"{x.participation_s:.1f}", f"{x.effective_s:.1f}", x.interactions, x.groups)
        for x in lessons
    ]  # fmt: skip
    head = ("lesson", "students", "seconds", "participation (%)", "mean attention (%)", "mean participation (s)",
            "mean effective participation (s)", "interactions", "groups")  # fmt: skip
    body = "".join(sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{_format_table(head, rows)}{body}<p>Labels where people gave them, elsewhere proposals "
        "smoothed by a hidden Markov model. Definitions: <code>curation/analysis/indicators.py</code>.</p></body></html>\n"
    )


def _format_lesson(lesson: LessonIndicators, pictures: Mapping[str, bytes]) -> str:
    head = (
        "student",
        "attention (%)",
        "participation (s)",
        "effective (s)",
        "events",
        "a minute",
        "interactions",
        "group",
        "surprise",
    )
    rows = [
        (x.student, f"{100 * x.attention:.0f}", f"{x.participation_s:.1f}", f"{x.effective_s:.1f}", x.events, f"{x.per_minute:.1f}",
         x.interactions, x.group, f"{x.surprise:.2f}")
        for x in lesson.students
    ]  # fmt: skip
    images = "".join(
        f'<img alt="{escape(lesson.lesson)}: {kind}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        for kind, data in pictures.items()
    )
    return f"<h2>{escape(lesson.lesson)}</h2>{images}{_format_table(head, rows)}"


def _format_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + f"</tr>{lines}</table>"


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
