"""The detection head of seed C: anchors, the box code, what overlaps, and whether it learns to find and name shapes."""

import numpy as np
import pytest
import torch

from backends.behaviour.st_fusion.anchors import AnchorHead, cluster_anchors, decode_boxes, encode_boxes
from backends.training import isolate_random
from schemas.errors import InvalidField, NotEnoughData


def test_anchors_are_the_sizes_that_the_boxes_have():
    rng = np.random.default_rng(0)
    truth = np.array([[0.1, 0.1], [0.1, 0.4], [0.4, 0.12], [0.3, 0.3], [0.7, 0.6]])
    sizes = np.repeat(truth, 60, axis=0) * rng.uniform(0.92, 1.08, (300, 2))
    anchors = cluster_anchors(rng.permutation(sizes), 5)
    np.testing.assert_allclose(anchors, truth[np.argsort(truth.prod(axis=1))], rtol=0.05)
    np.testing.assert_array_equal(cluster_anchors(sizes, 5, seed=4), cluster_anchors(sizes, 5, seed=4))


def test_anchors_need_boxes():
    with pytest.raises(NotEnoughData, match="boxes to find anchors in: need at least 5, have 3"):
        cluster_anchors(np.ones((3, 2)))
    with pytest.raises(InvalidField, match="sizes: expected positive widths"):
        cluster_anchors(np.zeros((9, 2)))


def test_boxes_come_back_from_their_code():
    generator = torch.Generator().manual_seed(0)
    boxes = 0.05 + 0.9 * torch.rand(200, 4, generator=generator, dtype=torch.float64)
    anchors = 0.1 + torch.rand(200, 2, generator=generator, dtype=torch.float64)
    cells = (boxes[:, :2] * 4).floor()
    values = encode_boxes(boxes, cells, anchors, 4)
    np.testing.assert_allclose(decode_boxes(values, cells, anchors, 4), boxes, atol=1e-6)
    np.testing.assert_allclose(values[:, 2:], np.log(boxes[:, 2:] / anchors), atol=1e-12)


def test_find_keeps_the_best_of_boxes_that_overlap_and_what_stands_apart():
    head = AnchorHead(1, 2, np.array([[0.4, 0.4], [0.42, 0.42]]))
    said = torch.full((1, 4, 4, 2, 7), -6.0)
    said[..., :4] = 0.0
    said[0, 1, 1, 0, 4:] = torch.tensor([4.0, 5.0, 0.0])
    said[0, 1, 1, 1, 4:] = torch.tensor([2.0, 5.0, 0.0])
    said[0, 3, 3, 0, 4:] = torch.tensor([3.0, 0.0, 5.0])
    (found,) = head.find(said)
    assert found.labels.tolist() == [0, 1]
    np.testing.assert_allclose(found.boxes, [[0.175, 0.175, 0.575, 0.575], [0.675, 0.675, 1.075, 1.075]], atol=1e-6)
    assert found.scores[0] > found.scores[1] > 0.9
    (nothing,) = head.find(torch.full((1, 4, 4, 2, 7), -6.0))
    assert nothing.boxes.shape == (0, 4)
    assert head(torch.zeros(3, 1, 4, 4)).shape == (3, 4, 4, 2, 7)


def draw_shapes(n, rng):
    """Pictures (n, 1, 32, 32) of one bar each, lying (class 0) or standing (class 1), and their boxes and classes."""
    pictures, boxes, labels = np.zeros((n, 1, 32, 32), np.float32), np.zeros((n, 4), np.float32), rng.integers(0, 2, n)
    for i, standing in enumerate(labels):
        long, short = int(rng.integers(12, 20)), int(rng.integers(4, 8))
        w, h = (short, long) if standing else (long, short)
        x, y = int(rng.integers(0, 32 - w)), int(rng.integers(0, 32 - h))
        pictures[i, 0, y : y + h, x : x + w] = 1
        boxes[i] = (x + w / 2) / 32, (y + h / 2) / 32, w / 32, h / 32
    return torch.tensor(pictures + rng.normal(0, 0.1, pictures.shape).astype(np.float32)), torch.tensor(boxes), torch.tensor(labels)


def test_the_head_learns_where_things_are_and_what_they_do():
    rng = np.random.default_rng(1)
    pictures, boxes, labels = draw_shapes(512, rng)
    with isolate_random(0):
        layers = []
        for n_in, n_out in ((1, 8), (8, 16), (16, 32)):
            layers += [torch.nn.Conv2d(n_in, n_out, 5, stride=2, padding=2), torch.nn.BatchNorm2d(n_out), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers, AnchorHead(32, 2, cluster_anchors(boxes[:, 2:].numpy(), 5)))
        head = network[-1]
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(30):
            for rows in torch.randperm(512).split(32):
                optimiser.zero_grad()
                head.compute_loss(network(pictures[rows]), boxes[rows], labels[rows], torch.arange(len(rows))).backward()
                optimiser.step()
    network.eval()
    pictures, boxes, labels = draw_shapes(100, rng)
    with torch.no_grad():
        found = head.find(network(pictures))
    right = 0
    for one, box, label in zip(found, boxes.numpy(), labels.numpy(), strict=True):
        corners = np.concatenate([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2])
        if len(one.boxes):
            shared = np.clip(np.minimum(one.boxes[0, 2:], corners[2:]) - np.maximum(one.boxes[0, :2], corners[:2]), 0, None).prod()
            areas = (one.boxes[0, 2:] - one.boxes[0, :2]).prod() + box[2:].prod()
            right += shared / (areas - shared) >= 0.5 and one.labels[0] == label
    assert right >= 80
