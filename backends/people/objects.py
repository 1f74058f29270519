"""Detector ``mediapipe-object``: any EfficientDet or SSD ``.tflite`` with metadata, through MediaPipe Tasks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from backends.people.boxes import BoxFinder, BoxSettings, read_checked, suppress_boxes
from backends.people.bundles import quiet_native
from backends.people.detector import PlaceDetector
from backends.people.tasks import to_task_image
from backends.people.team import PoseTeam
from schemas.errors import ModelError

__all__ = ["ObjectDetector", "ObjectModel"]


class ObjectModel:
    """Boxes of people by one network, whose metadata name its classes. One instance belongs to one thread."""

    def __init__(self, settings: BoxSettings) -> None:
        content = read_checked(settings)
        self._settings = settings
        try:
            with quiet_native():
                from mediapipe.tasks.python import BaseOptions, vision

                options = vision.ObjectDetectorOptions(
                    base_options=BaseOptions(model_asset_buffer=content),
                    score_threshold=settings.confidence,
                    category_allowlist=[settings.person],
                )
                self._task: Any = vision.ObjectDetector.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise ModelError(settings.path, f"does not load: {str(error).splitlines()[0]}") from error

    def find_boxes(self, image_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return boxes (N, 4) px xyxy and scores (N,) in [0, 1] of the people in an RGB image (H, W, 3) uint8."""
        found = self._task.detect(to_task_image(image_rgb)).detections
        boxes = np.array([(b.origin_x, b.origin_y, b.width, b.height) for b in (d.bounding_box for d in found)], np.float64)
        boxes = boxes.reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes = np.clip(boxes, 0, np.tile(image_rgb.shape[1::-1], 2))
        scores = np.array([d.categories[0].score for d in found], np.float64)
        there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return suppress_boxes(boxes[there], scores[there], self._settings.overlap)

    def close(self) -> None:
        """Free the network."""
        self._task.close()


class ObjectDetector(PlaceDetector):
    """Finds every person in one image through an object detector. A context manager; one instance belongs to one thread."""

    needs_network: ClassVar[bool] = True

    def __init__(self, team: PoseTeam | None = None, network: BoxSettings | None = None) -> None:
        super().__init__([BoxFinder(ObjectModel(network or BoxSettings()))], team)
