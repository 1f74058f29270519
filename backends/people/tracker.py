"""Tracks of people: carried from frame to frame by their landmarks, joined with new detections by overlap.

Considered and not used: `trackers` (ByteTrack, OC-SORT). Those guess where a box goes between frames; here the landmark network says where
each body is in every frame, and only a detection every few seconds must be assigned, which is one Hungarian assignment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from backends.people.base import PersonTrack
from backends.people.body import boxes_from_poses, compute_ious, look_like_people, share_parts
from backends.people.pose import Poses
from backends.people.search import find_doubles

__all__ = ["Tracker"]

_LEAST_IOU = 0.25
_LEAST_SCORE = 0.5


@define(eq=False)
class _Live:
    """A person being followed: where to look next, what was last seen and when, and what was seen so far."""

    number: int
    region: NDArray[np.float64]
    box: NDArray[np.float32]
    pose: NDArray[np.float32]
    seen_at: float
    n_confirmed: int = 1
    n_chances: int = 1
    frames: list[int] = field(factory=list)
    boxes: list[NDArray[np.float32]] = field(factory=list)
    poses: list[NDArray[np.float32]] = field(factory=list)
    scores: list[float] = field(factory=list)


class Tracker:
    """Keeps the tracks of one video. Feed it every frame in order: first `carry`, then `join` where there is a detection."""

    def __init__(self, width: int, height: int, *, lost_after: float) -> None:
        self._size = (width, height)
        self._lost_after = lost_after
        self._live: list[_Live] = []
        self._ended: list[_Live] = []
        self._next = 0
        self.n_frames = 0

    def regions(self) -> NDArray[np.float64]:
        """Return where to look for the live tracks (N, 4)."""
        return np.array([track.region for track in self._live]).reshape(-1, 4)

    def carry(self, index: int, seconds: float, poses: Poses) -> None:
        """Take the poses found in `regions()` of this frame; a track whose pose is no person or jumped is not seen in it."""
        self.n_frames += 1
        boxes = boxes_from_poses(poses.pose_px, *self._size)
        good = (poses.scores >= _LEAST_SCORE) & look_like_people(poses.pose_px, *self._size)
        for i, track in enumerate(self._live):
            if good[i] and compute_ious(boxes[i : i + 1], track.box[None])[0, 0] >= _LEAST_IOU:
                self._see(track, index, seconds, poses, boxes, i)
        self._drop_doubles(index)
        self._end(seconds)

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
            if not track.frames or track.frames[-1] != index:
                self._see(track, index, seconds, found, boxes, i)
        self._drop_doubles(index)

    def finish(self, *, least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        """Return the tracks seen in enough frames and confirmed by enough of the detections in their life, in order of start."""
        need = min(least_frames, self.n_frames)
        kept = [
            track
            for track in sorted([*self._ended, *self._live], key=lambda t: t.number)
            if len(track.frames) >= max(need, 1) and track.n_confirmed >= least_confirmed * track.n_chances
        ]
        return [
            PersonTrack(frames=track.frames, boxes_xyxy=track.boxes, pose_px=track.poses, scores=track.scores) for track in kept
        ]

    def _compare(self, boxes: NDArray[np.float32], pose_px: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return likeness (tracks, detections): IoU of boxes, plus 1 where head or shoulders are the same."""
        if not self._live:
            return np.zeros((0, len(boxes)))
        own = np.stack([track.box for track in self._live])
        same = share_parts(np.stack([track.pose for track in self._live]), pose_px)
        result: NDArray[np.float64] = compute_ious(own, boxes) + same
        return result

    def _start(self, seconds: float, found: Poses, boxes: NDArray[np.float32], i: int) -> _Live:
        track = _Live(number=self._next, region=found.regions[i], box=boxes[i], pose=found.pose_px[i], seen_at=seconds)
        self._next += 1
        self._live.append(track)
        return track

    def _see(self, track: _Live, index: int, seconds: float, poses: Poses, boxes: NDArray[Any], i: int) -> None:
        if (boxes[i, 2:] <= boxes[i, :2]).any():
            return
        track.region, track.box, track.pose, track.seen_at = poses.regions[i], boxes[i], poses.pose_px[i], seconds
        track.frames.append(index)
        track.boxes.append(boxes[i])
        track.poses.append(poses.pose_px[i])
        track.scores.append(float(poses.scores[i]))

    def _drop_doubles(self, index: int) -> None:
        """Of two tracks on one body in this frame, the shorter one never was a person of its own from here on: take back and end it."""
        seen = [track for track in self._live if track.frames and track.frames[-1] == index]
        if len(seen) < 2:
            return
        same = find_doubles(np.stack([t.box for t in seen]), np.stack([t.pose for t in seen]))
        order = sorted(range(len(seen)), key=lambda i: (-len(seen[i].frames), seen[i].number))
        kept: list[int] = []
        for i in order:
            if any(same[i, j] for j in kept):
                for column in (seen[i].frames, seen[i].boxes, seen[i].poses, seen[i].scores):
                    column.pop()
                self._live.remove(seen[i])
                self._ended.append(seen[i])
            else:
                kept.append(i)

    def _end(self, seconds: float) -> None:
        lost = [track for track in self._live if seconds - track.seen_at > self._lost_after]
        self._live = [track for track in self._live if seconds - track.seen_at <= self._lost_after]
        self._ended += lost
