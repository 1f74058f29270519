"""Places: where somebody may be, as a detector of bodies, faces or boxes says it, and whether a pose found there is theirs."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from backends.people.body import compute_ious, find_heads, find_torsos
from backends.people.regions import narrow_regions, region_from_points, regions_from_boxes, regions_from_faces

__all__ = ["BodyPlace", "BoxPlace", "FacePlace", "PersonPlace", "Place"]

_SAME_PLACE = 0.35
_SAME_FACE = 0.6
_LEAST_FACE, _MOST_FACE = 0.65, 2.6
"""Size of a head by that of its face box; usually 1.1 to 1.5."""
_LEAST_FIT = 0.4
_LEAST_BODY = 0.45
_TALLEST_HEAD = 0.6
_SAME_BOX = 0.7
_HEAD_BY_FACE = 1.25
"""Diameter of a head by the side of its face box."""
_LEAST_SEEN = 0.6
"""Score of the landmark network from which on somebody is in a box that may also hold a part of them, or furniture."""
_HEAD_BY_WIDTH, _HEAD_BY_HEIGHT = 0.42, 0.3
_OVERLAPS, _NEARLY_SAME, _LEAST_FIT_CUT = 0.25, 0.6, 0.5
"""IoU from which on a body whose head is in place has the box, one whose head is not, and one in a box cut by the frame's edge."""
Array = NDArray[np.float64]


def _nobody() -> Array:
    return np.zeros((0, 3))


