"""Faces: boxes by MediaPipe's full-range detector (Tasks), 478 points by its face mesh and iris networks (LiteRT).

Sources: Kartynnik et al., Real-time Facial Surface Geometry, 2019 (arXiv 1907.06724); Ablavatski et al., Real-time Pupil Tracking,
2020 (arXiv 2006.11341). Points 0-467 are the mesh, 468-472 the iris of the person's right eye, 473-477 that of the left one. The
lids are the iris network's, which sees the eye alone and nine times larger.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backends.people.base import check_image
from backends.people.body import find_heads
from backends.people.bundles import find_bundle
from backends.people.networks import LiteNetwork
from backends.people.regions import crop_region, to_frame
from backends.people.tasks import open_task, to_task_image
from schemas.checks import check_array

__all__ = ["N_FACE_POINTS", "FaceEstimator", "FaceMesh", "regions_from_poses"]

N_FACE_POINTS = 478
_N_MESH, _N_IRIS = 468, 5
_WIDER = 1.5
_EYE_WIDER = 2.3
_OUTER_CORNERS = (33, 263)
_EYES = ((33, 133, False), (362, 263, True))
"""Corners of each eye in the mesh, and whether its crop is mirrored (the iris network knows one side only)."""
_N_CONTOUR = 71
_LIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
)
"""Points of the mesh that the first points of the iris network's contour are: lower lid from the outer corner on, upper lid."""
_FACE_BY_HEAD = 1.15
"""Side of a face's region by the diameter of the head."""


def regions_from_poses(pose_px: NDArray[Any]) -> NDArray[np.float64]:
    """Return the regions (N, 4) of the faces of poses (N, 33, 4), turned so that the eyes are level."""
    xy = np.asarray(pose_px, np.float64)[..., :2]
    across = xy[:, 2] - xy[:, 5]
    middle = 0.5 * (xy[:, [2, 5]].mean(axis=1) + xy[:, [9, 10]].mean(axis=1))
    return np.column_stack([middle, _FACE_BY_HEAD * find_heads(pose_px)[:, 2], np.arctan2(across[:, 1], across[:, 0])])


