"""The second look: of all places where a body may be, keep the people, each once."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.base import Detections
from backends.people.body import boxes_from_poses, compute_ious, compute_oks, find_heads, find_torsos, look_like_people, share_parts
from backends.people.pose import PoseEstimator, Poses
from backends.people.regions import narrow_regions, region_from_points

__all__ = ["Place", "Search", "find_doubles"]

_SAME_BODY = 0.5
_SAME_BOX = 0.7
_STEADY = 0.45
_MOST_LOOKS = 3
_HOPELESS = 0.02
_SURE_PLACE = 0.75
_SAME_PLACE = 0.35
_STEEPEST = np.deg2rad(80)


@frozen(kw_only=True, eq=False)
class Place:
    """Where the detector saw a body: middle of the hips, point on the circle around it, middle of the shoulders, all (2,) px."""

    score: float
    centre: NDArray[np.float64]
    edge: NDArray[np.float64]
    shoulders: NDArray[np.float64]

    @property
    def region(self) -> NDArray[np.float64]:
        """The region (1, 4) to look at."""
        return region_from_points(self.centre[None], self.edge[None])


def find_doubles(boxes_xyxy: NDArray[Any], pose_px: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (N, N): whether two bodies are one: the same head or shoulders, similar keypoints (OKS), nearly the same box (IoU)."""
    areas = np.prod(np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0), axis=1)
    oks = compute_oks(pose_px, pose_px, areas)
    alike = (compute_ious(boxes_xyxy, boxes_xyxy) > _SAME_BOX) | (oks > _SAME_BODY) | share_parts(pose_px, pose_px)
    result: NDArray[np.bool_] = alike | alike.T
    return result


class Search:
    """The people found so far in one image, best place first; `try_place` looks at one more place.

    A body is a fixed point of the landmark network: looked at again in the region that its own landmarks point to, it gives the
    same landmarks. Cloth, furniture and parts of a large body do not, or lead to a body that is there already.
    """

    def __init__(self, image_rgb: NDArray[np.uint8], estimator: PoseEstimator, *, least: float) -> None:
        self._image, self._estimator, self._least = image_rgb, estimator, least
        self._height, self._width = image_rgb.shape[:2]
        self._poses: list[Poses] = []
        self._places: list[float] = []
        self._refused: list[NDArray[np.float64]] = []

    def try_place(self, place: Place) -> bool:
        """Look at a place; return whether a new person was there."""
        if abs(place.region[0, 3]) > _STEEPEST or self._explains(place) or self._was_refused(place):
            return False
        found = self._settle(place)
        if found is None:
            self._refused.append(_describe(place))
            return False
        if self._is_double(found):
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
        """Return the body at a place, or None: steady under a second look, or what a sure detector said it would be."""
        narrow = narrow_regions(place.region, place.shoulders[None])
        last_try = None
        for region in (place.region, narrow):
            before = self._estimator.estimate_regions(self._image, region)
            for _ in range(_MOST_LOOKS - 1):
                if last_try is None and place.score >= _SURE_PLACE and self._is_at(place, before):
                    last_try = before
                if before.scores[0] < _HOPELESS or abs(before.regions[0, 3]) > _STEEPEST:
                    break
                now = self._estimator.estimate_regions(self._image, before.regions)
                if now.scores[0] >= self._least and self._is_steady(before, now) and self._is_at(place, now):
                    return now
                before = now
        return last_try

    def _is_steady(self, before: Poses, now: Poses) -> bool:
        box = boxes_from_poses(now.pose_px, self._width, self._height)
        area = np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1)
        return bool(compute_oks(now.pose_px, before.pose_px, area)[0, 0] >= _STEADY)

    def _is_at(self, place: Place, found: Poses) -> bool:
        """Whether a body's shoulders are where the detector saw them, and the body is in proportion."""
        torso = find_torsos(found.pose_px)[0]
        near = np.linalg.norm(torso[:2] - place.shoulders) < _SAME_PLACE * torso[2]
        box = boxes_from_poses(found.pose_px, self._width, self._height)
        there = (box[:, 2:] > box[:, :2]).all()
        return bool(near and there and look_like_people(found.pose_px, found.regions, self._width, self._height)[0])

    def _is_double(self, found: Poses) -> bool:
        if not self._poses:
            return False
        pose = np.concatenate([self._stack().pose_px, found.pose_px])
        return bool(find_doubles(boxes_from_poses(pose, self._width, self._height), pose)[-1, :-1].any())

    def _explains(self, place: Place) -> bool:
        """Whether a person found already has their shoulders there, or has the (smaller) place on their own torso."""
        if not self._poses:
            return False
        poses = self._stack()
        torsos, heads = find_torsos(poses.pose_px), find_heads(poses.pose_px)
        shared = np.linalg.norm(torsos[:, :2] - place.shoulders, axis=1) < 0.6 * heads[:, 2]
        smaller = place.region[0, 2] < 0.6 * poses.regions[:, 2]
        on_torso = np.array([_lies_inside(place.shoulders, pose) for pose in poses.pose_px])
        return bool((shared | (smaller & on_torso)).any())

    def _was_refused(self, place: Place) -> bool:
        new = _describe(place)
        return any(
            np.linalg.norm(new[:2] - old[:2]) < 0.1 * min(new[2], old[2]) and 0.7 < new[2] / old[2] < 1.4 for old in self._refused
        )


def _describe(place: Place) -> NDArray[np.float64]:
    return np.array([*place.shoulders, place.region[0, 2]])


def _lies_inside(point: NDArray[np.float64], pose_px: NDArray[np.float32]) -> bool:
    import cv2

    corners = pose_px[[11, 12, 24, 23], :2].astype(np.float32)
    return bool(cv2.pointPolygonTest(cv2.convexHull(corners), (float(point[0]), float(point[1])), measureDist=False) >= 0)
