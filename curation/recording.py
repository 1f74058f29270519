"""Recording what is found in a clip, part by part: arrays first, then rows, so that annotators can begin before the clip is done.

Ids are hashes of content, so a clip that was cut off in the middle is simply begun again: what is there already stays as it is, and
catalogue and arrays end as those of a run that was never interrupted. Memory does not grow with the clip: of each person only the
rows of the window that is not complete yet are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from attrs import define, evolve, frozen
from numpy.typing import NDArray

from curation.proposals import Proposer
from curation.store import TrackRow
from curation.tubelets import Window, cut_tubelets, plan_windows, stack_poses
from schemas.records import Clip, PoseTrack, Seat, Tubelet
from schemas.vocabulary import Taxonomy

if TYPE_CHECKING:
    from backends.people.base import PersonTrack
    from curation.store import ArrayStore, Catalogue

__all__ = ["UNFINISHED", "ClipRecorder", "Desk", "find_student", "make_track", "make_tracks"]

UNFINISHED = "not finished"
"""The problem of a clip of which a part is recorded, until the last part is."""


@frozen(kw_only=True)
class Desk:
    """What recording needs besides the clip: where to, who found the people, how windows are cut, and who proposes behaviours."""

    catalogue: Catalogue
    arrays: ArrayStore
    pipeline: str
    window: float
    fps: float
    taxonomy: Taxonomy
    proposer: Proposer


class ClipRecorder:
    """Takes the parts of one clip in order, and then its end. Make a new one to begin the clip anew."""

    def __init__(self, clip: Clip, desk: Desk) -> None:
        self._clip, self._desk = clip, desk
        self._windows = plan_windows(clip.timestamps, window=desk.window, fps=desk.fps, gaps=clip.gaps)
        self._lasts = np.array([window.last for window in self._windows])
        self._people: dict[int, _Person] = {}
        self._n_parts = 0
        self.n_tubelets = self.n_proposals = 0

    @property
    def n_people(self) -> int:
        """How many people there are in the clip so far."""
        return len({person.track.id for person in self._people.values()})

    def add(self, part: Sequence[PersonTrack]) -> None:
        """Record a part: the boxes and poses in it, and the tubelets and proposals of the windows that it completes.

        Raises:
            StorageError: if the disk is full; the parts before stay.
        """
        tracks, people = [], []
        for piece in part:
            track = make_track(self._clip, piece, self._desk.pipeline)
            person = self._people.get(piece.number)
            if person is None:
                if any(other.track.id == track.id for other in self._people.values()):
                    continue
                first_window = int(np.searchsorted(self._lasts, track.start_frame))
                person = self._people[piece.number] = _Person(track=track, next_window=first_window, clip=self._clip)
            else:
                track = person.add(track)
            person.count(track)
            tracks.append(track)
            people.append(person)
        if tracks:
            self._desk.arrays.write_part(self._clip.id, self._n_parts, tracks)
            self._n_parts += 1
        complete = np.searchsorted(self._lasts, [person.track.frames[-1] for person in people], side="right")
        self._commit(people, complete.tolist(), UNFINISHED)

    def finish(self, problem: str | None = None) -> None:
        """Record the end of the clip: the tubelets of its last windows, and the problem because of which it ended early."""
        if problem is None or self._n_parts:
            self._desk.arrays.join_parts(self._clip.id, {person.track.id: person.student for person in self._people.values()})
        people = list(self._people.values())
        self._commit(people, [len(self._windows)] * len(people), problem)

    def _commit(self, people: Sequence[_Person], stops: Sequence[int], problem: str | None) -> None:
        """Cut each person's windows up to the one where they stop, and write everything in one transaction."""
        clip, settings = self._clip, {"window": self._desk.window, "fps": self._desk.fps}
        tubelets: list[Tubelet] = []
        for person, stop in zip(people, stops, strict=True):
            tubelets += cut_tubelets([person.track], clip, windows=self._windows[person.next_window : stop], **settings)
        by_id = {person.track.id: person.track for person in people}
        poses = stack_poses(by_id, tubelets, {clip.id: clip}, windows={clip.id: self._windows}, **settings)
        spans = self._desk.proposer.propose(tubelets, poses, self._desk.taxonomy)
        self._desk.catalogue.commit_clip(
            clip.id,
            pipeline=self._desk.pipeline,
            tracks=[person.describe() for person in people],
            tubelets=tubelets,
            predictions=spans,
            problem=problem,
        )
        self.n_tubelets += len(tubelets)
        self.n_proposals += len(spans)
        for person, stop in zip(people, stops, strict=True):
            person.forget_before(self._windows, stop)


