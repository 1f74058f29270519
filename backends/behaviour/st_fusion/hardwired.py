"""The hard-wired layer: what a network is shown of a clip is computed, not learned.

After S. Ji, W. Xu, M. Yang, K. Yu, "3D Convolutional Neural Networks for Human Action Recognition", PAMI 2013, sec. 3.1: grey
level, its gradients along x and y, and optical flow along x and y: of 7 frames 33 maps. The flow is that of B. Lucas, T. Kanade,
"An Iterative Image Registration Technique", 1981, eq. 9, in one step. Grey levels are standardised over the clip, so that neither
brightness nor contrast of the picture matter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["HardWired", "convert_to_grey", "count_maps"]

_LUMA = (0.299, 0.587, 0.114)
_WINDOW = 5
_DAMPING = 0.001
"""Added to the flow's normal equations (squared grey levels, in standard deviations): where nothing is to be seen, nothing
moves."""
_FASTEST = 4.0


def count_maps(n_frames: int) -> int:
    """Return how many maps the layer makes of a clip: three a frame, and two between any two frames."""
    return 3 * n_frames + 2 * (n_frames - 1)


def convert_to_grey(clips: Tensor) -> Tensor:
    """Return grey levels (B, T, H, W) in [0, 1] of RGB clips (B, T, H, W, 3) uint8."""
    weights = torch.tensor(_LUMA, device=clips.device) / 255
    return clips.float() @ weights


class HardWired(nn.Module):
    """Grey levels (B, T, H, W) to (B, 5, T, H, W): grey, ∂x, ∂y, flow along x and along y in px a frame (0 in the first frame)."""

    def forward(self, grey: Tensor) -> Tensor:
        """Return the maps."""
        level = grey.mean(dim=(1, 2, 3), keepdim=True)
        spread = grey.std(dim=(1, 2, 3), keepdim=True, correction=0).clamp(min=1e-3)
        smooth = _smooth((grey - level) / spread)
        across, down = _differentiate(smooth)
        flow = _compute_flow(smooth, across, down)
        first = torch.zeros_like(flow[:, :, :1])
        return torch.cat([torch.stack([smooth, across, down], dim=1), torch.cat([first, flow], dim=2)], dim=1)


def _smooth(grey: Tensor) -> Tensor:
    """Take off the sensor's noise: the mean of 3 × 3 pixels, weighted by 1, 2, 1."""
    padded = nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    rows = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 4
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4


def _differentiate(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Return central differences along x and y, in grey levels a pixel."""
    padded = nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    return (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2, (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2


def _compute_flow(grey: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Return the flow (B, 2, T - 1, H, W) from each frame to the next."""
    x, y = (across[:, 1:] + across[:, :-1]) / 2, (down[:, 1:] + down[:, :-1]) / 2
    change = grey[:, 1:] - grey[:, :-1]
    sums = nn.functional.avg_pool2d(
        torch.stack([x * x, y * y, x * y, x * change, y * change], dim=1).flatten(0, 2),
        _WINDOW,
        stride=1,
        padding=_WINDOW // 2,
        count_include_pad=False,
    ).view(len(grey), 5, *change.shape[1:])
    xx, yy, xy, xt, yt = sums.unbind(dim=1)
    xx, yy = xx + _DAMPING, yy + _DAMPING
    scale = xx * yy - xy * xy
    return torch.stack([(xy * yt - yy * xt) / scale, (xy * xt - xx * yt) / scale], dim=1).clamp(-_FASTEST, _FASTEST)
