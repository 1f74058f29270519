"""Poses of people whose place is known: BlazePose's landmark network on a region of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from backends.people.base import check_image
from backends.people.body import boxes_from_poses, compute_ious
from backends.people.covers import Cover, hide_others
from backends.people.networks import LandmarkNetwork
from backends.people.regions import crop_region, region_from_points, regions_from_boxes, to_frame, turn_upright
from schemas.checks import check_array
from schemas.errors import InvalidField

__all__ = ["N_POINTS", "PoseEstimator", "Poses"]

N_POINTS = 33
_CENTRE, _EDGE = 33, 34
_SURE = 0.5
_LOWER, _SMALL = 0.05, 2.0
"""How much further down than on the hips the region of a small body is centred, by its side; small: fewer than twice the network's
pixels. Seated people's arms, hands and hips lie lower than guessed: 2 points of PCK on 73 rendered students, nothing lost."""
_COARSE, _SHARPER = 1.3, 0.8
"""A crop that has fewer pixels than 1.3 of the network's is sharpened by so much: small people are blurred by lens and codec."""
_Look = tuple[NDArray[np.float64], float, NDArray[np.float64]]
"""Landmarks (39, 4) of the frame, score, world landmarks (33, 3)."""


@frozen(kw_only=True, eq=False)
class Poses:
    """N poses: `pose_px` (N, 33, 4), `scores` (N,) in [0, 1], `regions` (N, 4) where to look for the same people next.

    `world_m` (N, 33, 3): the landmarks in metres around the middle of the hips, along the frame's axes (x right, y down, z away
    from the camera). They are the network's own idea of a body of usual size, not measured; NaN where a finder does not give them.
    """

    pose_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    regions: NDArray[np.float64]
    world_m: NDArray[np.float32] = field()

    @world_m.default
    def _no_world(self) -> NDArray[np.float32]:
        return np.full((len(self.pose_px), N_POINTS, 3), np.nan, np.float32)

    @classmethod
    def empty(cls) -> Poses:
        """Return nobody."""
        return cls(pose_px=np.zeros((0, N_POINTS, 4), np.float32), scores=np.zeros(0, np.float32), regions=np.zeros((0, 4)))

    @classmethod
    def join(cls, several: Sequence[Poses]) -> Poses:
        """Return the poses of several, one after the other."""
        names = ("pose_px", "scores", "regions", "world_m")
        return cls(**{name: np.concatenate([getattr(poses, name) for poses in several]) for name in names})

    def take(self, rows: NDArray[np.intp]) -> Poses:
        """Return some of them."""
        return Poses(pose_px=self.pose_px[rows], scores=self.scores[rows], regions=self.regions[rows], world_m=self.world_m[rows])


class PoseEstimator:
    """33 landmarks of each given person in full-frame px. A context manager; one instance belongs to one thread.

    Args:
        size: of the landmark network, see `backends.people.networks.POSE_NETWORKS`.

    Examples:
        >>> with PoseEstimator() as estimator:  # doctest: +SKIP
        ...     pose_px, scores = estimator.estimate(image_rgb, boxes_xyxy)
    """

    def __init__(self, size: str = "full") -> None:
        self._network = LandmarkNetwork(size)

    def estimate(self, image_rgb: NDArray[np.uint8], boxes_xyxy: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the poses in given person boxes.

        A box may hold the whole body or, behind a desk, its upper half: both are tried, each looked at twice, the second time in
        the region that the first landmarks point to; the look whose own box fits the given one best counts.

        Args:
            image_rgb: (H, W, 3) uint8.
            boxes_xyxy: (N, 4) px of the full frame, each around one person.

        Returns:
            pose_px (N, 33, 4): x px, y px, z (px scale, smaller is nearer), visibility in [0, 1]; scores (N,) in [0, 1],
            1 = surely a body.

        Raises:
            InvalidField: if the image is not RGB uint8 or a box is not finite with x1 < x2 and y1 < y2.
        """
        boxes = check_array("boxes_xyxy", boxes_xyxy, (None, 4)).astype(np.float64)
        if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
            raise InvalidField("boxes_xyxy", "finite boxes with x1 < x2 and y1 < y2", boxes)
        image = check_image(image_rgb)
        height, width = image.shape[:2]
        looks = []
        for guess in regions_from_boxes(boxes):
            first = self.estimate_regions(image, guess)
            looks += [first, self.estimate_regions(image, first.regions)]
        pose, scores = np.stack([p.pose_px for p in looks]), np.stack([p.scores for p in looks])
        fits = np.stack([compute_ious(boxes_from_poses(p.pose_px, width, height), boxes).diagonal() for p in looks])
        best = np.argmax(scores * fits, axis=0)
        rows = np.arange(len(boxes))
        return pose[best, rows], scores[best, rows]

    def estimate_regions(self, image_rgb: NDArray[np.uint8], regions: NDArray[Any], covers: Sequence[Cover] | None = None) -> Poses:
        """Return the poses in given regions (N, 4), one look each; `Poses.regions` follows the body into the next frame.

        Args:
            image_rgb: (H, W, 3) uint8.
            regions: see above.
            covers: N, the people to be painted over in each region; None = nobody.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        image = check_image(image_rgb)
        given = np.asarray(regions, np.float64).reshape(-1, 4)
        hidden = [None] * len(given) if covers is None else covers
        looks = [self._look(image, region, cover) for region, cover in zip(given, hidden, strict=True)]
        if not looks:
            return Poses.empty()
        landmarks = np.stack([look[0] for look in looks])
        return Poses(
            pose_px=landmarks[:, :N_POINTS].astype(np.float32),
            scores=np.array([look[1] for look in looks], np.float32),
            regions=_lower(region_from_points(landmarks[:, _CENTRE, :2], landmarks[:, _EDGE, :2]), self._network.side),
            world_m=np.stack([look[2] for look in looks]).astype(np.float32),
        )

    def _look(self, image: NDArray[np.uint8], region: NDArray[np.float64], cover: Cover | None) -> _Look:
        side = self._network.side
        crop = crop_region(image, region, side)
        if region[2] < _COARSE * side:
            crop = _sharpen(crop)
        landmarks, score, world = self._network.find(crop if cover is None else hide_others(crop, region, cover))
        placed = landmarks.copy()
        placed[:, :2] = to_frame(landmarks[:, :2], region, side)
        placed[:, 2] *= region[2] / side
        return placed, score, turn_upright(world[:N_POINTS], region)

    def close(self) -> None:
        """Free the network."""
        self._network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _lower(regions: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the regions (N, 4), those of small bodies further down, as the body stands."""
    down = np.column_stack([-np.sin(regions[:, 3]), np.cos(regions[:, 3])])
    shift = np.where(regions[:, 2] < _SMALL * side, _LOWER * regions[:, 2], 0)
    return np.column_stack([regions[:, :2] + shift[:, None] * down, regions[:, 2:]])


def _sharpen(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the crop with its details brought out (unsharp mask)."""
    import cv2

    sharp: NDArray[np.uint8] = cv2.addWeighted(crop, 1 + _SHARPER, cv2.GaussianBlur(crop, (7, 7), 2), -_SHARPER, 0)
    return sharp
