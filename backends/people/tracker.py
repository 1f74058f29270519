"""Tracks of people: carried from frame to frame by their landmarks, joined with new detections by overlap.

Considered and not used: `trackers` (ByteTrack, OC-SORT). Those guess where a box goes between frames; here the landmark network
says where each body is in every frame, and only a detection every few seconds must be assigned: one Hungarian assignment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from backends.people.base import PersonTrack
from backends.people.body import boxes_from_poses, compute_ious, compute_oks, find_torsos, look_like_people, share_parts
from backends.people.pose import Poses
from backends.people.regions import narrow_regions
from backends.people.search import find_doubles

__all__ = ["Tracker"]

_LEAST_IOU = 0.25
_LEAST_SCORE = 0.5
_MOST_OF_BOX = 0.5
_HARDLY_MOVED = 0.6
_STOOD_STILL = 0.85
_CHANCES = 3
"""After so many detections the share that has confirmed a track says something."""
_MANY_CHANCES, _HOPELESS = 10, 0.4
_UNCERTAIN = 2
"""How many of a live track's last frames may still be taken back."""
_LEAST_SIZE, _MOST_SIZE = 1.0, 1.5
"""How far the region of a carried body may shrink or grow from its detection: with hidden legs it creeps smaller by itself.

Chosen among seven settings on two rendered clips.
"""


@define(eq=False)
class _Live:
    """A person being followed: where to look next, what was last seen and when, and what was seen so far."""

    number: int
    region: NDArray[np.float64]
    box: NDArray[np.float32]
    pose: NDArray[np.float32]
    seen_at: float
    size: float
    n_confirmed: int = 1
    n_chances: int = 1
    best_share: float = 0.0
    n_given: int = 0
    frames: list[int] = field(factory=list)
    boxes: list[NDArray[np.float32]] = field(factory=list)
    poses: list[NDArray[np.float32]] = field(factory=list)
    worlds: list[NDArray[np.float32]] = field(factory=list)
    scores: list[float] = field(factory=list)

    @property
    def n_seen(self) -> int:
        """In how many frames."""
        return self.n_given + len(self.frames)

    @property
    def share(self) -> float:
        """Which share of the detections in its life have confirmed it; once there were a few, the best that it ever was."""
        return max(self.best_share, self.n_confirmed / self.n_chances)

    @property
    def columns(self) -> tuple[list[Any], ...]:
        """What was seen, one entry per frame."""
        return self.frames, self.boxes, self.poses, self.worlds, self.scores