class FaceMesh:
    """478 points of the face in each given region. A context manager; one instance belongs to one thread."""

    def __init__(self) -> None:
        self._mesh = LiteNetwork(find_bundle("face-mesh"))
        self._iris = LiteNetwork(find_bundle("iris"))

    def estimate_regions(
        self, image_rgb: NDArray[np.uint8], regions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the points of the faces in given regions (N, 4); each is looked at twice, the second time as the first one says.

        Returns:
            points_px (N, 478, 3): x px, y px of the full frame, z (px scale, smaller is nearer; NaN at the irises); scores (N,) in
            [0, 1], 1 = surely a face.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        image = check_image(image_rgb)
        given = np.asarray(regions, np.float64).reshape(-1, 4)
        points = np.zeros((len(given), N_FACE_POINTS, 3), np.float32)
        scores = np.zeros(len(given), np.float32)
        for i, region in enumerate(given):
            mesh, _ = self._fit_mesh(image, region)
            mesh, scores[i] = self._fit_mesh(image, _find_region(mesh))
            for eye, (lids, corners) in enumerate(zip(_LIDS, _EYES, strict=True)):
                iris, contour = self._fit_eye(image, mesh, *corners)
                points[i, _N_MESH + eye * _N_IRIS : _N_MESH + (eye + 1) * _N_IRIS] = iris
                mesh[lids, :2] = contour
            points[i, :_N_MESH] = mesh
        return points, scores

    def _fit_mesh(self, image: NDArray[np.uint8], region: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        side = self._mesh.side
        outputs = self._mesh.run(crop_region(image, region, side).astype(np.float32) / np.float32(255))
        mesh = outputs[1, 1, 1, _N_MESH * 3].reshape(_N_MESH, 3).astype(np.float64)
        mesh[:, :2] = to_frame(mesh[:, :2], region, side)
        mesh[:, 2] *= region[2] / side
        return mesh, float(1 / (1 + np.exp(-outputs[1, 1, 1, 1].item())))

    def _fit_eye(
        self, image: NDArray[np.uint8], mesh: NDArray[np.float64], inner: int, outer: int, mirrored: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the iris (5, 3), centre, then right, top, left, bottom in MediaPipe's order, z not known; and the lids (16, 2)."""
        side = self._iris.side
        corners = mesh[[inner, outer], :2]
        across = mesh[_OUTER_CORNERS[1], :2] - mesh[_OUTER_CORNERS[0], :2]
        size = _EYE_WIDER * np.linalg.norm(corners[1] - corners[0])
        region = np.array([*corners.mean(axis=0), size, np.arctan2(across[1], across[0])])
        crop = crop_region(image, region, side)
        crop = np.ascontiguousarray(crop[:, ::-1]) if mirrored else crop
        outputs = self._iris.run(crop.astype(np.float32) / np.float32(255))
        iris = outputs[1, _N_IRIS * 3].reshape(_N_IRIS, 3)
        lids = outputs[1, _N_CONTOUR * 3].reshape(_N_CONTOUR, 3)[: len(_LIDS[0])]
        found = np.concatenate([iris, lids])[:, :2]
        if mirrored:
            found = np.column_stack([side - found[:, 0], found[:, 1]])
        placed = to_frame(found, region, side)
        return np.column_stack([placed[:_N_IRIS], np.full(_N_IRIS, np.nan)]), placed[_N_IRIS:]

    def close(self) -> None:
        """Free the networks."""
        self._mesh.close()
        self._iris.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class FaceEstimator:
    """Face boxes, and 478 points of each given face. A context manager; one instance belongs to one thread."""

    def __init__(self, *, least_score: float = 0.5) -> None:
        self._detector = open_task("FaceDetector", "face-full-range", min_detection_confidence=least_score)
        self._mesh = FaceMesh()

    def detect(self, image_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the faces of an RGB image (H, W, 3) uint8: boxes (N, 4) px and scores (N,) in [0, 1], best first.

        Raises:
            InvalidField: if the image is not RGB uint8.
        """
        found = self._detector.detect(to_task_image(check_image(image_rgb))).detections
        corners = [(d.bounding_box.origin_x, d.bounding_box.origin_y, d.bounding_box.width, d.bounding_box.height) for d in found]
        boxes = np.array(corners, np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scores = np.array([d.categories[0].score for d in found], np.float32)
        order = np.argsort(-scores, kind="stable")
        return boxes[order], scores[order]

    def estimate(self, image_rgb: NDArray[np.uint8], boxes_xyxy: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the points of faces whose boxes are known; each is looked at twice, the second time turned upright.

        Args:
            image_rgb: (H, W, 3) uint8.
            boxes_xyxy: (N, 4) px, each around one face.

        Returns:
            points_px (N, 478, 3): x px, y px of the full frame, z (px scale, smaller is nearer; NaN at the irises); scores (N,) in
            [0, 1], 1 = surely a face.

        Raises:
            InvalidField: if the image is not RGB uint8 or the boxes are not (N, 4).
        """
        boxes = check_array("boxes_xyxy", boxes_xyxy, (None, 4)).astype(np.float64)
        sides = _WIDER * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)
        upright = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, sides, np.zeros(len(boxes))])
        return self._mesh.estimate_regions(image_rgb, upright)

    def close(self) -> None:
        """Free the networks."""
        self._detector.close()
        self._mesh.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _find_region(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the region of a face (468, 3): turned so that the outer corners of the eyes are level, 1.5 times its extent."""
    across = mesh[_OUTER_CORNERS[1], :2] - mesh[_OUTER_CORNERS[0], :2]
    angle = np.arctan2(across[1], across[0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    level = mesh[:, :2] @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    return np.array([*turn @ ((low + high) / 2), _WIDER * (high - low).max(), angle])
