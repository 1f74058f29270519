"""Networks of every usual output layout, exported here from torch, with boxes that are known."""

import hashlib

import numpy as np
import pytest
import torch

from backends.people.boxes import BoxSettings
from backends.people.detector import open_detector
from backends.people.onnx import OnnxDetector, OnnxModel, read_layout
from schemas.errors import InvalidField, ModelError

BOXES = np.array([[32.0, 16.0, 96.0, 112.0], [20.0, 30.0, 40.0, 60.0]], np.float32)
"""In px of an input of 128 x 128: a person, and a chair."""


def as_centres(boxes):
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


V5 = np.concatenate([as_centres(BOXES), [[0.9, 1.0, 0.0], [0.8, 0.0, 1.0]]], axis=1).astype(np.float32)
V8 = np.concatenate([as_centres(BOXES), [[0.9, 0.0], [0.0, 0.8]]], axis=1).astype(np.float32)
FINISHED = np.concatenate([BOXES, [[0.9, 0.0], [0.8, 1.0]]], axis=1).astype(np.float32)
RELATIVE = (as_centres(BOXES) / 128).astype(np.float32)
LOGITS = np.array([[2.1972246, -9], [-9, 1.3862944]], np.float32)
LAYOUTS = {
    "yolov5": [V5],
    "yolov8": [np.repeat(V8, 6, axis=0).T],
    "yolo with suppression": [FINISHED],
    "rt-detr of ultralytics": [np.concatenate([RELATIVE, V8[:, 4:]], axis=1)],
    "detr": [LOGITS, RELATIVE],
    "rt-detr": [np.array([0, 1]), BOXES, np.array([0.9, 0.8], np.float32)],
    "rtmdet of mmdeploy": [FINISHED[:, :5], np.array([0, 1])],
}


class Constant(torch.nn.Module):
    """Gives the same whatever it sees, but only where it sees something: the image's mean times 0 is added."""

    def __init__(self, outputs):
        super().__init__()
        self.values = [torch.as_tensor(np.ascontiguousarray(o))[None] for o in outputs]

    def forward(self, image):
        nothing = image.to(torch.float32).mean() * 0
        return tuple(v + nothing.to(v.dtype) for v in self.values)


class Bright(torch.nn.Module):
    """Finds the bounding box of what is brighter than a half: an answer as RTMDet gives it."""

    def forward(self, image):
        if image.shape[1] != 3:
            image = image.permute(0, 3, 1, 2)
        bright = (image.to(torch.float32).mean(1)[0] > self.level).to(torch.float32)
        size = image.shape[2]
        ramp = torch.arange(size, dtype=torch.float32)
        x, y = bright.amax(0), bright.amax(1)
        low = [torch.where(v > 0, ramp, torch.full_like(ramp, 9999.0)).amin() for v in (x, y)]
        high = [torch.where(v > 0, ramp, torch.full_like(ramp, -1.0)).amax() + 1 for v in (x, y)]
        return torch.stack([*low, *high, torch.tensor(0.75)])[None, None], torch.zeros((1, 1), dtype=torch.int64)


