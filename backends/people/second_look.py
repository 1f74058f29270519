"""The second look at one place: is a body there, to the landmark network, which knows nothing of what the detector saw?"""

from __future__ import annotations

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from backends.people.body import boxes_from_poses, find_heads, find_torsos, look_like_people
from backends.people.covers import Cover, cover_people
from backends.people.places import Place
from backends.people.pose import PoseEstimator, Poses

__all__ = ["DOUBT", "STEEPEST", "Finding", "SecondLook"]

DOUBT, _STAYS = 0.25, 0.3
"""A detector in doubt: its score; and how far the shoulders may move from one look to the next, by the diameter of the head."""
_CERTAIN = 0.8
"""Score of the landmark network, in two looks that show the same, from which on it need not be quite where it was seen."""
STEEPEST = np.deg2rad(80)
"""Nobody leans further, in radians."""


@frozen(eq=False)
class Finding:
    """What was at a place: a body, or None; and the regions (4,) looked at for that, each with what was painted over there."""

    body: Poses | None
    looks: list[tuple[NDArray[np.float64], Cover | None]] = field(factory=list)

    def holds(self, place: Place, known_px: NDArray[np.float32]) -> bool:
        """Return whether it would be the same with these poses (N, 33, 4) known: they are painted over in the same way."""
        return all(_covers_alike(cover, _cover_others(place, region, known_px)) for region, cover in self.looks)


@frozen
class SecondLook:
    """Looks at places of one image, by itself: what it finds depends on its arguments only.

    Args:
        image_rgb: (H, W, 3) uint8.
        least: from this score of the landmark network on, in [0, 1], a body counts.
    """

    image_rgb: NDArray[np.uint8]
    least: float

    def find(self, place: Place, known_px: NDArray[np.float32], estimator: PoseEstimator) -> Finding:
        """Return the body at a place: seen in one of its regions, or in the one that the landmarks there point to.

        The landmarks of a second look, in the region that the first ones point to, are closer; where it is still the same body.
        Where the detector was in doubt, two looks must show the same: what they see in a pattern changes with the region; and there
        is no second region where the first shows nothing, since nineteen of twenty people are seen in it.

        Args:
            place: where to look.
            known_px: poses (N, 33, 4) of people who are known, to be painted over.
            estimator: the landmark network.
        """
        in_doubt = place.score < DOUBT
        finding = Finding(None)
        shown: list[Poses] = []
        for number, region in enumerate(place.regions):
            if in_doubt and number and not shown:
                break
            first = self._look(place, region, known_px, estimator, finding)
            at, certain = self._is_at(place, first), self._is_certain(place, first)
            if not (at or certain) and (in_doubt or first.scores[0] < self.least or abs(first.regions[0, 3]) > STEEPEST):
                continue
            second = self._look(place, first.regions[0], known_px, estimator, finding)
            shown += [look for look, there in ((first, at), (second, self._is_at(place, second))) if there]
            if shown and (not in_doubt or any(_stays(look, shown[-1]) for look in shown[:-1])):
                return Finding(shown[-1], finding.looks)
            if certain and self._is_certain(place, second) and _stays(first, second):
                return Finding(second, finding.looks)
        return finding

    def _look(
        self, place: Place, region: NDArray[np.float64], known_px: NDArray[np.float32], estimator: PoseEstimator, finding: Finding
    ) -> Poses:
        """Return the pose in a region (4,), all other people that are known or were seen by the detector painted over."""
        cover = _cover_others(place, region, known_px)
        finding.looks.append((region, cover))
        return estimator.estimate_regions(self.image_rgb, region[None], None if cover is None else [cover])

    def _is_at(self, place: Place, found: Poses) -> bool:
        """Whether a body is what the detector saw, in the frame and in proportion, and both networks are sure enough together."""
        if np.sqrt(place.score * found.scores[0]) < place.least:
            return False
        size = self.image_rgb.shape[1], self.image_rgb.shape[0]
        box = boxes_from_poses(found.pose_px, *size)
        there = (box[:, 2:] > box[:, :2]).all()
        people = look_like_people(found.pose_px, found.regions, *size)
        return bool(there and people[0] and place.agrees(found.pose_px[0], box[0]))

    def _is_certain(self, place: Place, found: Poses) -> bool:
        """Whether the landmark network alone is certain of a body whose place it may be, though not quite where it was seen."""
        if found.scores[0] < _CERTAIN or abs(found.regions[0, 3]) > STEEPEST:
            return False
        size = self.image_rgb.shape[1], self.image_rgb.shape[0]
        box = boxes_from_poses(found.pose_px, *size)
        people = look_like_people(found.pose_px, found.regions, *size)
        return bool(people[0] and (box[:, 2:] > box[:, :2]).all() and place.belongs_to(found.pose_px, box)[0])


def _cover_others(place: Place, region: NDArray[np.float64], known_px: NDArray[np.float32]) -> Cover | None:
    """Return what is painted over in a region (4,); None where it is not known whose head is the place's own."""
    return None if place.head is None else cover_people(place.head[None], region[None], known_px, place.others)[0]


def _covers_alike(first: Cover | None, second: Cover | None) -> bool:
    """Whether the same is painted over, in the same order or not: all of it in one colour."""
    if first is None or second is None:
        return first is second
    return sorted(p.tobytes() for p in first.polygons) == sorted(p.tobytes() for p in second.polygons)


def _stays(first: Poses, second: Poses) -> bool:
    """Whether the shoulders of one person are in the same place in two looks."""
    apart = np.linalg.norm(find_torsos(first.pose_px)[0, :2] - find_torsos(second.pose_px)[0, :2])
    return bool(apart < _STAYS * find_heads(second.pose_px)[0, 2])
