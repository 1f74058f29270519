"""MediaPipe's detectors of one body or one near face, on a whole frame at once.

They were made for a square of 224 or 192 px. Both are convolutions from end to end, so that on a larger canvas every place sees
what it would see in a square of its own: all overlapping tiles of one size for the price of tiles side by side.

Sources: Bazarevsky et al., BlazePose, 2020 (arXiv 2006.10204); Bazarevsky et al., BlazeFace, 2019 (arXiv 1907.05047); strides,
decoding and weighted suppression as in MediaPipe's graphs.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.base import Area
from backends.people.body import compute_ious
from backends.people.bundles import find_bundle
from backends.people.networks import THREADS, LiteNetwork, compute_sigmoid
from backends.people.tflite_edit import make_dense, resize_dense

__all__ = ["BODIES", "FACES", "CanvasNetworks", "DenseNetwork", "DenseSpec", "Finds", "blend_finds", "fit_canvas", "suppress_finds"]

_STEP = 32
_MOST_PIXELS = 2.6e6
_MOST_CANVASES = 12
_SAME = 0.3


@frozen(kw_only=True)
class DenseSpec:
    """A detector: its bundle, the side it was made for, stride and anchors per cell of each of its maps, points that it gives.

    Frames are not enlarged by more than `most_zoom`: what is smaller is too small for the landmark network.
    """

    bundle: str
    side: int
    strides: tuple[tuple[int, int], ...]
    n_points: int
    most_zoom: float


BODIES = DenseSpec(bundle="pose-detector", side=224, strides=((8, 2), (16, 2), (32, 6)), n_points=4, most_zoom=2.5)
"""Points: middle of the hips, point on the circle around the whole body, middle of the shoulders, point above the head."""
FACES = DenseSpec(bundle="face-full-range", side=192, strides=((4, 1),), n_points=6, most_zoom=1.35)
"""Points: the person's right and left eye, nose, mouth, right and left ear."""


@frozen(kw_only=True, eq=False)
class Finds:
    """N finds in one frame: `scores` (N,) in [0, 1], `boxes_xyxy` (N, 4) px at the face, `points` (N, K, 2) px."""

    scores: NDArray[np.float64]
    boxes_xyxy: NDArray[np.float64]
    points: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[np.intp]) -> Finds:
        """Return some of them."""
        return Finds(scores=self.scores[rows], boxes_xyxy=self.boxes_xyxy[rows], points=self.points[rows])


