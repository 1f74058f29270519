"""Detector ``ssd``: the bodies below faces, joined with the boxes of people, cut off by the picture's edge or not.

MediaPipe's object detector, an SSD on MobileNetV2 trained on Open Images v4, sees whole people where `tiles` looks for one body and
`faces` for one face: from behind, from the side, half out of the frame. It is convolutions from end to end and is run on the whole
frame at once, see `backends.people.dense`. Where the landmark network finds nobody in a box that two looks show at the edge of the
frame, the box alone is somebody: an annotator can say what they do.

Sources: Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016 (arXiv 1512.02325), sec. 2.2 for boxes and scales; Sandler et
al., MobileNetV2, CVPR 2018 (arXiv 1801.04381); scales, ratios and variances as in MediaPipe's graph ``object_detection_oid_v4``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.base import Area
from backends.people.body import compute_ious, share_inside
from backends.people.bundles import find_bundle
from backends.people.dense import CanvasNetworks, fit_canvas
from backends.people.detector import PlaceDetector
from backends.people.faces import FaceFinder, FaceSettings
from backends.people.networks import compute_sigmoid
from backends.people.places import PersonPlace, Place
from backends.people.search import Search
from backends.people.team import PoseTeam

__all__ = ["BoxNetwork", "Sights", "SsdDetector", "SsdFinder", "SsdSettings", "list_places", "merge_looks"]

_SIDE = 300
_LEAST_SCALE, _MOST_SCALE, _N_MAPS, _FIRST_STRIDE = 0.2, 0.95, 6, 16
_RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
_CENTRE_VARIANCE, _SIZE_VARIANCE = 10.0, 5.0
_N_CLASSES, _PERSON = 24, 4
_BEYOND = 0.08
"""The frame is continued by so much of its short side, mirrored: half a person at its edge is one for the network."""
_MOST_ZOOM = 2.5
_SAME, _INSIDE = 0.5, 0.8
"""IoU from which on two boxes are one, and the share of a box in a surer one from which on it is a part of that."""
_LEAST, _LEAST_TWICE = 0.25, 0.3
"""Scores from which on a look shows a box, and from which on one at the frame's edge counts that two looks show."""
_AT_EDGE = 0.01
_FACES = FaceSettings(shorts=((192,), (576, 864)), tiny=0.0)
"""Faces say more exactly than boxes where a body is; who has none that is large enough is left to the boxes."""
Array = NDArray[np.float64]


@frozen(kw_only=True)
class SsdSettings:
    """How hard to look for people.

    A box is looked at from `least_place` on, in [0, 1]. `shorts` are groups of lengths of the frame's short side, px, that the
    network sees, coarse to fine; a finer group is used only if so far nobody, or somebody whose region is smaller than `descend`
    times the last length's square of 300 px, was found.
    """

    least_place: float = 0.35
    shorts: tuple[tuple[int, ...], ...] = ((300, 400, 576), (864,))
    descend: float = 1.0