@define(kw_only=True)
class _Person:
    """One person: the rows that windows still need, the first window that is not cut, and what is to be said of the whole track."""

    clip: Clip
    track: PoseTrack
    next_window: int
    first: int = -1
    n_frames: int = 0
    n_seen: int = 0
    votes: NDArray[np.int64] | int = 0

    def add(self, track: PoseTrack) -> PoseTrack:
        """Take the rows that follow, and return them under this person's id."""
        track = evolve(track, id=self.track.id)
        self.track = PoseTrack.join([self.track, track])
        return track

    def count(self, track: PoseTrack) -> None:
        """Count new rows."""
        self.first = track.start_frame if self.first < 0 else self.first
        self.n_frames += len(track.frames)
        self.n_seen += len(track.seen_frames)
        self.votes = self.votes + count_seats(track.boxes_xyxy[~track.filled], self.clip.seats)

    @property
    def student(self) -> str | None:
        """Who it is, by what was seen so far."""
        return _elect(np.asarray(self.votes), self.n_seen, self.clip.seats)

    def describe(self) -> TrackRow:
        """Return the track's row, as far as it is known."""
        return TrackRow(
            id=self.track.id,
            clip_id=self.clip.id,
            student=self.student,
            n_frames=self.n_frames,
            first=self.first,
            last=int(self.track.frames[-1]),
        )

    def forget_before(self, windows: Sequence[Window], number: int) -> None:
        """Keep the rows from this window on, and one before, since the pose at a window's first sample may be that one."""
        self.next_window = number
        if number < len(windows):
            start = int(np.searchsorted(self.track.frames, windows[number].first)) - 1
            self.track = self.track.select(slice(max(0, min(start, len(self.track.frames) - 1)), None))


def make_track(clip: Clip, person: PersonTrack, pipeline: str) -> PoseTrack:
    """Return a person found in a clip as a track with a content id and, where the clip has seats, a name."""
    return PoseTrack(
        id=PoseTrack.compute_id(clip.id, int(person.frames[0]), person.boxes_xyxy[0], pipeline),
        clip_id=clip.id,
        frames=person.frames,
        boxes_xyxy=person.boxes_xyxy,
        pose_px=person.pose_px,
        student=find_student(person.boxes_xyxy[~person.filled], clip.seats),
        world_m=None if np.isnan(person.world_m).all() else person.world_m,
        filled=person.filled,
    )


def make_tracks(clip: Clip, found: Sequence[PersonTrack], pipeline: str) -> list[PoseTrack]:
    """Return the people found in a whole clip as tracks, in order of appearance; parts of a track are joined."""
    pieces: dict[int, list[PoseTrack]] = {}
    for person in found:
        pieces.setdefault(person.number, []).append(make_track(clip, person, pipeline))
    tracks = [_name(PoseTrack.join(parts), parts[0].id, clip) for parts in pieces.values()]
    unique = {track.id: track for track in reversed(tracks)}
    return sorted(unique.values(), key=lambda track: (track.start_frame, track.id))


def find_student(boxes_xyxy: NDArray[np.float32], seats: Sequence[Seat]) -> str | None:
    """Return who sits where a person is seen in most frames, or None.

    In each frame the person is in the seats whose box holds the centre of theirs; of several, in the one with the nearest centre.

    Args:
        boxes_xyxy: (T, 4) px.
        seats: of the same camera view.
    """
    return _elect(count_seats(boxes_xyxy, seats), len(boxes_xyxy), seats)


def count_seats(boxes_xyxy: NDArray[np.float32], seats: Sequence[Seat]) -> NDArray[np.int64]:
    """Return (S,) in how many of the frames the person is in each seat."""
    if not seats:
        return np.zeros(0, np.int64)
    places = np.array([seat.box_xyxy for seat in seats], np.float64)
    centres = (boxes_xyxy[:, None, :2] + boxes_xyxy[:, None, 2:]) / 2
    inside = ((centres >= places[:, :2]) & (centres <= places[:, 2:])).all(axis=2)
    distance = np.linalg.norm(centres - (places[:, :2] + places[:, 2:]) / 2, axis=2)
    distance[~inside] = np.inf
    nearest = distance.argmin(axis=1)[np.isfinite(distance.min(axis=1))]
    return np.bincount(nearest, minlength=len(seats))


def _elect(votes: NDArray[np.int64], n_frames: int, seats: Sequence[Seat]) -> str | None:
    return seats[int(votes.argmax())].student if seats and 2 * votes.max() > n_frames else None


def _name(track: PoseTrack, track_id: str, clip: Clip) -> PoseTrack:
    return evolve(track, id=track_id, student=find_student(track.boxes_xyxy[~track.filled], clip.seats))
