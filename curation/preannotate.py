"""From clips to people, poses, tubelets and proposals: found by an engine, recorded clip by clip.

A clip's arrays are written first and then its rows, in one transaction: whatever ends the run, the same command again goes on with
the first clip that has no rows, and ends with the same catalogue and arrays as a run that was never interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from curation.config import Preannotation, Workspace
from curation.engines import ENGINES
from curation.engines.people import list_options
from curation.proposals import Proposer, load_proposer
from curation.tubelets import cut_tubelets, plan_windows, sample_frames, stack_poses
from schemas.errors import UnknownName
from schemas.records import Clip, PoseTrack, PredictedSpan, Seat, Tubelet

if TYPE_CHECKING:
    from backends.people.base import PersonTrack
    from curation.store import ArrayStore, Catalogue

__all__ = ["PreannotateProgress", "PreannotateResult", "find_student", "make_tracks", "name_pipeline", "preannotate", "repropose"]

STAGE = "curation.engines.people:open_people_stage"


@frozen(kw_only=True)
class PreannotateProgress:
    """How far a run is: frames looked at and clips recorded, of how many, and the people found so far."""

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
    engine: str = "local",
    workers: int | None = None,
    proposer: Proposer | None = None,
    progress: Callable[[PreannotateProgress], None] | None = None,
) -> PreannotateResult:
    """Find the people in every clip that is not done, follow them, cut tubelets, propose behaviours, and record all of it.

    A clip that cannot be worked on is set aside with its reason, and tried again by the next run. People who sit in one of the
    clip's seats get that student's name.

    Args:
        workspace: gives the settings (window, samples per second, detector) and the vocabulary.
        catalogue: holds the clips and takes the rest.
        arrays: takes boxes and poses.
        engine: an entry of `curation.engines.ENGINES`.
        workers: processes; None = as the workspace says, where 0 = one per core.
        proposer: proposes behaviours; None = the model that ships with the tool.
        progress: told after every few frames and every clip.

    Raises:
        UnknownName: if there is no such engine or detector.
        ModelError: if the models are not there.
        StorageError: if the disk is full; the clips recorded before stay.
    """
    from backends.people import DETECTORS

    started = time.monotonic()
    settings = workspace.config.preannotation
    engine_class = ENGINES.load(engine)
    if settings.detector not in DETECTORS:
        raise UnknownName(DETECTORS.kind, settings.detector, DETECTORS)
    clips = catalogue.list_clips()
    todo = _list_todo(catalogue, clips, name_pipeline(settings))
    if not todo:
        return PreannotateResult(there=len(clips), seconds=time.monotonic() - started)
    recorder = _Recorder(workspace, catalogue, arrays, proposer or load_proposer())
    log = workspace.folder("logs") / "workers.log"
    runner = engine_class(workers=settings.workers if workers is None else workers, log=log)
    board = _Board(todo, settings, progress)
    with closing(runner.run(todo, STAGE, options=list_options(settings), on_tick=board.tick)) as outcomes:
        for outcome in outcomes:
            clip = todo[outcome.index]
            board.finish(recorder.record(clip, outcome.value or [], outcome.error))
    return evolve(recorder.result, there=len(clips) - len(todo), frames=board.state.frames, seconds=time.monotonic() - started)


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
    """Return the name under which the catalogue records who found the people: detector and pipeline with its version."""
    from backends.people.people import PIPELINE

    return f"{settings.detector}/{PIPELINE}"


def make_tracks(clip: Clip, found: Sequence[PersonTrack], pipeline: str) -> list[PoseTrack]:
    """Return the people found in a clip as tracks with content ids and, where the clip has seats, names; in order of appearance."""
    tracks = [
        PoseTrack(
            id=PoseTrack.compute_id(clip.id, int(person.frames[0]), person.boxes_xyxy[0], pipeline),
            clip_id=clip.id,
            frames=person.frames,
            boxes_xyxy=person.boxes_xyxy,
            pose_px=person.pose_px,
            world_m=None if np.isnan(person.world_m).all() else person.world_m,
            student=find_student(person.boxes_xyxy, clip.seats),
        )
        for person in found
    ]
    unique = {track.id: track for track in reversed(tracks)}
    return sorted(unique.values(), key=lambda track: (track.start_frame, track.id))


def find_student(boxes_xyxy: NDArray[np.float32], seats: Sequence[Seat]) -> str | None:
    """Return who sits where a person is seen in most frames, or None.

    In each frame the person is in the seats whose box holds the centre of theirs; of several, in the one with the nearest centre.

    Args:
        boxes_xyxy: (T, 4) px.
        seats: of the same camera view.
    """
    if not seats:
        return None
    places = np.array([seat.box_xyxy for seat in seats], np.float64)
    centres = (boxes_xyxy[:, None, :2] + boxes_xyxy[:, None, 2:]) / 2
    inside = ((centres >= places[:, :2]) & (centres <= places[:, 2:])).all(axis=2)
    distance = np.linalg.norm(centres - (places[:, :2] + places[:, 2:]) / 2, axis=2)
    distance[~inside] = np.inf
    nearest = distance.argmin(axis=1)[np.isfinite(distance.min(axis=1))]
    votes = np.bincount(nearest, minlength=len(seats))
    return seats[int(votes.argmax())].student if 2 * votes.max() > len(boxes_xyxy) else None


def _list_todo(catalogue: Catalogue, clips: Sequence[Clip], pipeline: str) -> list[Clip]:
    """Return the clips without people of any pipeline that this one has not been through without a problem."""
    done = {clip_id for clip_id, problem in catalogue.list_done(pipeline).items() if problem is None}
    done |= {track.clip_id for track in catalogue.list_tracks()}
    return [clip for clip in clips if clip.id not in done]


class _Recorder:
    """Turns what was found in a clip into records, and writes them: arrays first, then all rows in one transaction."""

    def __init__(self, workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, proposer: Proposer) -> None:
        self._workspace, self._catalogue, self._arrays, self._proposer = workspace, catalogue, arrays, proposer
        self._pipeline = name_pipeline(workspace.config.preannotation)
        self.result = PreannotateResult()

    def record(self, clip: Clip, found: Sequence[PersonTrack], problem: str | None) -> int:
        """Record one clip and return the number of people in it."""
        if problem is not None:
            problem = problem.removeprefix(f"{clip.uri}: ")
            self._catalogue.commit_clip(clip.id, pipeline=self._pipeline, tracks=[], tubelets=[], predictions=[], problem=problem)
            self.result = evolve(self.result, set_aside=[*self.result.set_aside, (clip.uri, problem)])
            return 0
        tracks, tubelets, predictions = self._describe(clip, found)
        self._arrays.write_tracks(clip.id, tracks)
        self._catalogue.commit_clip(clip.id, pipeline=self._pipeline, tracks=tracks, tubelets=tubelets, predictions=predictions)
        self.result = evolve(
            self.result,
            clips=self.result.clips + 1,
            people=self.result.people + len(tracks),
            tubelets=self.result.tubelets + len(tubelets),
            proposals=self.result.proposals + len(predictions),
        )
        return len(tracks)

    def _describe(self, clip: Clip, found: Sequence[PersonTrack]) -> tuple[list[PoseTrack], list[Tubelet], list[PredictedSpan]]:
        settings = self._workspace.config.preannotation
        tracks = make_tracks(clip, found, self._pipeline)
        tubelets = cut_tubelets(tracks, clip, window=settings.window, fps=settings.fps)
        by_id: Mapping[str, PoseTrack] = {track.id: track for track in tracks}
        poses = stack_poses(by_id, tubelets, {clip.id: clip}, window=settings.window, fps=settings.fps)
        return tracks, tubelets, self._proposer.propose(tubelets, poses, self._workspace.taxonomy)


class _Board:
    """Counts frames, clips and people, and tells whoever watches."""

    def __init__(
        self, clips: Sequence[Clip], settings: Preannotation, progress: Callable[[PreannotateProgress], None] | None
    ) -> None:
        self._planned = [
            len(sample_frames(plan_windows(clip.timestamps, window=settings.window, fps=settings.fps, gaps=clip.gaps)))
            for clip in clips
        ]
        self._seen = [0] * len(clips)
        self._progress = progress
        self._next = 0
        self.state = PreannotateProgress(n_frames=sum(self._planned), n_clips=len(clips))

    def tick(self, index: int, units: int) -> None:
        """Count frames of one clip; a clip that is tried again is not counted twice."""
        self._seen[index] = min(self._seen[index] + units, self._planned[index])
        self._tell()

    def finish(self, people: int) -> None:
        """Count a clip, with all of its frames."""
        self._seen[self._next] = self._planned[self._next]
        self._next += 1
        self.state = evolve(self.state, clips=self.state.clips + 1, people=self.state.people + people)
        self._tell()

    def _tell(self) -> None:
        self.state = evolve(self.state, frames=sum(self._seen))
        if self._progress is not None:
            self._progress(self.state)
