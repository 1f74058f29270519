"""Detector ``onnx``: any exported YOLO, RT-DETR or RTMDet network through onnxruntime.

How a frame goes in is read from the network's inputs, what comes out from its outputs:

- YOLOv5 to v7 (N, 5 + K) = cx, cy, w, h, objectness, class scores; YOLOv8 to v12 (4 + K, N), px of the input;
- YOLO with suppression built in (N, 6) = x1, y1, x2, y2, score, class;
- RT-DETR of Ultralytics (N, 4 + K), and DETR's pairs of outputs: boxes (N, 4) cx, cy, w, h in [0, 1], logits (N, K);
- RT-DETR's own and torchvision's: boxes (N, 4), scores (N,), labels (N,) in px of the frame or of the input;
- RTMDet through mmdeploy: dets (N, 5) = x1, y1, x2, y2, score, labels (N,).
"""

from __future__ import annotations

import ast
from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.people.boxes import BoxFinder, BoxSettings, find_person_class, read_checked, suppress_boxes
from backends.people.detector import PlaceDetector
from backends.people.team import PoseTeam
from schemas.errors import ModelError

__all__ = ["InputLayout", "OnnxDetector", "OnnxModel", "read_layout"]

_DYNAMIC_SIDE = 640
_GREY = 114
_COCO_CLASSES = 80
_MOST_RELATIVE = 2.0
"""Box coordinates up to here are shares of the input, not px."""
Array = NDArray[np.float64]
Found = tuple[Array, Array]
"""Boxes (N, 4) px of the input, scores (N,)."""


@frozen(kw_only=True)
class InputLayout:
    """How a frame goes in: `height` and `width` px, channels first or last, floats in [0, 1] or bytes."""

    name: str
    height: int
    width: int
    channels_first: bool
    dtype: str


def read_layout(path: str, name: str, shape: list[Any], kind: str) -> InputLayout:
    """Return the layout of an input from its shape and onnxruntime's name of its type.

    A size that is not fixed becomes 640.

    Raises:
        ModelError: if it takes no single RGB image.
    """
    dtypes = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
    channels_first = len(shape) == 4 and shape[1] == 3
    if len(shape) != 4 or not (channels_first or shape[3] == 3) or (isinstance(shape[0], int) and shape[0] != 1):
        raise ModelError(path, f"its input {name!r} has shape {shape}; expected (1, 3, H, W) or (1, H, W, 3)")
    if kind not in dtypes:
        raise ModelError(path, f"its input {name!r} is {kind}; expected float, float16 or uint8")
    height, width = (n if isinstance(n, int) else _DYNAMIC_SIDE for n in (shape[2:] if channels_first else shape[1:3]))
    return InputLayout(name=name, height=height, width=width, channels_first=channels_first, dtype=dtypes[kind])


