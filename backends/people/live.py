"""Somebody who is being followed: where to look next, and whether a pose found there is still theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import define, evolve
from numpy.typing import NDArray

from backends.people.body import boxes_from_poses, compute_ious, compute_oks, look_like_people, share_parts
from backends.people.pose import Poses
from backends.people.trail import Trail

__all__ = ["SURE", "Live", "continue_tracks"]

SURE, _HOPELESS = 0.5, 0.02
"""Scores. From the first on the landmark network is sure that a body is there; under the second it is sure that there is none."""
_MOST_OF_BOX = 0.5
_HARDLY_MOVED = 0.6
_MUCH_LIKER = 0.2
"""In IoU of boxes plus OKS of poses."""
_LEAST_SIZE, _MOST_SIZE = 1.0, 1.5
"""How far the region of a carried body may shrink or grow from its detection: with hidden legs it creeps smaller by itself.

Chosen among seven settings on two rendered clips.
"""


@define(eq=False, kw_only=True)
class Live(Trail):
    """A person being followed: where to look next, what was last seen, and home: box, pose and region last confirmed."""

    region: NDArray[np.float64]
    box: NDArray[np.float32]
    pose: NDArray[np.float32]
    size: float
    home: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]
    n_confirmed: int = 1
    n_chances: int = 1
    best_share: float = 0.0
    sought_at: float = -np.inf
    next_look: float = -np.inf

    @property
    def share(self) -> float:
        """Which share of the detections in its life have confirmed it; once there were a few, the best that it ever was."""
        return max(self.best_share, self.n_confirmed / self.n_chances)

    def go_on(self, box: NDArray[np.float32], poses: Poses, row: int) -> None:
        """Look for the person next where the row of `poses`, with its box (4,) px, points to."""
        self.region, self.box, self.pose = poses.regions[row].copy(), box, poses.pose_px[row]
        self.sought_at, self.next_look = -np.inf, -np.inf
        self.region[2] = np.clip(self.region[2], _LEAST_SIZE * self.size, _MOST_SIZE * self.size)

    def begin_shadow(self) -> Live:
        """Return somebody in the same place of whom nothing is kept, to be followed elsewhere."""
        return evolve(self, frames=[], boxes=[], poses=[], worlds=[], scores=[], filled=[])

    def go_home(self) -> None:
        """Take back the last frame, and look next where a detection last confirmed it."""
        self.forget_last()
        self.box, self.pose, self.region = self.home[0], self.home[1], self.home[2].copy()


def continue_tracks(tracks: Sequence[Live], poses: Poses, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return boxes (N, 4) px of poses, and (N,): is each its track's person a moment later, in a frame of this width and height.

    They are people, with the same head, shoulders or box; sure, or hardly moved; and not somebody else, whom they are much liker.
    """
    boxes = boxes_from_poses(poses.pose_px, *size)
    if not tracks:
        return boxes, np.zeros(0, bool)
    own_boxes, own_poses = np.stack([track.box for track in tracks]), np.stack([track.pose for track in tracks])
    areas = np.prod(np.maximum(own_boxes[:, 2:] - own_boxes[:, :2], 0), axis=1)
    overlap, alike = compute_ious(boxes, own_boxes), compute_oks(own_poses, poses.pose_px, areas).T
    near = (overlap >= _MOST_OF_BOX) | share_parts(poses.pose_px, own_poses)
    still, likeness = alike >= _HARDLY_MOVED, overlap + alike
    near &= likeness >= likeness.max(axis=1, keepdims=True) - _MUCH_LIKER
    sure, possible = poses.scores >= SURE, poses.scores >= _HOPELESS
    good = look_like_people(poses.pose_px, poses.regions, *size) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes, good & near.diagonal() & (sure | (possible & still.diagonal()))