class DenseNetwork:
    """One detector on canvases of any size. One instance belongs to one thread; `close` frees it."""

    def __init__(self, spec: DenseSpec) -> None:
        self.spec = spec
        self._networks = CanvasNetworks(find_bundle(spec.bundle).read_bytes())

    def find(self, image_rgb: NDArray[np.uint8], *, short: int, least: float, area: Area | None = None) -> Finds:
        """Return what scores at least `least`, best first, one find per place.

        Args:
            image_rgb: (H, W, 3) uint8.
            short: the frame is looked at with its short side this long, px (less where the canvas for it, or for the area, would be
                too large).
            least: in [0, 1].
            area: part of the frame that is looked at, as large as in the whole; None = all of it.
        """
        height, width = image_rgb.shape[:2]
        left, top, right, bottom = area or (0, 0, width, height)
        largest = float(np.sqrt(_MOST_PIXELS / ((bottom - top) * (right - left))))
        zoom = min(short / min(height, width), largest, self.spec.most_zoom)
        canvas = fit_canvas(image_rgb[top:bottom, left:right], zoom)
        maps = self._networks.get(canvas.shape[:2]).run(canvas.astype(np.float32) / np.float32(127.5) - 1)
        parts = [self._decode(maps, canvas.shape[:2], stride, per_cell, least) for stride, per_cell in self.spec.strides]
        scores, middle, extent, points = (np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True))
        boxes = np.concatenate([middle - extent / 2, middle + extent / 2], axis=1)
        order = np.argsort(-scores, kind="stable")
        corner = np.array([left, top], np.float64)
        boxes, points = boxes / zoom + np.tile(corner, 2), points / zoom + corner
        return blend_finds(Finds(scores=scores, boxes_xyxy=boxes, points=points).take(order))

    def _decode(
        self, maps: dict[tuple[int, ...], NDArray[np.float32]], size: tuple[int, ...], stride: int, per_cell: int, least: float
    ) -> tuple[NDArray[np.float32], ...]:
        """Return scores (N,), middles (N, 2), extents (N, 2) and points (N, K, 2) in px of the canvas, from one map."""
        rows, columns = size[0] // stride, size[1] // stride
        n_values = 4 + 2 * self.spec.n_points
        scores = compute_sigmoid(maps[1, rows, columns, per_cell]).reshape(-1)
        chosen = np.flatnonzero(scores >= least)
        values = maps[1, rows, columns, per_cell * n_values].reshape(-1, n_values // 2, 2)[chosen]
        cells = chosen // per_cell
        anchors = (np.column_stack([cells % columns, cells // columns]) + np.float32(0.5)) * np.float32(stride)
        return scores[chosen], values[:, 0] + anchors, values[:, 1], values[:, 2:] + anchors[:, None]

    def close(self) -> None:
        """Free the networks."""
        self._networks.close()


class CanvasNetworks:
    """A convolutional detector laid out for canvases of any size; the sizes used last are kept. `close` frees them."""

    def __init__(self, network: bytes) -> None:
        self._model = make_dense(network)
        self._threads = THREADS.get()
        self._networks: OrderedDict[tuple[int, int], LiteNetwork] = OrderedDict()

    def get(self, size: tuple[int, ...]) -> LiteNetwork:
        """Return the network for a canvas (height, width)."""
        key = (size[0], size[1])
        if key not in self._networks:
            self._networks[key] = LiteNetwork(resize_dense(self._model, *key), threads=self._threads)
            if len(self._networks) > _MOST_CANVASES:
                self._networks.popitem(last=False)[1].close()
        self._networks.move_to_end(key)
        return self._networks[key]

    def close(self) -> None:
        """Free the networks."""
        while self._networks:
            self._networks.popitem()[1].close()


def fit_canvas(image: NDArray[np.uint8], zoom: float, *, least: int = _STEP) -> NDArray[np.uint8]:
    """Return the image enlarged by `zoom`, filled up with black at the right and at the bottom to whole steps of the network.

    Args:
        image: (H, W, 3) uint8.
        zoom: factor of its sides.
        least: neither side of the canvas is shorter, px.
    """
    import cv2

    height, width = (_STEP * int(np.ceil(max(zoom * n, least) / _STEP - 1e-6)) for n in image.shape[:2])
    matrix = np.array([[zoom, 0, zoom / 2 - 0.5], [0, zoom, zoom / 2 - 0.5]])
    flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    canvas: NDArray[np.uint8] = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return canvas


def blend_finds(finds: Finds) -> Finds:
    """Weighted suppression as in MediaPipe: finds on one face, best first, become one, their coordinates averaged by score."""
    ious = compute_ious(finds.boxes_xyxy, finds.boxes_xyxy)
    left = np.ones(len(finds), bool)
    first, boxes, points = [], [], []
    for i in range(len(finds)):
        if left[i]:
            group = left & (ious[i] > _SAME)
            group[i] = True
            left &= ~group
            first.append(i)
            boxes.append(np.average(finds.boxes_xyxy[group], axis=0, weights=finds.scores[group]))
            points.append(np.average(finds.points[group], axis=0, weights=finds.scores[group]))
    kept = finds.take(np.array(first, np.intp))
    return Finds(
        scores=kept.scores,
        boxes_xyxy=np.array(boxes).reshape(kept.boxes_xyxy.shape),
        points=np.array(points).reshape(kept.points.shape),
    )


def suppress_finds(finds: list[Finds]) -> Finds:
    """Return the union of several looks, best first, of finds on one face the best."""
    scores, boxes, points = (np.concatenate([getattr(f, name) for f in finds]) for name in ("scores", "boxes_xyxy", "points"))
    ious = compute_ious(boxes, boxes)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not (ious[i, kept] > _SAME).any():
            kept.append(int(i))
    return Finds(scores=scores, boxes_xyxy=boxes, points=points).take(np.array(kept, np.intp))