class BoxNetwork:
    """Boxes of people by the network alone. One instance belongs to one thread; `close` frees it."""

    def __init__(self) -> None:
        self._networks = CanvasNetworks(find_bundle("object-boxes").read_bytes())
        self._shapes = [_list_shapes(level) for level in range(_N_MAPS)]
        self._shifts = [_SIDE / 2 - (first + step * (count - 1) / 2) for first, step, count in _list_cells(_SIDE)]

    def find(self, image_rgb: NDArray[np.uint8], *, short: int, least: float, area: Area | None = None) -> tuple[Array, Array]:
        """Return boxes (N, 4) px xyxy within the frame and scores (N,) in [0, 1], several of one person among them.

        Args:
            image_rgb: (H, W, 3) uint8.
            short: the frame is looked at with its short side this long, px.
            least: in [0, 1].
            area: part of the frame that is looked at, as large as in the whole; None = all of it.
        """
        height, width = image_rgb.shape[:2]
        left, top, right, bottom = area or (0, 0, width, height)
        zoom = min(short / min(height, width), _MOST_ZOOM)
        part, margin = _continue(image_rgb[top:bottom, left:right], round(_BEYOND * min(height, width)))
        canvas = fit_canvas(part, zoom, least=_SIDE)
        maps = self._networks.get(canvas.shape[:2]).run(canvas.astype(np.float32) / np.float32(127.5) - 1)
        corner = np.array([left - margin, top - margin], np.float64)
        boxes, scores = self._decode(maps, canvas.shape[:2], least)
        boxes = boxes / zoom + np.tile(corner, 2)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        boxes = np.clip(boxes, [left, top] * 2, [right, bottom] * 2)
        there = ((middle >= [left - margin, top - margin]) & (middle <= [right + margin, bottom + margin])).all(axis=1)
        there &= (boxes[:, 2:] > boxes[:, :2] + 1).all(axis=1)
        return boxes[there], scores[there]

    def _decode(self, maps: dict[tuple[int, ...], NDArray[np.float32]], size: tuple[int, ...], least: float) -> tuple[Array, Array]:
        """Return boxes (N, 4) px of the canvas and scores (N,)."""
        boxes, scores = [], []
        levels = zip(_list_cells(size[0]), _list_cells(size[1]), self._shapes, self._shifts, strict=True)
        for (y, step_y, rows), (x, step_x, columns), shapes, shift in levels:
            n = len(shapes)
            said = compute_sigmoid(maps[1, rows, columns, n * _N_CLASSES].reshape(-1, _N_CLASSES)[:, _PERSON].astype(np.float64))
            chosen = np.flatnonzero(said >= least)
            cells, shape = chosen // n, shapes[chosen % n]
            anchors = np.column_stack([cells // columns * step_y + y, cells % columns * step_x + x]) + shift
            values = maps[1, rows, columns, n * 4].reshape(-1, 4)[chosen].astype(np.float64)
            middle = values[:, :2] / _CENTRE_VARIANCE * shape + anchors
            half = np.exp(values[:, 2:] / _SIZE_VARIANCE) * shape / 2
            boxes.append(np.concatenate([middle - half, middle + half], axis=1)[:, [1, 0, 3, 2]])
            scores.append(said[chosen])
        return np.concatenate(boxes), np.concatenate(scores)

    def close(self) -> None:
        """Free the networks."""
        self._networks.close()


def _list_shapes(level: int) -> Array:
    """Return height and width (A, 2) px of a map's anchors; the first map has but three, with a small square."""
    scale = [_LEAST_SCALE + (_MOST_SCALE - _LEAST_SCALE) * i / (_N_MAPS - 1) for i in range(_N_MAPS)] + [1.0]
    pairs = [(scale[level], ratio) for ratio in _RATIOS] + [(float(np.sqrt(scale[level] * scale[level + 1])), 1.0)]
    if level == 0:
        pairs = [(0.1, 1.0), (scale[0], 2.0), (scale[0], 0.5)]
    return np.array([(s / np.sqrt(ratio), s * np.sqrt(ratio)) for s, ratio in pairs]) * _SIDE


def _list_cells(length: int) -> list[tuple[float, int, int]]:
    """Return for each map where its first cell's middle lies along a side of so many px, the step to the next, and their number.

    TensorFlow's "same" padding looks half a step further on at every halving of an even length, and not at one of an odd length.
    """
    first, step = 0.5, 1
    cells: list[tuple[float, int, int]] = []
    while len(cells) < _N_MAPS:
        first, step, length = first + step * (length % 2 == 0), 2 * step, (length + 1) // 2
        if step >= _FIRST_STRIDE:
            cells.append((first, step, length))
    return cells


def _continue(image: NDArray[np.uint8], margin: int) -> tuple[NDArray[np.uint8], int]:
    """Return the image mirrored at its edges, and by how many px."""
    import cv2

    most = min(margin, *(side - 1 for side in image.shape[:2]))
    wider: NDArray[np.uint8] = cv2.copyMakeBorder(image, most, most, most, most, cv2.BORDER_REFLECT_101)
    return wider, most


@frozen(kw_only=True, eq=False)
class Sights:
    """N boxes in one frame, best first: `boxes_xyxy` (N, 4) px, `scores` (N,) in [0, 1], `n_looks` (N,) that show each."""

    boxes_xyxy: Array
    scores: Array
    n_looks: NDArray[np.int64]


def merge_looks(looks: Sequence[tuple[Array, Array]]) -> Sights:
    """Return each box of several looks at one frame, (boxes (N, 4), scores (N,)), once: the surest of those that overlap.

    A box that lies in a surer one is a part of that person, or somebody of whom no more is seen than of a part.
    """
    boxes, scores = (np.concatenate(column) for column in zip(*looks, strict=True))
    look = np.repeat(np.arange(len(looks)), [len(found) for _, found in looks])
    ious, inside = compute_ious(boxes, boxes), share_inside(boxes, boxes)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if not ((ious[i, kept] > _SAME) | (inside[i, kept] > _INSIDE)).any():
            kept.append(i)
    n_looks = np.array([len(np.unique(look[ious[i] > _SAME])) for i in kept], np.int64)
    return Sights(boxes_xyxy=boxes[kept], scores=scores[kept], n_looks=n_looks)


class SsdFinder:
    """Places of people in a frame, by their boxes."""

    def __init__(self, settings: SsdSettings | None = None) -> None:
        self.settings = settings or SsdSettings()
        self._network = BoxNetwork()

    def find(self, image_rgb: NDArray[np.uint8], search: Search) -> Iterator[list[Place]]:
        """Yield the places, coarse to fine, best first; what `search` has found so far decides whether finer is worth it."""
        height, width = image_rgb.shape[:2]
        last = np.inf
        for group in self.settings.shorts:
            if np.isfinite(search.smallest()) and search.smallest() >= self.settings.descend * last:
                return
            last = _SIDE / group[-1] * min(height, width)
            looks = [self._network.find(image_rgb, short=s, least=_LEAST, area=search.area) for s in group]
            yield list_places(merge_looks(looks), width, height, least=self.settings.least_place)

    def close(self) -> None:
        """Free the network."""
        self._network.close()


def list_places(sights: Sights, width: int, height: int, *, least: float) -> list[Place]:
    """Return the places of boxes in a frame of this size, best first.

    A box counts from `least` on; one at the frame's left, right or upper edge also if two looks show it: less of that person is
    seen. Whoever is cut off by the lower edge shows the head.
    """
    size = np.array([width, height])
    boxes = sights.boxes_xyxy
    cut = (boxes[:, :2] <= _AT_EDGE * size).any(axis=1) | (boxes[:, 2] >= (1 - _AT_EDGE) * width)
    twice = cut & (sights.n_looks >= 2) & (sights.scores >= _LEAST_TWICE)
    return [
        PersonPlace(score=float(sights.scores[i]), box_xyxy=boxes[i], is_cut=bool(cut[i]), stands_alone=bool(twice[i]))
        for i in np.flatnonzero((sights.scores >= least) | twice)
    ]


class SsdDetector(PlaceDetector):
    """Finds every person in one image by face, then by box. A context manager; one instance belongs to one thread."""

    def __init__(self, team: PoseTeam | None = None, boxes: SsdSettings | None = None) -> None:
        super().__init__([FaceFinder(_FACES), SsdFinder(boxes)], team)
