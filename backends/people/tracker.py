"""Tracks of people: carried from frame to frame by their landmarks, joined with new detections by overlap.

Considered and not used: `trackers` (ByteTrack, OC-SORT). Those guess where a box goes between frames; here the landmark network
says where each body is in every frame, and only a detection every few seconds must be assigned: one linear assignment, by Jonker
and Volgenant (`lapx`: SciPy's takes half a second to import, and the first tubelets wait for it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from backends.people.base import Area, PersonTrack
from backends.people.body import (
    boxes_from_poses,
    compute_ious,
    compute_oks,
    find_heads,
    find_torsos,
    share_parts,
)
from backends.people.covers import Cover, cover_people
from backends.people.live import SURE, Live, continue_tracks
from backends.people.pose import Poses
from backends.people.regions import narrow_regions
from backends.people.search import find_doubles
from backends.people.still import Still
from backends.people.trace_back import trace_back

if TYPE_CHECKING:
    from backends.people.base import Look

__all__ = ["Tracker"]

_LEAST_IOU = 0.25
_STOOD_STILL = 0.85
_CHANCES = 3
"""After so many detections the share that has confirmed a track says something."""
_MANY_CHANCES, _HOPELESS = 10, 0.4
_UNCERTAIN = 3
"""How many of the last frames in which a live track was seen may still be taken back."""
_NEARER_HOME = 0.3
"""By how much more IoU with its home a body belongs to one of two tracks."""
_FORGOTTEN_AFTER, _SAME_PLACE = 30.0, 0.3
"""For so many seconds a place is kept for whoever was lost, and from this IoU on a detection is in it."""
_PATIENCE = 0.4
"""Seconds out of sight after which a detection has to look for somebody."""
_SOUGHT_FOR = 1.0
"""Seconds after which one has to look again."""
_RARER = 0.25
"""Who is out of sight is looked for by landmarks ever more rarely: each time a quarter later than the time since they were seen."""


class Tracker:
    """Keeps the tracks of one video by landmarks; see `backends.people.base.PersonTracker`.

    Args:
        width: of the frames, px.
        height: of the frames, px.
        lost_after: seconds for which somebody who is not seen any more is looked for; later, and up to half a minute, they are the
            same person only if a detection finds them in their own place: pupils have seats.
    """

    needs_every_frame: ClassVar[bool] = False

    def __init__(self, width: int, height: int, *, lost_after: float) -> None:
        self._size = (width, height)
        self._lost_after = lost_after
        self._live: list[Live] = []
        self._away: list[Live] = []
        self._ended: list[Live] = []
        self._looked: list[tuple[int, float]] = []
        self._still = Still()
        self._next = 0
        self.n_frames = 0
        self._now = 0

    def carry(self, index: int, seconds: float, look: Look, image_rgb: NDArray[np.uint8] | None = None) -> None:
        """Follow the tracks into the next frame; one whose pose is no person or has jumped away is not seen in it.

        A track that is not found where its landmarks point to is looked for once more by its upper body alone. Who was out of sight
        before, for up to half a minute, is looked for where they were, ever more rarely, and never takes another's body. Whoever
        has not moved since the last look, a moment ago, is where they were, in the same pose.

        Args:
            index: of the frame.
            seconds: of the frame.
            look: the landmark network on this frame: regions (N, 4), and who is to be painted over in each of them → poses.
            image_rgb: the frame (H, W, 3) uint8; None = everybody is looked at.
        """
        self.n_frames += 1
        self._now = index
        self._looked = [*((i, t) for i, t in self._looked if seconds - t <= self._lost_after), (index, seconds)]
        tracks = [track for track in [*self._live, *self._away] if seconds >= track.next_look]
        regions = self._regions(tracks)
        covers = self._cover(tracks, regions)
        still: NDArray[np.bool_] = np.zeros(len(tracks), bool)
        if image_rgb is not None:
            still = self._still.find(image_rgb, seconds, tracks, covers, regions[:, 2])
        astray = self._follow(index, seconds, tracks, _look_at_others(tracks, regions, covers, still, look))
        if image_rgb is not None:
            self._still.note(index)
        if astray:
            shoulders = find_torsos(np.stack([track.pose for track in astray]))[:, :2]
            narrow = narrow_regions(self._regions(astray), shoulders)
            astray = self._follow(index, seconds, astray, look(narrow, self._cover(astray, narrow)))
        for track in astray:
            track.next_look = seconds + _RARER * (seconds - track.seen_at)
        self._drop_doubles(index)
        self._end(seconds)

    def _follow(self, index: int, seconds: float, tracks: list[Live], poses: Poses) -> list[Live]:
        """See the tracks whose pose continues them; return the others."""
        boxes, good = continue_tracks(tracks, poses, self._size)
        before = self._looked[-2][0] if len(self._looked) > 1 else -1
        lost = np.array([not track.is_seen_in(before) for track in tracks], bool)
        for i in [*np.flatnonzero(good & ~lost), *np.flatnonzero(good & lost)]:
            good[i] = not (lost[i] and self._is_taken(index, boxes[i], poses.pose_px[i]))
            if good[i]:
                self._see(tracks[i], index, seconds, poses, boxes, int(i))
        return [track for track, is_good in zip(tracks, good, strict=True) if not is_good]

    def _is_taken(self, index: int, box: NDArray[np.float32], pose: NDArray[np.float32]) -> bool:
        """Whether somebody else has that body in this frame."""
        others = [track for track in self._live if track.is_seen_in(index)]
        boxes, poses = np.stack([*(track.box for track in others), box]), np.stack([*(track.pose for track in others), pose])
        return bool(find_doubles(boxes, poses)[-1, :-1].any())

    def join(self, index: int, seconds: float, found: Poses, area: Area | None = None) -> int:
        """Take a fresh detection: confirm the live tracks that it shows, bring lost and astray ones back, start new ones.

        Somebody who is detected where nobody is followed, but where a track was last confirmed, is that track's person, whose
        landmarks have meanwhile drifted to something else.

        Args:
            index: of the frame.
            seconds: of the frame.
            found: people detected, those known among them.
            area: where people were looked for; who is elsewhere had no chance to be confirmed. None = everywhere.

        Returns:
            How many were never seen before.
        """
        boxes = boxes_from_poses(found.pose_px, *self._size)
        there = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1)).tolist()
        for track in self._live:
            if area is None or _lies_in(area, track.box):
                track.n_chances += 1
                track.sought_at = seconds
        places = [(track, track.box, track.pose) for track in self._live]
        partner = self._pair(places, boxes, found.pose_px, there, least=_LEAST_IOU)
        others = [track for track in [*self._live, *self._away] if track not in partner.values()]
        places = [place for track in others for place in ((track, track.box, track.pose), (track, *track.home[:2]))]
        partner |= self._pair(places, boxes, found.pose_px, [i for i in there if i not in partner], least=_SAME_PLACE)
        n_before = self._next
        for i in there:
            track = self._confirm(partner[i], found, i) if i in partner else self._start(seconds, found, boxes, i)
            if track in others and track.is_seen_in(index):
                track.forget_last()
            if not track.is_seen_in(index):
                self._see(track, index, seconds, found, boxes, i)
            track.home = boxes[i], found.pose_px[i], found.regions[i]
        self._drop_doubles(index)
        for track in [track for track in self._live if track.n_chances >= _CHANCES]:
            track.best_share = track.share
            if track.n_chances >= _MANY_CHANCES and track.best_share < _HOPELESS:
                self._live.remove(track)
                self._ended.append(track)
        return self._next - n_before

    def trace_back(self, frames: Sequence[tuple[int, float, Look]]) -> None:
        """Follow whoever the last detection began back through the frames before; see `PersonTracker.trace_back`."""
        new = [track for track in self._live if track.n_seen == 1 and track.is_seen_in(self._now)]
        trace_back(new, [track for track in self._live if track not in new], frames, self._size)

    def settle(self, *, least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        """Return what is certain by now and was not returned before, and forget it: a part each of some tracks, in order of start.

        All parts of a track together are what `finish` alone would have returned, whenever and however often this is called. Of a
        live track that enough detections have confirmed, all but the last three frames are certain: also of one that has had less
        than three chances, if it were enough with the others missed.
        """
        parts = self._judge(self._ended, least_frames, least_confirmed)
        self._ended = []
        parts += [
            track.take(but=_UNCERTAIN)
            for track in [*self._live, *self._away]
            if _is_confirmed(track, least_confirmed) and track.n_seen >= least_frames + _UNCERTAIN and track.n_open > _UNCERTAIN
        ]
        return sorted(parts, key=lambda part: part.number)

    def finish(self, *, least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        """Return the tracks seen in enough frames and confirmed by enough of the detections in their life, in order of start.

        Whoever was lost is not seen in the last frame before if the pose there was unsure and not quite where it was: nothing
        after it confirms it. What `settle` has returned is left out.
        """
        return self._judge([*self._ended, *self._away, *self._live], least_frames, least_confirmed)

    def _judge(self, tracks: list[Live], least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        for track in tracks:
            if not track.is_seen_in(self._now) and _ends_in_doubt(track):
                track.forget_last()
        need = max(min(least_frames, self.n_frames), 1)
        kept = [track for track in tracks if track.frames and track.n_seen >= need and track.share >= least_confirmed]
        return [track.take() for track in sorted(kept, key=lambda track: track.number)]

    def _cover(self, tracks: list[Live], regions: NDArray[np.float64]) -> list[Cover]:
        """Return what to paint over in the regions (N, 4) of N tracks: everybody else who is in sight."""
        if not tracks:
            return []
        seen = [track.pose for track in self._live if track.next_look == -np.inf]
        return cover_people(find_heads(np.stack([t.pose for t in tracks])), regions, np.array(seen).reshape(-1, 33, 4))

    @staticmethod
    def _regions(tracks: list[Live]) -> NDArray[np.float64]:
        return np.array([track.region for track in tracks]).reshape(-1, 4)

    @staticmethod
    def _pair(
        places: list[tuple[Live, NDArray[np.float32], NDArray[np.float32]]],
        boxes: NDArray[np.float32],
        pose_px: NDArray[np.float32],
        rows: list[int],
        *,
        least: float,
    ) -> dict[int, Live]:
        """Return detection → track by places of tracks: by IoU of boxes, plus 1 where head or shoulders are the same."""
        from lap import lapjvx

        if not places or not rows:
            return {}
        tracks, own_boxes, own_poses = zip(*places, strict=True)
        likeness = compute_ious(np.stack(own_boxes), boxes[rows]) + share_parts(np.stack(own_poses), pose_px[rows])
        matched = lapjvx(-likeness.astype(np.float64), extend_cost=True, return_cost=False)
        pairs = sorted(zip(*matched, strict=True), key=lambda pair: -likeness[pair])
        partner: dict[int, Live] = {}
        for place, column in pairs:
            if likeness[place, column] >= least and tracks[place] not in partner.values():
                partner[rows[column]] = tracks[place]
        return partner

    def _confirm(self, track: Live, found: Poses, i: int) -> Live:
        if track in self._away:
            track.n_chances += 1
        track.n_confirmed += 1
        track.size = float(found.regions[i, 2])
        return track

    def _start(self, seconds: float, found: Poses, boxes: NDArray[np.float32], i: int) -> Live:
        track = Live(
            number=self._next,
            region=found.regions[i],
            box=boxes[i],
            pose=found.pose_px[i],
            seen_at=seconds,
            size=found.regions[i, 2],
            home=(boxes[i], found.pose_px[i], found.regions[i]),
        )
        self._next += 1
        self._live.append(track)
        return track

    def _see(self, track: Live, index: int, seconds: float, poses: Poses, boxes: NDArray[np.float32], i: int) -> None:
        if track in self._away:
            self._away.remove(track)
            self._live.append(track)
        track.see(index, seconds, boxes[i], poses, i, self._looked if seconds - track.seen_at <= self._lost_after else ())
        track.go_on(boxes[i], poses, i)

    def _drop_doubles(self, index: int) -> None:
        """Of two tracks on one body in this frame, one gives it back.

        If it is nearer to one's home, the other one has drifted there and is looked for at its own home; else the shorter one ends.
        """
        seen = [track for track in self._live if track.is_seen_in(index)]
        if len(seen) < 2:
            return
        same = find_doubles(np.stack([t.box for t in seen]), np.stack([t.pose for t in seen]))
        homes = compute_ious(np.stack([t.box for t in seen]), np.stack([t.home[0] for t in seen])).diagonal()
        kept: list[int] = []
        for i in sorted(range(len(seen)), key=lambda i: (-seen[i].n_seen, seen[i].number)):
            rivals = [j for j in kept if same[i, j]]
            at_home = [j for j in rivals if homes[j] >= homes[i] - _NEARER_HOME]
            for j in rivals if not at_home else []:
                kept.remove(j)
                seen[j].go_home()
            if at_home and max(homes[j] for j in at_home) > homes[i] + _NEARER_HOME:
                seen[i].go_home()
            elif at_home:
                seen[i].forget_last()
                self._live.remove(seen[i])
                self._ended.append(seen[i])
            else:
                kept.append(i)

    def list_lost(self, seconds: float) -> NDArray[np.float32]:
        """Return the boxes (N, 4) px of live tracks out of sight for a moment now and not sought just now, longest first."""
        lost = [t for t in self._live if seconds - t.seen_at >= _PATIENCE and seconds - t.sought_at >= _SOUGHT_FOR]
        return np.array([track.box for track in sorted(lost, key=lambda track: track.seen_at)], np.float32).reshape(-1, 4)

    def list_known(self, index: int) -> Poses:
        """Return the people seen for sure in this frame, their regions of the size that a detection last gave them."""
        sure = [track for track in self._live if track.is_seen_in(index) and track.scores[-1] >= SURE]
        if not sure:
            return Poses.empty()
        regions = self._regions(sure)
        regions[:, 2] = [track.size for track in sure]
        return Poses(
            pose_px=np.stack([track.pose for track in sure]),
            scores=np.array([track.scores[-1] for track in sure], np.float32),
            regions=regions,
            world_m=np.stack([track.worlds[-1] for track in sure]),
        )

    def find_covered(self) -> NDArray[np.float32]:
        """Return the boxes (N, 4) px in which somebody is followed, in sight or lost."""
        return np.array([track.box for track in self._live], np.float32).reshape(-1, 4)

    def _end(self, seconds: float) -> None:
        self._away += [track for track in self._live if seconds - track.seen_at > self._lost_after]
        self._live = [track for track in self._live if seconds - track.seen_at <= self._lost_after]
        self._ended += [track for track in self._away if seconds - track.seen_at > _FORGOTTEN_AFTER]
        self._away = [track for track in self._away if seconds - track.seen_at <= _FORGOTTEN_AFTER]


def _look_at_others(
    tracks: Sequence[Live], regions: NDArray[np.float64], covers: Sequence[Cover], still: NDArray[np.bool_], look: Look
) -> Poses:
    """Return the poses of N tracks in a frame, those that are `still` (N,) as they were; nobody is looked at for them."""
    rows, kept = np.flatnonzero(~still), [track for track, is_still in zip(tracks, still, strict=True) if is_still]
    poses = look(regions[rows], [covers[i] for i in rows])
    if not kept:
        return poses
    as_before = Poses(
        pose_px=np.stack([track.pose for track in kept]),
        scores=np.array([track.scores[-1] for track in kept], np.float32),
        regions=regions[still],
        world_m=np.stack([track.worlds[-1] for track in kept]),
    )
    return Poses.join([poses, as_before]).take(np.argsort(np.concatenate([rows, np.flatnonzero(still)])))


def _lies_in(area: Area, box_xyxy: NDArray[np.float32]) -> bool:
    """Whether the middle of a box (4,) lies in the area."""
    x, y = (box_xyxy[:2] + box_xyxy[2:]) / 2
    return bool(area[0] <= x <= area[2] and area[1] <= y <= area[3])


def _is_confirmed(track: Live, least: float) -> bool:
    """Whether the track's share will be `least` whatever comes."""
    return max(track.best_share, track.n_confirmed / max(track.n_chances, _CHANCES)) >= least


def _ends_in_doubt(track: Live) -> bool:
    rows = track.last_two()
    if rows is None:
        return False
    (before, last), box = (track.poses[row] for row in rows), track.boxes[rows[0]]
    alike = compute_oks(before[None], last[None], np.prod(box[2:] - box[:2])[None])[0, 0]
    return bool(track.scores[rows[1]] < SURE and alike < _STOOD_STILL)
