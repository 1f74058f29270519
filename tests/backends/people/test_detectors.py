"""Every detector of the registry keeps the contract; those that come without a network are given one made here."""

import hashlib

import numpy as np
import pytest
from contracts import check_detector
from fixtures_networks import make_object_network

from backends.people import DETECTORS
from backends.people.boxes import BoxSettings
from backends.people.bundles import find_bundle
from backends.people.dense import BODIES, FACES, DenseNetwork
from backends.people.detector import open_detector
from backends.people.networks import LiteNetwork
from backends.people.objects import ObjectModel
from backends.people.tflite_edit import make_dense, resize_dense
from schemas.errors import InvalidField, ModelError

pytestmark = pytest.mark.usefixtures("bundle_folder")
PERSON = (0.02, 0.08, 1.0, 0.86)
"""Box y1, x1, y2, x2 of the astronaut, in [0, 1]."""


def name_file(path, **others):
    return BoxSettings(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest(), **others)


def export_person(folder):
    """A YOLO with suppression built in that always sees the astronaut and a chair."""
    import warnings

    import torch

    y1, x1, y2, x2 = (128 * v for v in PERSON)
    table = torch.tensor([[[x1, y1, x2, y2, 0.9, 0.0], [0, 0, 30, 30, 0.8, 1.0]]])

    class Network(torch.nn.Module):
        def forward(self, image):
            return table + image.mean() * 0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Network(), (torch.zeros(1, 3, 128, 128),), str(folder / "net.onnx"), dynamo=False)
    return folder / "net.onnx"


@pytest.fixture(params=list(DETECTORS))
def make(request, tmp_path):
    """Return a function that opens the detector."""
    if request.param == "ssd":
        request.getfixturevalue("object_boxes")
    networks = {"onnx": export_person, "mediapipe-object": lambda folder: make_object_network(folder, [PERSON])}
    network = name_file(networks[request.param](tmp_path)) if request.param in networks else None
    return lambda: open_detector(request.param, network)


def test_detectors_keep_the_contract(make, astronaut):
    check_detector(make, astronaut, nose=(222, 128))


def test_boxes_of_an_object_detector_are_in_frame_px_and_of_the_class_that_counts(tmp_path):
    path = make_object_network(tmp_path, [(0.1, 0.2, 0.9, 0.6), (0.3, 0.3, 0.5, 0.5)])
    model = ObjectModel(name_file(path))
    boxes, scores = model.find_boxes(np.zeros((100, 200, 3), np.uint8))
    np.testing.assert_allclose(boxes, [[40, 10, 120, 90]], atol=1)
    assert scores == pytest.approx([0.9])
    model.close()
    chairs = ObjectModel(name_file(path, person="chair"))
    np.testing.assert_allclose(chairs.find_boxes(np.zeros((100, 200, 3), np.uint8))[0], [[60, 30, 100, 50]], atol=1)
    chairs.close()


def test_an_object_detector_that_is_none_is_refused_in_one_line(tmp_path):
    with pytest.raises(InvalidField, match="this detector comes without one"):
        open_detector("mediapipe-object")
    path = tmp_path / "text.tflite"
    path.write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"text\.tflite: does not load"):
        ObjectModel(name_file(path))


@pytest.mark.parametrize(("spec", "size"), [(BODIES, 224), (FACES, 192)])
def test_a_larger_canvas_sees_what_a_square_of_its_own_would(spec, size, astronaut):
    import cv2

    photo = cv2.resize(astronaut, (size, size), interpolation=cv2.INTER_AREA)
    wide = np.full((size, 3 * size, 3), 128, np.uint8)
    wide[:, size : 2 * size] = photo
    network = DenseNetwork(spec)
    alone, among = (network.find(image, short=size, least=0.5) for image in (photo, wide))
    beside, part = (network.find(wide, short=size, least=0.5, area=(x, 0, x + size, size)) for x in (2 * size, size))
    network.close()
    assert len(alone) == len(among) == len(part) == 1
    assert len(beside) == 0
    np.testing.assert_allclose(part.points - (size, 0), alone.points, atol=1e-3)
    apart = np.linalg.norm(among.points[0] - (size, 0) - alone.points[0], axis=1)
    assert apart.max() < 0.08 * size


def test_a_dense_network_of_another_size_is_the_same_file_but_for_some_numbers():
    dense = make_dense(find_bundle(BODIES.bundle).read_bytes())
    resized = resize_dense(dense, 448, 800)
    assert len(resized) == len(dense)
    assert 0 < (np.frombuffer(resized, np.uint8) != np.frombuffer(dense, np.uint8)).sum() < 100
    assert resize_dense(dense, 224, 224) == dense
    shapes = set(LiteNetwork(resized).run(np.zeros((448, 800, 3), np.float32)))
    assert {shape[1:3] for shape in shapes} == {(448 // stride, 800 // stride) for stride, _ in BODIES.strides}
