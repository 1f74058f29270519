"""Hands: 21 points each, looked for where the pose says that a wrist is (MediaPipe Tasks, HandLandmarker)."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backends.people.base import check_image
from backends.people.body import find_heads
from backends.people.regions import crop_region, to_frame
from backends.people.tasks import open_task, to_task_image
from schemas.checks import check_array

__all__ = ["N_HAND_POINTS", "HandEstimator", "find_wrist_boxes"]

N_HAND_POINTS = 21
_CROP_SIDE = 256
_WRISTS, _KNUCKLES = [15, 16], [[17, 19], [18, 20]]
_HAND_BY_HEAD = 1.8


def find_wrist_boxes(pose_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return square boxes (N, 2, 4) px around the left and right hands of poses (N, 33, 4), sized by the head."""
    pose = np.asarray(pose_px, np.float64)[..., :2]
    knuckles = np.stack([pose[:, pair].mean(axis=1) for pair in _KNUCKLES], axis=1)
    centre = pose[:, _WRISTS] + 0.5 * (knuckles - pose[:, _WRISTS])
    half = 0.5 * _HAND_BY_HEAD * find_heads(pose_px)[:, None, 2:]
    return np.concatenate([centre - half, centre + half], axis=-1)


class HandEstimator:
    """21 points of the hand in each given region. A context manager; one instance belongs to one thread."""

    def __init__(self, *, least_score: float = 0.4) -> None:
        self._task = open_task("HandLandmarker", "hand", num_hands=1, min_hand_detection_confidence=least_score)

    def estimate(self, image_rgb: NDArray[np.uint8], boxes_xyxy: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the hands in given boxes.

        Args:
            image_rgb: (H, W, 3) uint8.
            boxes_xyxy: (N, 4) px, each around one hand (see `find_wrist_boxes`).

        Returns:
            points_px (N, 21, 3): x px, y px of the full frame, z (px scale, smaller is nearer), NaN where no hand is seen;
            scores (N,) in [0, 1], 1 = surely a hand, 0 where none is seen.

        Raises:
            InvalidField: if the image is not RGB uint8 or the boxes are not (N, 4).
        """
        image = check_image(image_rgb)
        boxes = check_array("boxes_xyxy", boxes_xyxy, (None, 4)).astype(np.float64)
        points = np.full((len(boxes), N_HAND_POINTS, 3), np.nan, np.float32)
        scores = np.zeros(len(boxes), np.float32)
        for i, box in enumerate(boxes):
            region = np.array([*(box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max(), 0.0])
            found = self._task.detect(to_task_image(crop_region(image, region, _CROP_SIDE)))
            if found.hand_landmarks:
                crop = np.array([(p.x, p.y, p.z) for p in found.hand_landmarks[0]]) * _CROP_SIDE
                points[i, :, :2] = to_frame(crop[:, :2], region, _CROP_SIDE)
                points[i, :, 2] = crop[:, 2] * region[2] / _CROP_SIDE
                scores[i] = found.handedness[0][0].score
        return points, scores

    def close(self) -> None:
        """Free the networks."""
        self._task.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