class Tracker:
    """Keeps the tracks of one video. Feed it every frame in order: first `carry`, then `join` where there is a detection."""

    def __init__(self, width: int, height: int, *, lost_after: float) -> None:
        self._size = (width, height)
        self._lost_after = lost_after
        self._live: list[_Live] = []
        self._ended: list[_Live] = []
        self._next = 0
        self.n_frames = 0
        self._now = 0

    def carry(self, index: int, seconds: float, look: Callable[[NDArray[np.float64]], Poses]) -> None:
        """Follow the live tracks into the next frame; one whose pose is no person or has jumped away is not seen in it.

        A track that is not found where its landmarks point to is looked for once more by its upper body alone.

        Args:
            index: of the frame.
            seconds: of the frame.
            look: the landmark network on this frame: regions (N, 4) → poses.
        """
        self.n_frames += 1
        self._now = index
        astray = self._follow(index, seconds, self._live, look(self._regions(self._live)))
        if astray:
            shoulders = find_torsos(np.stack([track.pose for track in astray]))[:, :2]
            self._follow(index, seconds, astray, look(narrow_regions(self._regions(astray), shoulders)))
        self._drop_doubles(index)
        self._end(seconds)

    def _follow(self, index: int, seconds: float, tracks: list[_Live], poses: Poses) -> list[_Live]:
        """See the tracks whose pose continues them; return the others."""
        boxes = boxes_from_poses(poses.pose_px, *self._size)
        people = look_like_people(poses.pose_px, poses.regions, *self._size)
        astray = []
        for i, track in enumerate(tracks):
            if people[i] and _continues(track, boxes[i], poses.pose_px[i], float(poses.scores[i])):
                self._see(track, index, seconds, poses, boxes, i)
            else:
                astray.append(track)
        return astray

    def join(self, index: int, seconds: float, found: Poses) -> None:
        """Take a fresh detection: confirm the live tracks that it shows, bring lost ones back, start new ones."""
        from scipy.optimize import linear_sum_assignment

        boxes = boxes_from_poses(found.pose_px, *self._size)
        likeness = self._compare(boxes, found.pose_px)
        rows, columns = linear_sum_assignment(-likeness)
        partner = {int(c): self._live[r] for r, c in zip(rows, columns, strict=True) if likeness[r, c] >= _LEAST_IOU}
        for track in self._live:
            track.n_chances += 1
        for i in range(len(boxes)):
            track = partner.get(i) or self._start(seconds, found, boxes, i)
            if i in partner:
                track.n_confirmed += 1
                track.size = float(found.regions[i, 2])
            if not track.frames or track.frames[-1] != index:
                self._see(track, index, seconds, found, boxes, i)
        self._drop_doubles(index)
        for track in [track for track in self._live if track.n_chances >= _CHANCES]:
            track.best_share = track.share
            if track.n_chances >= _MANY_CHANCES and track.best_share < _HOPELESS:
                self._live.remove(track)
                self._ended.append(track)

    def settle(self, *, least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        """Return what is certain by now and was not returned before, and forget it: a part each of some tracks, in order of start.

        All parts of a track together are what `finish` alone would have returned, whenever and however often this is called. Of a
        live track that enough detections have confirmed, all but the last two frames are certain.
        """
        parts = self._judge(self._ended, least_frames, least_confirmed)
        self._ended = []
        certain = [
            track
            for track in self._live
            if track.best_share >= least_confirmed and track.n_seen >= least_frames + _UNCERTAIN and len(track.frames) > _UNCERTAIN
        ]
        parts += [_part(track, len(track.frames) - _UNCERTAIN) for track in certain]
        for track in certain:
            track.n_given = track.n_seen - _UNCERTAIN
            for column in track.columns:
                del column[:-_UNCERTAIN]
        return sorted(parts, key=lambda part: part.number)

    def finish(self, *, least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        """Return the tracks seen in enough frames and confirmed by enough of the detections in their life, in order of start.

        Whoever was lost is not seen in the last frame before if the pose there was unsure and not quite where it was: nothing
        after it confirms it. What `settle` has returned is left out.
        """
        return self._judge([*self._ended, *self._live], least_frames, least_confirmed)

    def _judge(self, tracks: list[_Live], least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        for track in tracks:
            if len(track.frames) > 1 and track.frames[-1] < self._now and _ends_in_doubt(track):
                _forget_last(track)
        need = max(min(least_frames, self.n_frames), 1)
        kept = [track for track in tracks if track.frames and track.n_seen >= need and track.share >= least_confirmed]
        return [_part(track, len(track.frames)) for track in sorted(kept, key=lambda track: track.number)]

    @staticmethod
    def _regions(tracks: list[_Live]) -> NDArray[np.float64]:
        return np.array([track.region for track in tracks]).reshape(-1, 4)

    def _compare(self, boxes: NDArray[np.float32], pose_px: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return likeness (tracks, detections): IoU of boxes, plus 1 where head or shoulders are the same."""
        if not self._live:
            return np.zeros((0, len(boxes)))
        own = np.stack([track.box for track in self._live])
        same = share_parts(np.stack([track.pose for track in self._live]), pose_px)
        result: NDArray[np.float64] = compute_ious(own, boxes) + same
        return result

    def _start(self, seconds: float, found: Poses, boxes: NDArray[np.float32], i: int) -> _Live:
        track = _Live(
            number=self._next,
            region=found.regions[i],
            box=boxes[i],
            pose=found.pose_px[i],
            seen_at=seconds,
            size=found.regions[i, 2],
        )
        self._next += 1
        self._live.append(track)
        return track

    def _see(self, track: _Live, index: int, seconds: float, poses: Poses, boxes: NDArray[Any], i: int) -> None:
        if (boxes[i, 2:] <= boxes[i, :2]).any():
            return
        track.region, track.box, track.pose, track.seen_at = poses.regions[i].copy(), boxes[i], poses.pose_px[i], seconds
        track.region[2] = np.clip(track.region[2], _LEAST_SIZE * track.size, _MOST_SIZE * track.size)
        track.frames.append(index)
        track.boxes.append(boxes[i])
        track.poses.append(poses.pose_px[i])
        track.worlds.append(poses.world_m[i])
        track.scores.append(float(poses.scores[i]))

    def _drop_doubles(self, index: int) -> None:
        """Of two tracks on one body in this frame, the shorter one gives it back and ends."""
        seen = [track for track in self._live if track.frames and track.frames[-1] == index]
        if len(seen) < 2:
            return
        same = find_doubles(np.stack([t.box for t in seen]), np.stack([t.pose for t in seen]))
        order = sorted(range(len(seen)), key=lambda i: (-seen[i].n_seen, seen[i].number))
        kept: list[int] = []
        for i in order:
            if any(same[i, j] for j in kept):
                _forget_last(seen[i])
                self._live.remove(seen[i])
                self._ended.append(seen[i])
            else:
                kept.append(i)

    def has_lost(self, index: int) -> bool:
        """Return whether a live track was not seen in the frame carried last."""
        return any(not track.frames or track.frames[-1] != index for track in self._live)

    def _end(self, seconds: float) -> None:
        lost = [track for track in self._live if seconds - track.seen_at > self._lost_after]
        self._live = [track for track in self._live if seconds - track.seen_at <= self._lost_after]
        self._ended += lost


def _forget_last(track: _Live) -> None:
    for column in track.columns:
        column.pop()


def _part(track: _Live, n: int) -> PersonTrack:
    frames, boxes, poses, worlds, scores = (column[:n] for column in track.columns)
    return PersonTrack(number=track.number, frames=frames, boxes_xyxy=boxes, pose_px=poses, scores=scores, world_m=worlds)


def _ends_in_doubt(track: _Live) -> bool:
    before, last = track.poses[-2:]
    area = np.prod(track.boxes[-2][2:] - track.boxes[-2][:2])[None]
    return bool(track.scores[-1] < _LEAST_SCORE and compute_oks(before[None], last[None], area)[0, 0] < _STOOD_STILL)


def _continues(track: _Live, box: NDArray[np.float32], pose_px: NDArray[np.float32], score: float) -> bool:
    """Whether a pose is the tracked person a moment later: same head, shoulders or most of the box; sure, or hardly moved."""
    near = compute_ious(box[None], track.box[None])[0, 0] >= _MOST_OF_BOX or share_parts(pose_px[None], track.pose[None])[0, 0]
    area = np.prod(np.maximum(track.box[2:] - track.box[:2], 0))[None]
    return bool(near and (score >= _LEAST_SCORE or compute_oks(track.pose[None], pose_px[None], area)[0, 0] >= _HARDLY_MOVED))
