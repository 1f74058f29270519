"""Whose region is it: the tubelets of a window, and people whom annotators have drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from curation.labelstudio.tasks import TaskPlan
from curation.tubelets import box_at
from schemas.checks import compute_id
from schemas.labelstudio import Person
from schemas.records import PoseTrack, Tubelet

__all__ = ["Matcher", "compute_overlaps"]

_SAME = 0.5
"""Intersection over union from which two boxes are the same person."""


class Matcher:
    """Assigns regions of one task to tubelets. People who are new are collected in `tracks` and `tubelets`."""

    def __init__(self, plan: TaskPlan, tracks: Mapping[str, PoseTrack]) -> None:
        self.plan = plan
        self.known = {tubelet.id: tubelet for tubelet in plan.tubelets}
        self.boxes = {t.id: tuple(box_at(tracks[t.track_id], plan.frame).tolist()) for t in plan.tubelets if t.track_id in tracks}
        self.tracks: list[PoseTrack] = []
        self.tubelets: list[Tubelet] = []

    def match(self, people: Sequence[Person]) -> Iterator[tuple[Person, Tubelet | None]]:
        """Yield each person of one annotation with the tubelet; None if there is a skeleton or a choice without any box."""
        taken = {person.id for person in people if person.id in self.known}
        for person in people:
            if person.id in self.known:
                yield person, self.known[person.id]
            elif person.box_xyxy is None:
                yield person, None
            else:
                tubelet = self._find_drawn(person) or self._find(person, taken) or self._draw(person)
                taken.add(tubelet.id)
                yield person, tubelet

    def _find(self, person: Person, taken: set[str]) -> Tubelet | None:
        free = [name for name in self.boxes if name not in taken]
        if not free or person.box_xyxy is None:
            return None
        overlaps = compute_overlaps(person.box_xyxy, [self.boxes[name] for name in free])
        best = int(np.argmax(overlaps))
        return self.known[free[best]] if overlaps[best] >= _SAME else None

    def _find_drawn(self, person: Person) -> Tubelet | None:
        plan = self.plan
        return self.known.get(Tubelet.of(self._name_track(person), plan.clip.id, plan.first, plan.last).id)

    def _name_track(self, person: Person) -> str:
        return compute_id("trk", self.plan.clip.id, self.plan.frame, "annotator", person.id)

    def _draw(self, person: Person) -> Tubelet:
        """Add a person of one frame. The id comes from the region, so that moving the box later does not make another person."""
        plan = self.plan
        pose = np.full((33, 4), np.nan, np.float32) if person.pose_px is None else person.pose_px
        track = PoseTrack(
            id=self._name_track(person),
            clip_id=plan.clip.id,
            frames=[plan.frame],
            boxes_xyxy=[person.box_xyxy],
            pose_px=pose[None],
        )
        tubelet = Tubelet.of(track.id, plan.clip.id, plan.first, plan.last)
        self.tracks.append(track)
        self.tubelets.append(tubelet)
        self.known[tubelet.id] = tubelet
        self.boxes[tubelet.id] = tuple(float(v) for v in person.box_xyxy or ())
        return tubelet


def compute_overlaps(
    box_xyxy: Sequence[float], others_xyxy: Sequence[Sequence[float]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the intersection over union of one box with N others, (N,) in [0, 1]."""
    box, others = np.asarray(box_xyxy, float), np.asarray(others_xyxy, float).reshape(-1, 4)
    sides = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None)
    inner = sides.prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - inner
    result: np.ndarray[tuple[int], np.dtype[np.float64]] = inner / np.maximum(union, 1e-12)
    return result