class OnnxModel:
    """Boxes of people by one network. One instance belongs to one thread."""

    def __init__(self, settings: BoxSettings) -> None:
        import onnxruntime

        content = read_checked(settings)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(settings.path, f"does not load: {str(error).splitlines()[0]}") from error
        self._settings = settings
        entries = self._session.get_inputs()
        images = [entry for entry in entries if len(entry.shape) == 4]
        if not images:
            raise ModelError(settings.path, f"takes no image: inputs {[(e.name, e.shape) for e in entries]}")
        self.layout = read_layout(settings.path, images[0].name, images[0].shape, images[0].type)
        self._size_inputs = [entry.name for entry in entries if entry.name != self.layout.name]
        self._outputs = [entry.name for entry in self._session.get_outputs()]
        self._classes = settings.classes or self._read_classes()
        self._person = find_person_class(settings.path, self._classes, settings.person)

    def _read_classes(self) -> tuple[str, ...]:
        """Return the names that Ultralytics writes into the file, else COCO's 80 classes, of which only the first matters."""
        names = self._session.get_modelmeta().custom_metadata_map.get("names", "")
        try:
            table = ast.literal_eval(names) if names else {}
        except (SyntaxError, ValueError) as error:
            raise ModelError(self._settings.path, f"its class names cannot be read: {names[:60]!r}") from error
        known = [str(table[key]) for key in sorted(table)] if isinstance(table, dict) else [str(name) for name in table]
        return tuple(known) or ("person", *(f"class {i}" for i in range(1, _COCO_CLASSES)))

    def find_boxes(self, image_rgb: NDArray[np.uint8]) -> Found:
        """Return boxes (N, 4) px xyxy and scores (N,) in [0, 1] of the people in an RGB image (H, W, 3) uint8.

        Raises:
            ModelError: if the network fails, or gives what is no list of boxes.
        """
        image, zoom, left, top = _letterbox(image_rgb, self.layout.height, self.layout.width)
        feed: dict[str, Any] = {self.layout.name: self._pack(image)}
        feed |= {name: np.array([image.shape[:2]], np.int64) for name in self._size_inputs}
        try:
            outputs = [np.asarray(o) for o in self._session.run(None, feed)]
        except Exception as error:
            raise ModelError(self._settings.path, f"does not run: {str(error).splitlines()[0]}") from error
        boxes, scores = self._decode(outputs)
        sure = (scores >= self._settings.confidence) & np.isfinite(boxes).all(axis=1)
        placed = np.clip((boxes[sure] - (left, top, left, top)) / zoom, 0, np.tile(image_rgb.shape[1::-1], 2))
        there = (placed[:, 2:] > placed[:, :2]).all(axis=1)
        return suppress_boxes(placed[there], scores[sure][there], self._settings.overlap)

    def _pack(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        values = image if self.layout.dtype == "uint8" else (image / np.float32(255)).astype(self.layout.dtype)
        return np.ascontiguousarray(values.transpose(2, 0, 1) if self.layout.channels_first else values)[None]

    def _decode(self, outputs: list[NDArray[Any]]) -> Found:
        arrays = [o[0] if o.ndim > 1 and len(o) == 1 else o for o in outputs]
        if len(arrays) == 1:
            return self._decode_joined(arrays[0].astype(np.float64))
        boxes = next((a for a in arrays if a.ndim == 2 and a.shape[1] in (4, 5)), None)
        if boxes is not None:
            others = [a for a in arrays if a is not boxes and a.shape[:1] == boxes.shape[:1]]
            lists = [a for a in others if a.ndim == 1]
            tables = [a for a in others if a.ndim == 2]
            labels = next((a for a in lists if np.issubdtype(a.dtype, np.integer)), None)
            scores = boxes[:, 4] if boxes.shape[1] == 5 else next((a for a in lists if a is not labels), None)
            if labels is not None and scores is not None:
                return boxes[:, :4].astype(np.float64), np.where(labels == self._person, scores, 0).astype(np.float64)
            if tables and boxes.shape[1] == 4:
                return self._decode_pair(boxes.astype(np.float64), tables[0].astype(np.float64))
        shapes = ", ".join(f"{name} {list(o.shape)}" for name, o in zip(self._outputs, outputs, strict=True))
        raise self._refuse(shapes)

    def _decode_joined(self, table: Array) -> Found:
        """Boxes and scores in one table."""
        k = len(self._classes)
        if table.ndim == 2 and table.shape[1] == 6 and (table[:, 5] == table[:, 5].round()).all():
            return table[:, :4], np.where(table[:, 5] == self._person, table[:, 4], 0)
        if table.ndim != 2 or not {4 + k, 5 + k} & set(table.shape):
            raise self._refuse(f"{list(table.shape)} with {k} classes")
        rows = table if table.shape[1] in (4 + k, 5 + k) else table.T
        objectness = rows[:, 4] if rows.shape[1] == 5 + k else 1.0
        boxes, scores = rows[:, :4], rows[:, rows.shape[1] - k + self._person] * objectness
        relative = np.abs(boxes).max(initial=0) <= _MOST_RELATIVE
        return _corners(boxes) * (self._scale() if relative else 1), scores

    def _decode_pair(self, boxes: Array, table: Array) -> Found:
        """Boxes cx, cy, w, h in [0, 1] and a table of class logits or scores, as DETR gives them."""
        scores = table if table.min(initial=0) >= 0 and table.max(initial=0) <= 1 else 1 / (1 + np.exp(-np.clip(table, -60, 60)))
        return _corners(boxes) * self._scale(), scores[:, self._person]

    def _scale(self) -> Array:
        return np.tile(np.array([self.layout.width, self.layout.height], np.float64), 2)

    def _refuse(self, shapes: str) -> ModelError:
        expected = "YOLO's table, boxes with scores and labels, or dets and labels"
        return ModelError(self._settings.path, f"its outputs are {shapes}; expected {expected}")

    def close(self) -> None:
        """Free the network."""
        self._session = None


def _corners(boxes: Array) -> Array:
    """Return boxes cx, cy, w, h as x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2], axis=1)


def _letterbox(image: NDArray[np.uint8], height: int, width: int) -> tuple[NDArray[np.uint8], float, int, int]:
    """Return the image scaled to fit, in the middle of a grey one; the scale, and the widths of the left and upper margin."""
    import cv2

    zoom = min(height / image.shape[0], width / image.shape[1])
    inner_h, inner_w = (max(1, round(zoom * n)) for n in image.shape[:2])
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    canvas = np.full((height, width, 3), _GREY, np.uint8)
    flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    canvas[top : top + inner_h, left : left + inner_w] = cv2.resize(image, (inner_w, inner_h), interpolation=flags)
    return canvas, zoom, left, top


class OnnxDetector(PlaceDetector):
    """Finds every person in one image through a network exported to ONNX. A context manager; one instance belongs to one thread."""

    needs_network: ClassVar[bool] = True

    def __init__(self, team: PoseTeam | None = None, network: BoxSettings | None = None) -> None:
        super().__init__([BoxFinder(OnnxModel(network or BoxSettings()))], team)
