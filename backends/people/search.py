"""Of all places where a body may be, keep the people, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.people.base import Area, Detections
from backends.people.body import boxes_from_poses, compute_ious, compute_oks, share_inside, share_parts
from backends.people.places import Place
from backends.people.pose import Poses
from backends.people.regions import regions_from_boxes
from backends.people.second_look import DOUBT, STEEPEST, Finding, SecondLook
from backends.people.team import PoseTeam

__all__ = ["Search", "find_doubles"]

_SAME_BODY = 0.5
_SAME_BOX = 0.7
_SMALLER, _TINY = 0.6, 0.35
_MUCH_SURER = 0.15
_SURE, _SPECK = 0.55, 0.3
_SAME_SIZE = 1.67
_REFUSED = 0.05
"""Two places closer than this by their regions' side are one: half a face, as its region is ten faces high."""
_SOME_OF_BODY, _SAME_ALONE = 0.25, 0.3
"""A box that holds a quarter of a body with landmarks is that person, or the desk; two boxes of IoU 0.3 are one."""
_AHEAD = 1
"""So many more places are under way than there are networks: the next one is at hand when one is done."""


def find_doubles(boxes_xyxy: NDArray[Any], pose_px: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (N, N): whether two bodies are one: the same head or shoulders, similar keypoints (OKS), nearly the same box (IoU)."""
    areas = np.prod(np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0), axis=1)
    oks = compute_oks(pose_px, pose_px, areas)
    alike = (compute_ious(boxes_xyxy, boxes_xyxy) > _SAME_BOX) | (oks > _SAME_BODY) | share_parts(pose_px, pose_px)
    result: NDArray[np.bool_] = alike | alike.T
    return result


class Search:
    """The people found so far in one image, best place first; `try_places` looks at more places.

    Two networks must agree: the detector says where a body, a face or a box is, and the landmark network, which knows nothing of
    that, must find a person there who has it in the right place and in proportion. Cloth, furniture and parts of a large body do
    not pass, or lead to a person who is there already.

    Args:
        image_rgb: (H, W, 3) uint8.
        team: landmark networks.
        least: from this score of the landmark network on, in [0, 1], a body counts.
        known: people whose landmarks in this image are known. Who is seen again where they are is not looked at closer; who is not
            seen again is not among the result.
        area: the part of the image, left, top, right, bottom, in which finders need to look; None = all of it.
    """

    def __init__(
        self,
        image_rgb: NDArray[np.uint8],
        team: PoseTeam,
        *,
        least: float,
        known: Poses | None = None,
        area: Area | None = None,
    ) -> None:
        self.area = area
        self._team, self._second_look = team, SecondLook(image_rgb, least)
        self._height, self._width = image_rgb.shape[:2]
        self._poses = Poses.empty() if known is None else known
        self._boxes = boxes_from_poses(self._poses.pose_px, self._width, self._height)
        self._places: NDArray[np.float32] = np.zeros(len(self._poses.scores), np.float32)
        self._refused: list[NDArray[np.float64]] = []
        self._alone: list[tuple[float, NDArray[np.float64]]] = []

    @property
    def _seen(self) -> NDArray[np.bool_]:
        """Which (N,) of the people a detector has seen in this image; the others are known from before."""
        return self._places > 0

    def try_places(self, places: Sequence[Place]) -> list[bool]:
        """Look at places one after the other; return of each whether a new person was there.

        The team looks ahead of the place whose turn it is. What it finds counts unless somebody found in between would be painted
        over there: the people do not depend on the size of the team.
        """
        ahead: dict[int, Callable[[], Finding]] = {}
        coming = iter(enumerate(places))
        return [self._take(place, self._look_ahead(number, ahead, coming)) for number, place in enumerate(places)]

    def _look_ahead(
        self, number: int, ahead: dict[int, Callable[[], Finding]], coming: Iterator[tuple[int, Place]]
    ) -> Callable[[], Finding] | None:
        """Have the next places looked at that are not settled by now; return what waits for the one of this number, if it was."""
        most = self._team.size + _AHEAD if self._team.size > 1 else 0
        while len(ahead) < most and (upcoming := next(coming, None)):
            if upcoming[0] >= number and not self._is_settled(upcoming[1]):
                ahead[upcoming[0]] = self._begin(upcoming[1])
        return ahead.pop(number, None)

    def _begin(self, place: Place) -> Callable[[], Finding]:
        return self._team.begin(partial(self._second_look.find, place, self._poses.pose_px))

    def _is_settled(self, place: Place) -> bool:
        """Whether a place need not be looked at."""
        steep = abs(place.regions[0, 3]) > STEEPEST
        return bool(steep or self._find_again(place).any() or self._explains(place) or self._was_refused(place))

    def _take(self, place: Place, wait: Callable[[], Finding] | None) -> bool:
        """Take what is at a place; return whether that is a new person."""
        settled = self._is_settled(place)
        self._places[self._find_again(place)] = place.score
        if settled:
            return False
        finding = wait() if wait else None
        if finding is None or not finding.holds(place, self._poses.pose_px):
            finding = self._begin(place)()
        found = finding.body
        if found is None:
            self._refused.append(_describe(place))
            if place.box_alone is not None:
                self._alone.append((place.score, place.box_alone))
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
        """Return the people seen, best first; a score is the geometric mean of the detector's and the landmark network's.

        After them those of whom the detector alone is sure: a box, its score, and no landmarks (NaN).
        """
        seen = np.flatnonzero(self._seen)
        scores = np.sqrt(self._poses.scores[seen] * self._places[seen])
        best = np.argsort(-scores, kind="stable")
        poses = self._poses.take(seen[best])
        alone = self._list_alone()
        boxes = np.array([box for _, box in alone], np.float32).reshape(-1, 4)
        nothing = np.full((len(alone), *poses.pose_px.shape[1:]), np.nan, np.float32)
        return Detections(
            boxes_xyxy=np.concatenate([self._boxes[seen[best]], boxes]),
            scores=np.concatenate([scores[best], np.array([score for score, _ in alone])]),
            pose_px=np.concatenate([poses.pose_px, nothing]),
            regions=np.concatenate([poses.regions, regions_from_boxes(boxes)[1]]),
            world_m=np.concatenate([poses.world_m, nothing[..., :3]]),
        )

    def _list_alone(self) -> list[tuple[float, NDArray[np.float64]]]:
        """Return score and box (4,) of those of whom no landmarks are found, best first, each once, and nobody who has some."""
        kept: list[tuple[float, NDArray[np.float64]]] = []
        for score, box in sorted(self._alone, key=lambda one: -one[0]):
            known = share_inside(self._boxes, box[None])[:, 0].max(initial=0) >= _SOME_OF_BODY
            if not known and not any(compute_ious(box[None], other[None])[0, 0] >= _SAME_ALONE for _, other in kept):
                kept.append((score, box))
        return kept

    def _find_again(self, place: Place) -> NDArray[np.bool_]:
        """Return whom (N,) known the place shows: both networks together are sure of them, and they are as large as they were."""
        if self._seen.all() or abs(place.regions[0, 3]) > STEEPEST:
            return np.zeros(len(self._places), bool)
        ratio = place.regions[0, 2] / self._poses.regions[:, 2]
        again: NDArray[np.bool_] = (
            place.may_show(self._poses.pose_px, self._boxes) & (ratio < _SAME_SIZE) & (ratio > 1 / _SAME_SIZE)
        )
        again &= ~self._seen & (np.sqrt(place.score * self._poses.scores) >= place.least)
        return again

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
        smaller = ratio < (1.0 if place.score < DOUBT else _SMALLER)
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


def _describe(place: Place) -> NDArray[np.float64]:
    return np.array([*place.anchor, place.regions[0, 2], place.score])


def _lies_inside(point: NDArray[np.float64], pose_px: NDArray[np.float32]) -> bool:
    import cv2

    corners = pose_px[[11, 12, 24, 23], :2].astype(np.float32)
    return bool(cv2.pointPolygonTest(cv2.convexHull(corners), (float(point[0]), float(point[1])), measureDist=False) >= 0)
