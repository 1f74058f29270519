"""From clips to people, poses, tubelets and proposals: found by an engine, recorded part by part.

Whatever ends a run, the same command again goes on with the first clip that is not finished, and ends with the same catalogue and
arrays as a run that was never interrupted (see `curation.recording`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from inspect import signature
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from curation.config import Preannotation, Workspace
from curation.engines import ENGINES
from curation.engines.base import Advanced, Begun, Engine, Event
from curation.engines.people import list_options
from curation.proposals import Proposer, load_proposer
from curation.tubelets import plan_windows, sample_frames, stack_poses
from schemas.errors import CurationError, InvalidField, UnknownName
from schemas.records import Clip

if TYPE_CHECKING:
    from curation.recording import ClipRecorder, Desk
    from curation.store import ArrayStore, Catalogue

__all__ = ["PreannotateProgress", "PreannotateResult", "choose_engine", "name_pipeline", "preannotate", "repropose"]

STAGE = "curation.engines.people:open_people_stage"


@frozen(kw_only=True)
class PreannotateProgress:
    """How far a run is: frames looked at and clips finished, of how many, and the people found so far."""

    frames: int = 0
    n_frames: int
    clips: int = 0
    n_clips: int
    people: int = 0


@frozen(kw_only=True)
class PreannotateResult:
    """What a run did. `there` clips were done before; `set_aside` are (file, reason)."""

    clips: int = 0
    there: int = 0
    people: int = 0
    tubelets: int = 0
    proposals: int = 0
    frames: int = 0
    seconds: float = 0.0
    set_aside: list[tuple[str, str]] = field(factory=list)


def preannotate(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    *,
    engine: str | Engine | None = None,
    workers: int | None = None,
    address: str | None = None,
    fps: float | None = None,
    proposer: Proposer | Callable[[], Proposer] | None = None,
    progress: Callable[[PreannotateProgress], None] | None = None,
) -> PreannotateResult:
    """Find the people in every clip that is not done, follow them, cut tubelets, propose behaviours, and record all of it.

    Tubelets can be seen as soon as the part of the clip that they are in is recorded. A clip that cannot be worked on is set aside
    with its reason, and tried again by the next run. People who sit in one of the clip's seats get that student's name.

    Args:
        workspace: gives the settings (window, samples per second, detector) and the vocabulary.
        catalogue: holds the clips and takes the rest.
        arrays: takes boxes and poses.
        engine: what `choose_engine` returned, or an entry of `curation.engines.ENGINES`; None = as the workspace says.
        workers: processes; None = as the workspace says, where 0 = one per core.
        address: of a cluster, for an engine that can use one.
        fps: samples per second; None = as the workspace says.
        proposer: proposes behaviours, or loads what does, while the workers are busy already; None = the model that ships.
        progress: told after every few frames and every clip.

    Raises:
        UnknownName: if there is no such engine or detector.
        InvalidField: if the engine takes no address.
        ModelError: if the models are not there.
        StorageError: if the disk is full; what was recorded before stays.
    """
    from backends.people import DETECTORS, TRACKERS
    from curation.recording import Desk

    started = time.monotonic()
    settings = workspace.config.preannotation
    settings = settings.model_copy(update={"fps": settings.fps if fps is None else fps})
    for known, name in ((DETECTORS, settings.detector), (TRACKERS, settings.tracker)):
        if name not in known:
            raise UnknownName(known.kind, name, known)
    runner = choose_engine(workspace, engine, workers, address) if engine is None or isinstance(engine, str) else engine
    clips = catalogue.list_clips()
    todo = _list_todo(catalogue, clips, name_pipeline(settings))
    if not todo:
        return PreannotateResult(there=len(clips), seconds=time.monotonic() - started)
    options = list_options(settings) | {"threads": runner.count_threads(len(todo))}
    book: _Book | None = None
    with closing(runner.run(todo, STAGE, options=options)) as events:
        for event in events:
            if book is None:  # the first worker is at work by now: what this process needs itself takes seconds to load
                desk = Desk(
                    catalogue=catalogue,
                    arrays=arrays,
                    pipeline=name_pipeline(settings),
                    window=settings.window,
                    fps=settings.fps,
                    taxonomy=workspace.taxonomy,
                    proposer=proposer if isinstance(proposer, Proposer) else (proposer or load_proposer)(),
                )
                book = _Book(todo, desk, settings, progress)
            book.hear(event)
    if book is None:
        raise CurationError("the engine has said nothing of its tasks")
    return evolve(book.result, there=len(clips) - len(todo), frames=book.state.frames, seconds=time.monotonic() - started)


def choose_engine(
    workspace: Workspace, engine: str | None = None, workers: int | None = None, address: str | None = None
) -> Engine:
    """Return the engine on which `preannotate` runs with these arguments.

    Raises:
        UnknownName: if there is none of that name.
        InvalidField: if it takes no address.
    """
    settings = workspace.config.preannotation
    name = engine or settings.engine
    make = ENGINES.load(name)
    options: dict[str, Any] = {
        "workers": settings.workers if workers is None else workers,
        "log": workspace.folder("logs") / "workers.log",
    }
    if address is not None:
        if "address" not in signature(make).parameters:
            raise InvalidField("address", f"none, since the engine {name!r} runs on this machine", address)
        options["address"] = address
    made: Engine = make(**options)
    return made


def repropose(workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, *, proposer: Proposer) -> int:
    """Propose behaviours anew for every tubelet there is, by another model; poses are not found again, earlier proposals stay.

    Returns:
        How many proposals were new: a second run with the same model adds none.

    Raises:
        WorkspaceError, FormatError: if a clip's arrays are missing or damaged.
    """
    new = 0
    settings = workspace.config.preannotation
    for clip in catalogue.list_clips():
        tubelets = catalogue.list_tubelets(clip.id)
        if not tubelets:
            continue
        tracks = {track.id: track for track in arrays.read_tracks(clip.id)}
        poses = stack_poses(tracks, tubelets, {clip.id: clip}, window=settings.window, fps=settings.fps)
        new += catalogue.add_predictions(proposer.propose(tubelets, poses, workspace.taxonomy))
    return new


def name_pipeline(settings: Preannotation) -> str:
    """Return the name under which the catalogue records who found the people.

    Detector with the first of its network's SHA-256 if it has one, pipeline and version, special tracker, special landmark network.
    """
    from backends.people.people import PIPELINE

    detector = f"{settings.detector}-{settings.network_sha256[:8]}" if settings.network_sha256 else settings.detector
    name = f"{detector}/{PIPELINE}"
    name = name if settings.tracker == "landmarks" else f"{name}/{settings.tracker}"
    return name if settings.pose == "full" else f"{name}/{settings.pose}"


def _list_todo(catalogue: Catalogue, clips: Sequence[Clip], pipeline: str) -> list[Clip]:
    """Return the clips that this pipeline has not been through, and that have no people of another one that was."""
    done = {clip_id for clip_id, problem in catalogue.list_done(pipeline).items() if problem is None}
    begun = {clip_id for clip_id, problem in catalogue.list_done().items() if problem is not None}
    done |= {track.clip_id for track in catalogue.list_tracks()} - begun
    return [clip for clip in clips if clip.id not in done]


class _Book:
    """Records what an engine reports, counts frames, clips and people, and tells whoever watches."""

    def __init__(
        self,
        clips: Sequence[Clip],
        desk: Desk,
        settings: Preannotation,
        progress: Callable[[PreannotateProgress], None] | None,
    ) -> None:
        self._clips, self._desk, self._progress = clips, desk, progress
        self._planned = [
            len(sample_frames(plan_windows(clip.timestamps, window=settings.window, fps=settings.fps, gaps=clip.gaps)))
            for clip in clips
        ]
        self._seen = [0] * len(clips)
        self._open: dict[int, ClipRecorder] = {}
        self.result = PreannotateResult()
        self.state = PreannotateProgress(n_frames=sum(self._planned), n_clips=len(clips))

    def hear(self, event: Event) -> None:
        """Take note of what an engine says."""
        if isinstance(event, Begun):
            self.begin(event.index)
        elif isinstance(event, Advanced):
            self.advance(event.index, event.units, event.part)
        else:
            self.end(event.index, event.error)

    def begin(self, index: int) -> None:
        """Begin a clip, or begin it anew."""
        from curation.recording import ClipRecorder

        self._open[index] = ClipRecorder(self._clips[index], self._desk)

    def advance(self, index: int, units: int, part: Any) -> None:
        """Record a part, and count frames; those of a clip that is begun anew are not counted twice."""
        if part is not None:
            self._open[index].add(part)
        self._seen[index] = min(self._seen[index] + units, self._planned[index])
        self._tell()

    def end(self, index: int, error: str | None) -> None:
        """Record the end of a clip."""
        clip, recorder = self._clips[index], self._open.pop(index)
        problem = None if error is None else error.removeprefix(f"{clip.uri}: ")
        recorder.finish(problem)
        if problem is not None:
            self.result = evolve(self.result, set_aside=[*self.result.set_aside, (clip.uri, problem)])
        else:
            self.result = evolve(
                self.result,
                clips=self.result.clips + 1,
                people=self.result.people + recorder.n_people,
                tubelets=self.result.tubelets + recorder.n_tubelets,
                proposals=self.result.proposals + recorder.n_proposals,
            )
        self._seen[index] = self._planned[index]
        self.state = evolve(self.state, clips=self.state.clips + 1)
        self._tell()

    def _tell(self) -> None:
        people = self.result.people + sum(recorder.n_people for recorder in self._open.values())
        self.state = evolve(self.state, frames=sum(self._seen), people=people)
        if self._progress is not None:
            self._progress(self.state)
