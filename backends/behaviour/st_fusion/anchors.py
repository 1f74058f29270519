"""The detection head of seed C: anchors found by k-means on the data, box regression, non-maximum suppression.

A grid of cells, each with A anchors of Num + 5 values: box offsets t_x, t_y, t_w, t_h, whether there is somebody, and a logit for
each of Num behaviours. Boxes are coded as in J. Redmon, A. Farhadi, "YOLO9000", CVPR 2017, sec. 2: b_x = (c_x + σ(t_x)) / grid,
b_w = p_w exp(t_w); anchors are clustered by 1 − IoU, sec. 2 "Dimension Clusters". Boxes are (centre x, centre y, width, height) in
shares of the picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.people.boxes import suppress_boxes
from schemas.checks import check_array
from schemas.errors import InvalidField, NotEnoughData

__all__ = ["AnchorHead", "Found", "cluster_anchors", "decode_boxes", "encode_boxes"]

_EPSILON = 1e-6
_MOST_GROWTH = 4.0
"""A box is at most exp(4) times its anchor: exp of an untrained value must not overflow."""


def cluster_anchors(sizes: NDArray[Any], n_anchors: int = 5, *, seed: int = 0, rounds: int = 100) -> NDArray[np.float64]:
    """Return anchors (A, 2), small to large, around which the box sizes (N, 2) lie: k-means with 1 − IoU as the distance.

    Raises:
        InvalidField: if a size is not positive.
        NotEnoughData: if there are fewer sizes than anchors.
    """
    boxes = check_array("sizes", sizes, (None, 2)).astype(np.float64)
    if not (np.isfinite(boxes).all() and (boxes > 0).all()):
        raise InvalidField("sizes", "positive widths and heights", "0, less, or NaN")
    if len(boxes) < n_anchors:
        raise NotEnoughData("boxes to find anchors in", n_anchors, len(boxes))
    rng = np.random.default_rng(seed)
    anchors = boxes[rng.choice(len(boxes), 1)]
    while len(anchors) < n_anchors:
        far = (1 - _overlap_sizes(boxes, anchors).max(axis=1)) ** 2 + 1e-12
        anchors = np.concatenate([anchors, boxes[rng.choice(len(boxes), 1, p=far / far.sum())]])
    for _ in range(rounds):
        nearest = _overlap_sizes(boxes, anchors).argmax(axis=1)
        moved = np.array([np.median(boxes[nearest == k], axis=0) if (nearest == k).any() else anchors[k] for k in range(n_anchors)])
        if np.allclose(moved, anchors):
            break
        anchors = moved
    ordered: NDArray[np.float64] = anchors[np.argsort(anchors.prod(axis=1), kind="stable")]
    return ordered


def _overlap_sizes(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU (N, A) of boxes that share their centre."""
    both: NDArray[np.float64] = np.minimum(a[:, None], b[None]).prod(axis=2)
    ratio: NDArray[np.float64] = both / (a.prod(axis=1)[:, None] + b.prod(axis=1)[None] - both)
    return ratio


def encode_boxes(boxes: Tensor, cells: Tensor, anchors: Tensor, grid: int) -> Tensor:
    """Return t (N, 4) of boxes (N, 4) that lie in `cells` (N, 2) = column, row, for their anchors (N, 2)."""
    inside = (boxes[:, :2] * grid - cells).clamp(_EPSILON, 1 - _EPSILON)
    return torch.cat([torch.logit(inside), torch.log(boxes[:, 2:] / anchors)], dim=1)


def decode_boxes(values: Tensor, cells: Tensor, anchors: Tensor, grid: int) -> Tensor:
    """Return boxes (N, 4) of t (N, 4); the inverse of `encode_boxes`."""
    centre = (cells + torch.sigmoid(values[:, :2])) / grid
    return torch.cat([centre, anchors * torch.exp(values[:, 2:].clamp(max=_MOST_GROWTH))], dim=1)