class Place(Protocol):
    """Where a detector saw somebody: how sure it is, in [0, 1]; where to look, (K, 4) regions, likeliest first."""

    @property
    def score(self) -> float:
        """How sure the detector is, in [0, 1]."""
        ...

    @property
    def least(self) -> float:
        """From which geometric mean of detector and landmark network on somebody is there, in [0, 1]."""
        ...

    @property
    def regions(self) -> Array:
        """Where to look: (K, 4), likeliest first."""
        ...

    @property
    def anchor(self) -> Array:
        """The point (2,) px of the body that the detector is surest of."""
        ...

    @property
    def head(self) -> Array | None:
        """The head (3,) = x, y, diameter in px; None if the place does not say where it is."""
        ...

    @property
    def others(self) -> Array:
        """Heads (K, 3) of other people that the detector has seen."""
        ...

    @property
    def box_alone(self) -> Array | None:
        """The box (4,) px of a person that the detector is sure of even if no landmarks are found; None if it is not."""
        ...

    def agrees(self, pose_px: NDArray[Any], box_xyxy: NDArray[Any]) -> bool:
        """Whether a pose (33, 4) with its box (4,) is what the detector saw."""
        ...

    def belongs_to(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """Return (N,): which of the people found, poses (N, 33, 4) and boxes (N, 4), are this one for certain."""
        ...

    def may_show(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """Return (N,): whom of the people followed, poses (N, 33, 4) and boxes (N, 4), this place is enough to see again."""
        ...


@frozen(kw_only=True, eq=False)
class BodyPlace:
    """A body: middle of the hips, point on the circle around it, middle of the shoulders, all (2,) px."""

    box_alone: ClassVar[None] = None
    least: ClassVar[float] = 0.5
    score: float
    centre: Array
    edge: Array
    shoulders: Array
    others: Array = field(factory=_nobody)

    @property
    def regions(self) -> Array:
        """The whole body, and its upper half alone."""
        whole = region_from_points(self.centre[None], self.edge[None])
        return np.concatenate([whole, narrow_regions(whole, self.shoulders[None])])

    @property
    def anchor(self) -> Array:
        """The middle of the shoulders."""
        return self.shoulders

    @property
    def head(self) -> None:
        """Not known: a body that is none often has its head on another's chest."""
        return

    def agrees(self, pose_px: NDArray[Any], box_xyxy: NDArray[Any]) -> bool:
        """The shoulders are where they were seen."""
        torso = find_torsos(pose_px[None])[0]
        return bool(np.linalg.norm(torso[:2] - self.shoulders) < _SAME_PLACE * torso[2])

    def belongs_to(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """The shoulders are theirs."""
        torsos, heads = find_torsos(pose_px), find_heads(pose_px)
        same: NDArray[np.bool_] = np.linalg.norm(torsos[:, :2] - self.shoulders, axis=1) < 0.6 * heads[:, 2]
        return same

    def may_show(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """Whose it is for certain."""
        return self.belongs_to(pose_px, boxes_xyxy)


@frozen(kw_only=True, eq=False)
class FacePlace:
    """A face: its box (4,) px and the tip of its nose (2,) px."""

    box_alone: ClassVar[None] = None
    least: ClassVar[float] = 0.3
    score: float
    box_xyxy: Array
    nose: Array
    others: Array = field(factory=_nobody)

    @property
    def size(self) -> float:
        """Side of the face, px."""
        return float((self.box_xyxy[2:] - self.box_xyxy[:2]).max())

    @property
    def regions(self) -> Array:
        """The body below the face, upright, and its upper part."""
        return regions_from_faces(self.box_xyxy)[:, 0]

    @property
    def anchor(self) -> Array:
        """The middle of the face."""
        middle: Array = (self.box_xyxy[:2] + self.box_xyxy[2:]) / 2
        return middle

    @property
    def head(self) -> Array:
        """Around the face."""
        return np.array([*self.anchor, _HEAD_BY_FACE * self.size])

    def agrees(self, pose_px: NDArray[Any], box_xyxy: NDArray[Any]) -> bool:
        """Nose and head are where they were seen, and the head is as large."""
        head = find_heads(pose_px[None])[0]
        apart = max(np.linalg.norm(pose_px[0, :2] - self.nose), np.linalg.norm(head[:2] - self.anchor))
        return bool(apart < _SAME_FACE * self.size and _LEAST_FACE < head[2] / self.size < _MOST_FACE)

    def belongs_to(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """The face lies in their head."""
        heads = find_heads(pose_px)
        same: NDArray[np.bool_] = np.linalg.norm(heads[:, :2] - self.anchor, axis=1) < 0.5 * np.maximum(heads[:, 2], self.size)
        return same

    def may_show(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """Whose it is for certain."""
        return self.belongs_to(pose_px, boxes_xyxy)


@frozen(kw_only=True, eq=False)
class BoxPlace:
    """A box (4,) px around one person, whole or as far as they are seen."""

    score: float
    box_xyxy: Array
    others: Array = field(factory=_nobody)

    @property
    def least(self) -> float:
        """However sure the detector is, which had its own threshold: the landmark network must see a body."""
        return float(np.sqrt(self.score * _LEAST_BODY))

    @property
    def regions(self) -> Array:
        """The box holds the upper half of a body, or the whole."""
        return regions_from_boxes(self.box_xyxy[None])[::-1, 0]

    @property
    def anchor(self) -> Array:
        """The middle of the box's upper half."""
        x1, y1, x2, y2 = self.box_xyxy
        return np.array([(x1 + x2) / 2, 0.75 * y1 + 0.25 * y2])

    @property
    def head(self) -> Array | None:
        """Somewhere in the box."""
        return None

    @property
    def box_alone(self) -> Array | None:
        """Boxes of any network are no people without landmarks."""
        return None

    def agrees(self, pose_px: NDArray[Any], box_xyxy: NDArray[Any]) -> bool:
        """The head lies in the upper part of the box, and the body fills it: from head to hips, or all of it."""
        x1, y1, x2, y2 = self.box_xyxy
        head = find_heads(pose_px[None])[0]
        inside = x1 <= head[0] <= x2 and y1 - 0.1 * (y2 - y1) <= head[1] <= y1 + _TALLEST_HEAD * (y2 - y1)
        upper = np.array([x1, y1, x2, min(y2, max(box_xyxy[3], y1 + 1))])
        return bool(inside and compute_ious(box_xyxy[None], np.stack([self.box_xyxy, upper])).max() >= _LEAST_FIT)

    def belongs_to(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """Nobody's for certain: two people may share most of a box, and each has one."""
        return np.zeros(len(pose_px), bool)

    def may_show(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """Whose box is nearly the same."""
        same: NDArray[np.bool_] = compute_ious(boxes_xyxy, self.box_xyxy[None])[:, 0] > _SAME_BOX
        return same


@frozen(kw_only=True, eq=False)
class PersonPlace(BoxPlace):
    """A box (4,) px of a detector that sees people as they stand out from others.

    `is_cut`: it ends at the frame's edge. `stands_alone`: the detector is sure enough for somebody of whom no landmarks are found.
    """

    is_cut: bool = False
    stands_alone: bool = False

    @property
    def least(self) -> float:
        """However sure the detector is: the landmark network must see a body well."""
        return float(np.sqrt(self.score * _LEAST_SEEN))

    @property
    def box_alone(self) -> Array | None:
        """The box, where the detector is sure enough."""
        return self.box_xyxy if self.stands_alone else None

    @property
    def head(self) -> Array:
        """As large as half the shoulders in the middle of the box's upper edge."""
        x1, y1, x2, y2 = self.box_xyxy
        size = min(_HEAD_BY_WIDTH * (x2 - x1), _HEAD_BY_HEIGHT * (y2 - y1))
        return np.array([(x1 + x2) / 2, y1 + 0.55 * size, size])

    def agrees(self, pose_px: NDArray[Any], box_xyxy: NDArray[Any]) -> bool:
        """As any box; where it is cut off by the frame's edge, a body made up from what is left of it fits it worse."""
        fits = super().agrees(pose_px, box_xyxy)
        return fits and (not self.is_cut or self._overlap(box_xyxy[None])[0] >= _LEAST_FIT_CUT)

    def belongs_to(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """Whose head is where it must be, and whose box overlaps; or whose box is nearly the same."""
        heads, ious = find_heads(pose_px), self._overlap(boxes_xyxy)
        near = np.linalg.norm(heads[:, :2] - self.head[:2], axis=1) < np.maximum(heads[:, 2], self.head[2])
        theirs: NDArray[np.bool_] = (near & (ious > (_LEAST_FIT_CUT if self.is_cut else _OVERLAPS))) | (ious > _NEARLY_SAME)
        return theirs

    def may_show(self, pose_px: NDArray[Any], boxes_xyxy: NDArray[Any]) -> NDArray[np.bool_]:
        """Whose it is for certain."""
        return self.belongs_to(pose_px, boxes_xyxy)

    def _overlap(self, boxes_xyxy: NDArray[Any]) -> Array:
        return compute_ious(boxes_xyxy, self.box_xyxy[None])[:, 0]
