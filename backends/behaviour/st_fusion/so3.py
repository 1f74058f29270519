"""Skeletons as relative rotations of body parts: points of SO(3) × … × SO(3), one for every ordered pair.

Seed C, after R. Vemulapalli, F. Arrate, R. Chellappa, "Human Action Recognition by Representing 3D Skeletons as Points in a Lie
Group", CVPR 2014: part m is turned onto part η about the axis ω = ê_m × ê_η / ‖ê_m × ê_η‖ by the angle θ = arccos(ê_m · ê_η). The
rotation is written as its logarithm ω θ, in radians. The axis is given in a frame of the body itself (up along the spine, across
from shoulder to shoulder), so that a body that turns or moves as a whole gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

__all__ = ["BLAZEPOSE_PARTS", "Parts", "choose_parts", "compute_pair_rotations"]

_EPSILON = 1e-6
_MOST_PARTS = 16


@frozen(kw_only=True)
class Parts:
    """Body parts as pairs of keypoint indices (from, to), and which of them stand for the body's own up and across.

    `up` and `across` are indices into `pairs`.
    """

    pairs: tuple[tuple[int, int], ...]
    up: int = 0
    across: int = 1

    @property
    def n_features(self) -> int:
        """Values that the pairs of parts give: three a pair."""
        return 3 * len(self.pairs) * (len(self.pairs) - 1)


BLAZEPOSE_PARTS = Parts(
    pairs=(
        (24, 12), (12, 11), (23, 11), (24, 23), (11, 13), (13, 15), (12, 14), (14, 16), (15, 19), (16, 20), (8, 7), (0, 9),
    )
)  # fmt: skip
"""Twelve parts of the 33-point skeleton's upper body: sides of the torso, shoulders, hips, arms, hands, ears, nose to mouth."""


def choose_parts(n_nodes: int, edges: Sequence[Sequence[int]] | None = None) -> Parts:
    """Return the parts of a skeleton: chosen ones for 33 points, else its edges (at most 16), else neighbours in its list."""
    if n_nodes == 33:
        return BLAZEPOSE_PARTS
    pairs = [(int(a), int(b)) for a, b in edges] if edges is not None and len(edges) else [(i, i + 1) for i in range(n_nodes - 1)]
    return Parts(pairs=tuple((a, b) for a, b in pairs if a != b)[:_MOST_PARTS])


def compute_pair_rotations(points: Tensor, seen: Tensor, parts: Parts) -> Tensor:
    """Return the logarithms of the rotations between parts.

    Args:
        points: (..., V, 3) keypoints in any unit.
        seen: (..., V) 1 where a keypoint is known.
        parts: P of them.

    Returns:
        (..., P (P − 1), 3) in radians, m slower than η; 0 where an end of either part, or the body's own frame, is not known.
    """
    n = len(parts.pairs)
    if n < 2:
        return points.new_zeros((*points.shape[:-2], 0, 3))
    first, last = torch.tensor(parts.pairs, device=points.device).T
    line = points[..., last, :] - points[..., first, :]
    length = line.norm(dim=-1, keepdim=True)
    known = (seen[..., last] * seen[..., first] > 0) & (length[..., 0] > _EPSILON)
    directions = line / length.clamp(min=_EPSILON)
    frame, upright = _find_frame(directions[..., parts.up, :], directions[..., parts.across, :])
    known = known & (upright & known[..., parts.up] & known[..., parts.across])[..., None]
    local = directions @ frame
    m, eta = torch.tensor([(i, j) for i in range(n) for j in range(n) if i != j], device=points.device).T
    both = (known[..., m] & known[..., eta])[..., None]
    logs: Tensor = _take_logs(local[..., m, :], local[..., eta, :]) * both
    return logs


def _find_frame(up: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """Return a rotation (..., 3, 3), columns across, up, ahead, of directions (..., 3), and whether they are not one line."""
    side = across - (across * up).sum(dim=-1, keepdim=True) * up
    length = side.norm(dim=-1, keepdim=True)
    side = side / length.clamp(min=_EPSILON)
    return torch.stack([side, up, torch.linalg.cross(side, up)], dim=-1), length[..., 0] > 1e-3


def _take_logs(start: Tensor, end: Tensor) -> Tensor:
    """Return ω θ (..., 3) of the shortest turns from unit vectors to unit vectors."""
    cross = torch.linalg.cross(start, end)
    sine, cosine = cross.norm(dim=-1, keepdim=True), (start * end).sum(dim=-1, keepdim=True)
    angle = torch.atan2(sine, cosine)
    helper = torch.zeros_like(start)
    helper[..., 0] = (start[..., 0].abs() < 0.9).to(start.dtype)
    helper[..., 1] = 1 - helper[..., 0]
    any_axis = torch.linalg.cross(start, helper)
    any_axis = any_axis / any_axis.norm(dim=-1, keepdim=True).clamp(min=_EPSILON)
    axis = torch.where(sine > _EPSILON, cross / sine.clamp(min=_EPSILON), any_axis)
    return axis * angle