def export(network, path, example, **options):
    """Write the network and return the settings that name it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (example,), str(path), dynamo=False, input_names=["image"], **options)
    return BoxSettings(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest(), classes=("person", "chair"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_person_in_frame_px(tmp_path, layout):
    settings = export(Constant(LAYOUTS[layout]), tmp_path / "net.onnx", torch.zeros(1, 3, 128, 128))
    model = OnnxModel(settings)
    boxes, scores = model.find_boxes(np.zeros((256, 512, 3), np.uint8))
    np.testing.assert_allclose(scores, [0.9], atol=1e-4)
    np.testing.assert_allclose(boxes, [[128, 0, 384, 256]], atol=1e-3)  # 4 times as large, less the margin of 32 above, clipped
    model.close()


@pytest.mark.parametrize(
    ("shape", "dtype", "dynamic"),
    [((1, 3, 64, 64), torch.float32, None), ((1, 64, 64, 3), torch.uint8, None), ((1, 3, 64, 64), torch.float32, {2: "h", 3: "w"})],
    ids=["fixed", "bytes, channels last", "any size"],
)
def test_the_box_is_around_what_is_bright_whatever_the_input(tmp_path, shape, dtype, dynamic):
    network = Bright()
    network.level = 127.0 if dtype is torch.uint8 else 0.5
    if dynamic:
        settings = export(Constant([FINISHED]), tmp_path / "n.onnx", torch.zeros(shape), dynamic_axes={"image": dynamic})
        assert (OnnxModel(settings).layout.height, OnnxModel(settings).layout.width) == (640, 640)
        return
    model = OnnxModel(export(network, tmp_path / "n.onnx", torch.zeros(shape, dtype=dtype)))
    image = np.zeros((128, 128, 3), np.uint8)
    image[20:100, 40:80] = 255
    boxes, scores = model.find_boxes(image)
    np.testing.assert_allclose(boxes, [[40, 20, 80, 100]], atol=2)
    assert scores == pytest.approx([0.75])


def test_people_of_boxes_get_landmarks_each_once(tmp_path, bundle_folder, astronaut):
    boxes = np.array([[40.0, 10.0, 440.0, 512.0], [50, 20, 430, 500], [380, 10, 500, 120]], np.float32) / 4
    table = np.concatenate([boxes, [[0.9, 0.0], [0.7, 0.0], [0.6, 0.0]]], axis=1).astype(np.float32)
    settings = export(Constant([table]), tmp_path / "net.onnx", torch.zeros(1, 3, 128, 128))
    with OnnxDetector(network=settings) as detector:
        found = detector.detect(astronaut)
    assert len(found) == 1
    assert np.hypot(*(found.pose_px[0, 0, :2] - (222, 128))) < 15


def test_what_is_wrong_is_said_in_one_line(tmp_path):
    good = export(Constant([FINISHED]), tmp_path / "net.onnx", torch.zeros(1, 3, 64, 64))
    with pytest.raises(InvalidField, match=r"preannotation.path: expected the network's file and its SHA-256"):
        open_detector("onnx")
    with pytest.raises(ModelError, match="is another file than the one named: SHA-256"):
        OnnxModel(BoxSettings(path=good.path, sha256="0" * 64))
    with pytest.raises(ModelError, match="cannot be read"):
        OnnxModel(BoxSettings(path=str(tmp_path / "none.onnx"), sha256="0" * 64))
    with pytest.raises(ModelError, match="has no class 'person' among its 2: cat, dog"):
        OnnxModel(BoxSettings(path=good.path, sha256=good.sha256, classes=("cat", "dog")))
    odd = export(Constant([np.zeros((3, 9), np.float32)]), tmp_path / "odd.onnx", torch.zeros(1, 3, 64, 64))
    with pytest.raises(ModelError, match=r"its outputs are \[3, 9\] with 2 classes; expected YOLO's table"):
        OnnxModel(odd).find_boxes(np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "text.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match="does not load"):
        OnnxModel(BoxSettings(path=str(tmp_path / "text.onnx"), sha256=hashlib.sha256(b"no network").hexdigest()))


@pytest.mark.parametrize(("shape", "kind"), [([1, 1, 64, 64], "tensor(float)"), ([4, 3, 64, 64], "tensor(float)")])
def test_inputs_that_take_no_single_rgb_image_are_refused(shape, kind):
    with pytest.raises(ModelError, match=r"expected \(1, 3, H, W\) or \(1, H, W, 3\)"):
        read_layout("net.onnx", "image", shape, kind)
    with pytest.raises(ModelError, match="expected float, float16 or uint8"):
        read_layout("net.onnx", "image", [1, 3, 8, 8], "tensor(double)")
    assert read_layout("net.onnx", "image", ["n", 3, "h", "w"], "tensor(float16)").dtype == "float16"
