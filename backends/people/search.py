"""The second look: of all places where a body may be, keep the people, each once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.people.base import Area, Detections
from backends.people.body import (
    boxes_from_poses,
    compute_ious,
    compute_oks,
    find_heads,
    find_torsos,
    look_like_people,
    share_parts,
)
from backends.people.covers import cover_people
from backends.people.places import Place
from backends.people.pose import PoseEstimator, Poses

__all__ = ["Search", "find_doubles"]

_SAME_BODY = 0.5
_SAME_BOX = 0.7
_SMALLER, _TINY = 0.6, 0.35
_MUCH_SURER = 0.15
_SURE, _SPECK = 0.55, 0.3
_SAME_SIZE = 1.67
_DOUBT, _STAYS = 0.25, 0.3
"""A detector in doubt: its score; and how far the shoulders may move from one look to the next, by the diameter of the head."""
_CERTAIN = 0.8
"""Score of the landmark network, in two looks that show the same, from which on it need not be quite where it was seen."""
_REFUSED = 0.05
"""Two places closer than this by their regions' side are one: half a face, as its region is ten faces high."""
_STEEPEST = np.deg2rad(80)


def find_doubles(boxes_xyxy: NDArray[Any], pose_px: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (N, N): whether two bodies are one: the same head or shoulders, similar keypoints (OKS), nearly the same box (IoU)."""
    areas = np.prod(np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0), axis=1)
    oks = compute_oks(pose_px, pose_px, areas)
    alike = (compute_ious(boxes_xyxy, boxes_xyxy) > _SAME_BOX) | (oks > _SAME_BODY) | share_parts(pose_px, pose_px)
    result: NDArray[np.bool_] = alike | alike.T
    return result


class Search:
    """The people found so far in one image, best place first; `try_place` looks at one more place.

    Two networks must agree: the detector says where a body, a face or a box is, and the landmark network, which knows nothing of
    that, must find a person there who has it in the right place and in proportion. Cloth, furniture and parts of a large body do
    not pass, or lead to a person who is there already.

    Args:
        image_rgb: (H, W, 3) uint8.
        estimator: the landmark network.
        least: from this score of the landmark network on, in [0, 1], a body counts.
        known: people whose landmarks in this image are known. Who is seen again where they are is not looked at closer; who is not
            seen again is not among the result.
        area: the part of the image, left, top, right, bottom, in which finders need to look; None = all of it.
    """

    def __init__(
        self,
        image_rgb: NDArray[np.uint8],
        estimator: PoseEstimator,
        *,
        least: float,
        known: Poses | None = None,
        area: Area | None = None,
    ) -> None:
        self.area = area
        self._image, self._estimator, self._least = image_rgb, estimator, least
        self._height, self._width = image_rgb.shape[:2]
        self._poses = Poses.empty() if known is None else known
        self._boxes = boxes_from_poses(self._poses.pose_px, self._width, self._height)
        self._places: NDArray[np.float32] = np.zeros(len(self._poses.scores), np.float32)
        self._refused: list[NDArray[np.float64]] = []

    @property
    def _seen(self) -> NDArray[np.bool_]:
        """Which (N,) of the people a detector has seen in this image; the others are known from before."""
        return self._places > 0

    def try_place(self, place: Place) -> bool:
        """Look at a place; return whether a new person was there."""
        if abs(place.regions[0, 3]) > _STEEPEST or self._sees_again(place) or self._explains(place) or self._was_refused(place):
            return False
        found = self._settle(place)
        if found is None:
            self._refused.append(_describe(place))
            return False
        doubles = self._find_doubles(found)
        self._places[doubles & ~self._seen] = place.score
        if doubles.any() or self._is_speck(place, found):
            return False
        self._poses = Poses.join([self._poses, found])
        self._boxes = np.concatenate([self._boxes, boxes_from_poses(found.pose_px, self._width, self._height)])
        self._places = np.append(self._places, np.float32(place.score))
        return True

    def smallest(self) -> float:
        """Return the side of the smallest region of the people found or known, px (inf if nobody)."""
        return float(self._poses.regions[:, 2].min(initial=np.inf))

    def count_seen(self) -> int:
        """Return how many people a detector has seen in this image."""
        return int(self._seen.sum())

    def result(self) -> Detections:
        """Return the people seen, best first; a score is the geometric mean of the detector's and the landmark network's."""
        seen = np.flatnonzero(self._seen)
        scores = np.sqrt(self._poses.scores[seen] * self._places[seen])
        best = np.argsort(-scores, kind="stable")
        poses = self._poses.take(seen[best])
        return Detections(
            boxes_xyxy=self._boxes[seen[best]],
            scores=scores[best],
            pose_px=poses.pose_px,
            regions=poses.regions,
            world_m=poses.world_m,
        )

    def _sees_again(self, place: Place) -> bool:
        """Whether the place shows somebody known, both networks together are sure of them, and they are as large as they were."""
        if self._seen.all():
            return False
        ratio = place.regions[0, 2] / self._poses.regions[:, 2]
        again = place.may_show(self._poses.pose_px, self._boxes) & (ratio < _SAME_SIZE) & (ratio > 1 / _SAME_SIZE)
        again &= ~self._seen & (np.sqrt(place.score * self._poses.scores) >= place.least)
        self._places[again] = place.score
        return bool(again.any())

    def _settle(self, place: Place) -> Poses | None:
        """Return the body at a place, or None: seen in one of its regions, or in the one that the landmarks there point to.

        The landmarks of a second look, in the region that the first ones point to, are closer; where it is still the same body.
        Where the detector was in doubt, two looks must show the same: what they see in a pattern changes with the region; and there
        is no second region where the first shows nothing, since nineteen of twenty people are seen in it.
        """
        in_doubt = place.score < _DOUBT
        shown: list[Poses] = []
        for number, region in enumerate(place.regions):
            if in_doubt and number and not shown:
                break
            first = self._look(place, region)
            at, certain = self._is_at(place, first), self._is_certain(place, first)
            if not (at or certain) and (in_doubt or first.scores[0] < self._least or abs(first.regions[0, 3]) > _STEEPEST):
                continue
            second = self._look(place, first.regions[0])
            shown += [look for look, there in ((first, at), (second, self._is_at(place, second))) if there]
            if shown and (not in_doubt or any(_stays(look, shown[-1]) for look in shown[:-1])):
                return shown[-1]
            if certain and self._is_certain(place, second) and _stays(first, second):
                return second
        return None

    def _look(self, place: Place, region: NDArray[np.float64]) -> Poses:
        """Return the pose in a region (4,), all other people that are known or were seen by the detector painted over."""
        covers = None
        if place.head is not None:
            covers = cover_people(place.head[None], region[None], self._poses.pose_px, place.others)
        return self._estimator.estimate_regions(self._image, region[None], covers)

    def _is_at(self, place: Place, found: Poses) -> bool:
        """Whether a body is what the detector saw, in the frame and in proportion, and both networks are sure enough together."""
        if np.sqrt(place.score * found.scores[0]) < place.least:
            return False
        box = boxes_from_poses(found.pose_px, self._width, self._height)
        there = (box[:, 2:] > box[:, :2]).all()
        people = look_like_people(found.pose_px, found.regions, self._width, self._height)
        return bool(there and people[0] and place.agrees(found.pose_px[0], box[0]))

    def _is_certain(self, place: Place, found: Poses) -> bool:
        """Whether the landmark network alone is certain of a body whose place it may be, though not quite where it was seen."""
        if found.scores[0] < _CERTAIN or abs(found.regions[0, 3]) > _STEEPEST:
            return False
        box = boxes_from_poses(found.pose_px, self._width, self._height)
        people = look_like_people(found.pose_px, found.regions, self._width, self._height)
        return bool(people[0] and (box[:, 2:] > box[:, :2]).all() and place.belongs_to(found.pose_px, box)[0])

    def _find_doubles(self, found: Poses) -> NDArray[np.bool_]:
        """Return (N,): which of the people is the one found."""
        pose = np.concatenate([self._poses.pose_px, found.pose_px])
        boxes = np.concatenate([self._boxes, boxes_from_poses(found.pose_px, self._width, self._height)])
        return find_doubles(boxes, pose)[-1, :-1]

    def _is_speck(self, place: Place, found: Poses) -> bool:
        """Whether nobody is sure of a body that is far smaller than those that are sure: a pattern in the background."""
        sizes = self._poses.regions[np.sqrt(self._places * self._poses.scores) >= _SURE, 2]
        unsure = np.sqrt(place.score * found.scores[0]) < _SURE
        return bool(len(sizes) and unsure and found.regions[0, 2] < _SPECK * np.median(sizes))

    def _explains(self, place: Place) -> bool:
        """Whether the place is a person seen already, a smaller one on their torso, or a much smaller one anywhere on them.

        Whoever sits in front of somebody is nearer and so no smaller; where the detector is in doubt, that counts.
        """
        seen = self._seen
        poses, boxes = self._poses.pose_px[seen], self._boxes[seen]
        ratio = place.regions[0, 2] / self._poses.regions[seen, 2]
        on_body = ((place.anchor >= boxes[:, :2]) & (place.anchor <= boxes[:, 2:])).all(axis=1)
        if (place.belongs_to(poses, boxes) | (on_body & (ratio < _TINY))).any():
            return True
        smaller = ratio < (1.0 if place.score < _DOUBT else _SMALLER)
        return any(_lies_inside(place.anchor, pose) for pose in poses[smaller])

    def _was_refused(self, place: Place) -> bool:
        """Whether nobody was there when a detector was as sure as now."""
        new = _describe(place)
        return any(
            np.linalg.norm(new[:2] - old[:2]) < _REFUSED * min(new[2], old[2])
            and 0.7 < new[2] / old[2] < 1.4
            and new[3] < old[3] + _MUCH_SURER
            for old in self._refused
        )


def _stays(first: Poses, second: Poses) -> bool:
    """Whether the shoulders of one person are in the same place in two looks."""
    apart = np.linalg.norm(find_torsos(first.pose_px)[0, :2] - find_torsos(second.pose_px)[0, :2])
    return bool(apart < _STAYS * find_heads(second.pose_px)[0, 2])


def _describe(place: Place) -> NDArray[np.float64]:
    return np.array([*place.anchor, place.regions[0, 2], place.score])


def _lies_inside(point: NDArray[np.float64], pose_px: NDArray[np.float32]) -> bool:
    import cv2

    corners = pose_px[[11, 12, 24, 23], :2].astype(np.float32)
    return bool(cv2.pointPolygonTest(cv2.convexHull(corners), (float(point[0]), float(point[1])), measureDist=False) >= 0)
