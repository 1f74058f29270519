"""What is read from a person close up, frame by frame: head, eyes and mouth from the face, 21 points from each hand.

The pose says where to look, so that no detector runs; what is too small to be read is NaN. Points of faces are not kept: measures
tell what a student does, 478 points tell who it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.base import check_image
from backends.people.body import find_heads
from backends.people.eyes import compute_eye_aspects, compute_mouth_aspects, hide_far_eyes
from backends.people.face import FaceMesh, regions_from_poses
from backends.people.hands import N_HAND_POINTS, HandEstimator, find_wrist_boxes
from backends.people.head import compute_head_angles

__all__ = ["FaceReader", "FaceReadings", "HandReader", "HandReadings"]

_FACE_BY_HEAD = 0.8
"""Hairline to chin by the diameter of the head."""
_LEAST_SCORE, _LEAST_AGAIN = 0.5, 0.05
"""From which score on a face is read, and one of somebody whose face was read so a moment ago."""
_MOMENT = 0.5
"""In seconds."""
_LEAST_HAND_PX = 32.0

Float32 = NDArray[np.float32]


@frozen(kw_only=True, eq=False)
class FaceReadings:
    """N faces, NaN where one was not read.

    `size_px` (N,) from hairline to chin; `scores` (N,) in [0, 1], 1 = surely a face; `angles` (N, 3) yaw, pitch, roll in degrees
    (see `backends.people.head`); `eyes` (N, 2) aspect ratios of right and left eye, NaN where turned away; `mouth` (N,) the same.
    """

    size_px: Float32
    scores: Float32
    angles: Float32
    eyes: Float32
    mouth: Float32


@frozen(kw_only=True, eq=False)
class HandReadings:
    """Both hands of N people: `points_px` (N, 2, 21, 3) left and right, x px, y px, z, NaN where not seen; `scores` (N, 2)."""

    points_px: Float32
    scores: Float32


class FaceReader:
    """Reads faces of people whose poses are known. A context manager; one instance belongs to one thread.

    The network is less sure of a face whose eyes are shut, above all in a dim room: were faces judged frame by frame, blinks would
    be what is missing. So whose face was surely read a moment ago is believed with less.

    Args:
        least_px: faces that are smaller, from hairline to chin, are not looked at.
    """

    def __init__(self, *, least_px: float = 40.0) -> None:
        self._least = least_px
        self._mesh = FaceMesh()
        self._read: dict[str, float] = {}

    def read(
        self, image_rgb: NDArray[np.uint8], pose_px: NDArray[Any], *, ids: Sequence[str] = (), seconds: float = 0.0
    ) -> FaceReadings:
        """Return what is read from the faces of poses (N, 33, 4) in an RGB image (H, W, 3).

        Args:
            image_rgb: uint8.
            pose_px: px.
            ids: of the N people, for those who are read in frame after frame of a video; none = nobody is known from before.
            seconds: the time of the frame.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        image = check_image(image_rgb)
        pose = np.asarray(pose_px, np.float64).reshape(-1, 33, 4)
        size = _FACE_BY_HEAD * find_heads(pose)[:, 2]
        middle = pose[:, :11, :2].mean(axis=1)
        inside = ((middle >= 0) & (middle < image.shape[1::-1])).all(axis=1)
        rows = np.flatnonzero(inside & (size >= self._least))
        points, scores = self._mesh.estimate_regions(image, regions_from_poses(pose[rows]))
        kept = self._choose(scores, [ids[row] for row in rows] if len(ids) else [], seconds)
        return _describe_faces(len(pose), rows[kept], points[kept], scores[kept])

    def _choose(self, scores: Float32, ids: Sequence[str], seconds: float) -> NDArray[np.bool_]:
        """Return which faces (N,) are believed, and remember the sure ones."""
        sure = scores >= _LEAST_SCORE
        recent = {name: at for name, at in self._read.items() if abs(seconds - at) <= _MOMENT}
        again = np.array([name in recent for name in ids], bool) if ids else np.zeros(len(scores), bool)
        self._read = recent | {name: seconds for name, is_sure in zip(ids, sure, strict=False) if is_sure}
        return np.asarray(sure | (again & (scores >= _LEAST_AGAIN)))

    def close(self) -> None:
        """Free the networks."""
        self._mesh.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _describe_faces(n: int, rows: NDArray[np.int64], points: Float32, scores: Float32) -> FaceReadings:
    angles = compute_head_angles(points)
    height = np.linalg.norm(points[:, 10] - points[:, 152], axis=1)
    columns = {
        "size_px": height,
        "scores": scores,
        "angles": angles,
        "eyes": hide_far_eyes(compute_eye_aspects(points), angles),
        "mouth": compute_mouth_aspects(points),
    }
    filled = {name: np.full((n, *values.shape[1:]), np.nan, np.float32) for name, values in columns.items()}
    for name, values in columns.items():
        filled[name][rows] = values
    return FaceReadings(**filled)


class HandReader:
    """Reads the hands of people whose poses are known. A context manager; one instance belongs to one thread."""

    def __init__(self) -> None:
        self._estimator = HandEstimator()

    def read(self, image_rgb: NDArray[np.uint8], pose_px: NDArray[Any]) -> HandReadings:
        """Return the hands of poses (N, 33, 4) in an RGB image (H, W, 3), looked for where the wrists are.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        image = check_image(image_rgb)
        pose = np.asarray(pose_px, np.float64).reshape(-1, 33, 4)
        boxes = find_wrist_boxes(pose).reshape(-1, 4)
        wrists = pose[:, [15, 16], :2].reshape(-1, 2)
        inside = ((wrists >= 0) & (wrists < image.shape[1::-1])).all(axis=1)
        rows = np.flatnonzero(inside & (boxes[:, 2] - boxes[:, 0] >= _LEAST_HAND_PX))
        points = np.full((len(boxes), N_HAND_POINTS, 3), np.nan, np.float32)
        scores = np.full(len(boxes), np.nan, np.float32)
        points[rows], scores[rows] = self._estimator.estimate(image, boxes[rows])
        return HandReadings(points_px=points.reshape(-1, 2, N_HAND_POINTS, 3), scores=scores.reshape(-1, 2))

    def close(self) -> None:
        """Free the networks."""
        self._estimator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