@frozen(kw_only=True, eq=False)
class Found:
    """What one picture shows, best first: `boxes` (N, 4) x1, y1, x2, y2 in shares, `scores` (N,), `labels` (N,) class numbers."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


class AnchorHead(nn.Module):
    """1 × 1 convolution of features (B, C, G, G) to A · (Num + 5) channels a cell, its loss, and the boxes it means."""

    anchors: Tensor

    def __init__(self, n_in: int, n_classes: int, anchors: NDArray[Any]) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.register_buffer("anchors", torch.as_tensor(np.asarray(anchors, np.float32)))
        self.conv = nn.Conv2d(n_in, len(anchors) * (n_classes + 5), 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, G, G, A, Num + 5)."""
        batch, _, rows, columns = maps.shape
        said: Tensor = self.conv(maps).view(batch, len(self.anchors), self.n_classes + 5, rows, columns)
        return said.permute(0, 3, 4, 1, 2)

    def compute_loss(self, said: Tensor, boxes: Tensor, labels: Tensor, pictures: Tensor) -> Tensor:
        """Return the loss of `said` (B, G, G, A, Num + 5): squared error of t, and cross-entropies of presence and behaviour.

        Args:
            said: what the head said.
            boxes: (N, 4) centre, width, height in shares.
            labels: (N,) class numbers.
            pictures: (N,) in which picture of the batch each box is.
        """
        grid = said.shape[1]
        cells = (boxes[:, :2] * grid).floor().clamp(0, grid - 1)
        best = _overlap_torch(boxes[:, 2:], self.anchors).argmax(dim=1)
        column, row = cells.long().T
        own = said[pictures, row, column, best]
        wanted = encode_boxes(boxes, cells, self.anchors[best], grid)
        present = torch.zeros_like(said[..., 4])
        present[pictures, row, column, best] = 1.0
        place = nn.functional.mse_loss(torch.sigmoid(own[:, :2]), torch.sigmoid(wanted[:, :2]))
        size = nn.functional.mse_loss(own[:, 2:4], wanted[:, 2:])
        there = nn.functional.binary_cross_entropy_with_logits(said[..., 4], present, reduction="sum") / len(boxes)
        return 5 * (place + size) + there + nn.functional.cross_entropy(own[:, 5:], labels)

    @torch.no_grad()
    def find(self, said: Tensor, *, least: float = 0.3, overlap: float = 0.45) -> list[Found]:
        """Return what each picture shows: boxes with a score of `least` on, without those that a better one overlaps."""
        grid, n_anchors = said.shape[1], len(self.anchors)
        row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
        cells = torch.stack([column, row], dim=-1)[:, :, None].expand(-1, -1, n_anchors, -1).reshape(-1, 2).to(said)
        anchors = self.anchors.repeat(grid * grid, 1)
        found = []
        for picture in said.reshape(len(said), -1, said.shape[-1]):
            boxes = decode_boxes(picture[:, :4], cells, anchors, grid).double()
            centre, size = boxes[:, :2], boxes[:, 2:]
            probs = torch.softmax(picture[:, 5:].double(), dim=1)
            scores = torch.sigmoid(picture[:, 4].double()) * probs.amax(dim=1)
            corners = torch.cat([centre - size / 2, centre + size / 2], dim=1)
            found.append(_select(corners.numpy(), scores.numpy(), probs.argmax(dim=1).numpy(), least, overlap))
        return found


def _select(
    corners: NDArray[np.float64], scores: NDArray[np.float64], labels: NDArray[np.int64], least: float, overlap: float
) -> Found:
    sure = np.flatnonzero(scores >= least)
    boxes, kept = suppress_boxes(corners[sure], scores[sure], overlap)
    order = [int(np.flatnonzero((corners[sure] == box).all(axis=1))[0]) for box in boxes]
    return Found(boxes=boxes.reshape(-1, 4), scores=kept, labels=labels[sure][order])


def _overlap_torch(a: Tensor, b: Tensor) -> Tensor:
    both = torch.minimum(a[:, None], b[None]).prod(dim=2)
    return both / (a.prod(dim=1)[:, None] + b.prod(dim=1)[None] - both)
