"""Faces and hands of the people who were found: read by an engine where the workspace asks for it, recorded clip by clip.

A clip's readings are written when the clip is done, so that an interrupted run goes on with the first clip that has none; clips
that were preannotated before faces or hands were asked for are read without finding the people again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from curation.config import Workspace
from curation.engines.base import Advanced, Begun
from curation.preannotate import choose_engine
from schemas.records import Clip

if TYPE_CHECKING:
    from curation.config import Preannotation
    from curation.store import Catalogue
    from curation.store.readings import Readings, ReadingStore

__all__ = ["ReadResult", "list_kinds", "read_people"]

STAGE = "curation.engines.readings:open_reading_stage"


@frozen(kw_only=True)
class ReadResult:
    """What a run read: clips, faces and hands (one per person and frame); `set_aside` are (file, reason)."""

    clips: int = 0
    faces: int = 0
    hands: int = 0
    set_aside: list[tuple[str, str]] = field(factory=list)


def list_kinds(settings: Preannotation) -> list[str]:
    """Return what a workspace wants to have read: "faces", "hands", both or nothing."""
    return [kind for kind in ("faces", "hands") if getattr(settings, kind)]


def read_people(
    workspace: Workspace,
    catalogue: Catalogue,
    *,
    engine: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> ReadResult:
    """Read the faces and hands that the workspace asks for, in every clip whose people are found and that has no readings yet.

    Args:
        workspace: its settings say what is read, and how often.
        catalogue: knows the clips and which of them are done.
        engine: as for `curation.preannotate.preannotate`.
        workers: as there.
        address: as there.
        progress: told the number of frames after every few of them.

    Raises:
        UnknownName: if there is no such engine.
        ModelError: if the models are not there.
        StorageError: if the disk is full; the clips before stay.
    """
    from curation.store.readings import KINDS, Readings, ReadingStore

    settings, folder = workspace.config.preannotation, workspace.folder("arrays")
    kinds, store = list_kinds(settings), ReadingStore(folder)
    done = {clip_id for clip_id, problem in catalogue.list_done().items() if problem is None}
    todo = [clip for clip in catalogue.list_clips() if clip.id in done and not all(store.has(kind, clip.id) for kind in kinds)]
    result = ReadResult()
    if not todo or not kinds:
        return result
    runner = choose_engine(workspace, engine, workers, address)
    rates = {"window": settings.window, "fps": settings.fps, "faces_fps": settings.faces_fps}
    rows: dict[int, list[Readings]] = {}
    with closing(runner.run(todo, STAGE, options={"arrays": str(folder), "kinds": kinds, **rates})) as events:
        for event in events:
            if isinstance(event, Begun):
                rows[event.index] = []
            elif isinstance(event, Advanced):
                rows[event.index] += event.part or []
                if progress is not None:
                    progress(event.units)
            elif event.error is not None:
                clip = todo[event.index]
                reason = event.error.removeprefix(f"{clip.uri}: ")
                result = evolve(result, set_aside=[*result.set_aside, (clip.uri, reason)])
            else:
                parts = rows.pop(event.index)
                of_kind = {kind: Readings.join(kind, [part for part in parts if part.kind == kind]) for kind in KINDS}
                result = _record(store, todo[event.index], {kind: of_kind[kind] for kind in kinds}, result)
    return result


def _record(store: ReadingStore, clip: Clip, readings: dict[str, Readings], result: ReadResult) -> ReadResult:
    for part in readings.values():
        store.write(clip.id, part)
    counts = {kind: getattr(result, kind) + len(part) for kind, part in readings.items()}
    return evolve(result, clips=result.clips + 1, **counts)
