"""The second look: of all places where a body may be, keep the people, each once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.people.base import Detections
from backends.people.body import boxes_from_poses, compute_ious, compute_oks, look_like_people, share_parts
from backends.people.places import Place
from backends.people.pose import PoseEstimator, Poses

__all__ = ["Search", "find_doubles"]

_SAME_BODY = 0.5
_SAME_BOX = 0.7
_SMALLER, _TINY = 0.6, 0.35
_MUCH_SURER = 0.15
_SURE, _SPECK = 0.55, 0.3
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
    """

    def __init__(self, image_rgb: NDArray[np.uint8], estimator: PoseEstimator, *, least: float) -> None:
        self._image, self._estimator, self._least = image_rgb, estimator, least
        self._height, self._width = image_rgb.shape[:2]
        self._poses: list[Poses] = []
        self._places: list[float] = []
        self._refused: list[NDArray[np.float64]] = []

    def try_place(self, place: Place) -> bool:
        """Look at a place; return whether a new person was there."""
        if abs(place.regions[0, 3]) > _STEEPEST or self._explains(place) or self._was_refused(place):
            return False
        found = self._settle(place)
        if found is None:
            self._refused.append(_describe(place))
            return False
        if self._is_double(found) or self._is_speck(place, found):
            return False
        self._poses.append(found)
        self._places.append(place.score)
        return True

    def smallest(self) -> float:
        """Return the side of the smallest region of the people found, px (inf if nobody)."""
        return min((float(p.regions[0, 2]) for p in self._poses), default=np.inf)

    def result(self) -> Detections:
        """Return the people, best first; a score is the geometric mean of the detector's and the landmark network's."""
        if not self._poses:
            return Detections.empty()
        poses = self._stack()
        scores = np.sqrt(poses.scores * np.array(self._places, np.float32))
        order = np.argsort(-scores, kind="stable")
        pose_px = poses.pose_px[order]
        boxes = boxes_from_poses(pose_px, self._width, self._height)
        return Detections(
            boxes_xyxy=boxes, scores=scores[order], pose_px=pose_px, regions=poses.regions[order], world_m=poses.world_m[order]
        )

    def _stack(self) -> Poses:
        return Poses(
            pose_px=np.concatenate([p.pose_px for p in self._poses]),
            scores=np.concatenate([p.scores for p in self._poses]),
            regions=np.concatenate([p.regions for p in self._poses]),
            world_m=np.concatenate([p.world_m for p in self._poses]),
        )

    def _settle(self, place: Place) -> Poses | None:
        """Return the body at a place, or None: seen in one of its regions, or in the one that the landmarks there point to.

        The landmarks of a second look, in the region that the first ones point to, are closer; where it is still the same body.
        """
        for region in place.regions:
            first = self._estimator.estimate_regions(self._image, region[None])
            seen = self._is_at(place, first)
            if not seen and (first.scores[0] < self._least or abs(first.regions[0, 3]) > _STEEPEST):
                continue
            second = self._estimator.estimate_regions(self._image, first.regions)
            if self._is_at(place, second):
                return second
            if seen:
                return first
        return None

    def _is_at(self, place: Place, found: Poses) -> bool:
        """Whether a body is what the detector saw, in the frame and in proportion, and both networks are sure enough together."""
        if np.sqrt(place.score * found.scores[0]) < place.least:
            return False
        box = boxes_from_poses(found.pose_px, self._width, self._height)
        there = (box[:, 2:] > box[:, :2]).all()
        people = look_like_people(found.pose_px, found.regions, self._width, self._height)
        return bool(there and people[0] and place.agrees(found.pose_px[0], box[0]))

    def _is_double(self, found: Poses) -> bool:
        if not self._poses:
            return False
        pose = np.concatenate([self._stack().pose_px, found.pose_px])
        return bool(find_doubles(boxes_from_poses(pose, self._width, self._height), pose)[-1, :-1].any())

    def _is_speck(self, place: Place, found: Poses) -> bool:
        """Whether nobody is sure of a body that is far smaller than those that are sure: a pattern in the background."""
        pairs = np.sqrt([score * p.scores[0] for score, p in zip(self._places, self._poses, strict=True)])
        sizes = [p.regions[0, 2] for p, pair in zip(self._poses, pairs, strict=True) if pair >= _SURE]
        unsure = np.sqrt(place.score * found.scores[0]) < _SURE
        return bool(sizes and unsure and found.regions[0, 2] < _SPECK * np.median(sizes))

    def _explains(self, place: Place) -> bool:
        """Whether the place is a person found already, a smaller one on their torso, or a much smaller one anywhere on them."""
        if not self._poses:
            return False
        poses = self._stack()
        boxes = boxes_from_poses(poses.pose_px, self._width, self._height)
        ratio = place.regions[0, 2] / poses.regions[:, 2]
        on_torso = np.array([_lies_inside(place.anchor, pose) for pose in poses.pose_px])
        on_body = ((place.anchor >= boxes[:, :2]) & (place.anchor <= boxes[:, 2:])).all(axis=1)
        same = place.belongs_to(poses.pose_px, boxes)
        return bool((same | (on_torso & (ratio < _SMALLER)) | (on_body & (ratio < _TINY))).any())

    def _was_refused(self, place: Place) -> bool:
        """Whether nobody was there when a detector was as sure as now."""
        new = _describe(place)
        return any(
            np.linalg.norm(new[:2] - old[:2]) < 0.1 * min(new[2], old[2])
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
