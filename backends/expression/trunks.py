"""Trunks of three families, in sizes that answer on a CPU: a picture (B, 3, H, W) to features (B, n_out).

MobileNetV1 (A. Howard et al., 2017, table 1), ShuffleNetV2 (N. Ma et al., ECCV 2018, fig. 3 c, d) and ResNet (K. He et al., CVPR
2016, fig. 5 left), each with fewer and narrower stages than for 224 px. `timm` was considered: it imports torchvision, of which
there is no CPU build here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["MobileNetTrunk", "ResNetTrunk", "ShuffleNetTrunk", "Trunk"]


class Standardise(nn.Module):
    """Each picture less its mean, in units of its standard deviation: the light does not matter."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (B, 3, H, W)."""
        centred = pictures - pictures.mean(dim=(1, 2, 3), keepdim=True)
        return centred / (centred.pow(2).mean(dim=(1, 2, 3), keepdim=True) + 1e-4).sqrt()


class Trunk(nn.Sequential):
    """Pictures standardised, blocks, then the mean over the picture."""

    n_out: int

    def __init__(self, *blocks: nn.Module, n_out: int) -> None:
        super().__init__(Standardise(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.n_out = n_out


def _conv(n_in: int, n_out: int, kernel: int = 3, *, stride: int = 1, groups: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution, batch norm and, where wanted, ReLU."""
    conv = nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), *([nn.ReLU(inplace=True)] if relu else []))


class MobileNetTrunk(Trunk):
    """MobileNetV1: depthwise, then pointwise convolutions."""

    def __init__(self, *, width: float = 0.5) -> None:
        plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
        n_in = round(32 * width)
        blocks: list[nn.Module] = [_conv(3, n_in, stride=2)]
        for full, stride in plan:
            n_out = round(full * width)
            blocks += [_conv(n_in, n_in, stride=stride, groups=n_in), _conv(n_in, n_out, 1)]
            n_in = n_out
        super().__init__(*blocks, n_out=n_in)


class ShuffleUnit(nn.Module):
    """Half of the channels pass, half are convolved, and they are shuffled; with a stride of 2 both halves are convolved."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        half = n_out // 2
        self.splits = stride == 1
        entered = half if self.splits else n_in
        self.pass_by = (
            nn.Identity()
            if self.splits
            else nn.Sequential(_conv(n_in, n_in, stride=2, groups=n_in, relu=False), _conv(n_in, half, 1))
        )
        self.main = nn.Sequential(
            _conv(entered, half, 1), _conv(half, half, stride=stride, groups=half, relu=False), _conv(half, half, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_out, H / stride, W / stride)."""
        left, right = x.chunk(2, dim=1) if self.splits else (x, x)
        both = torch.stack([self.pass_by(left), self.main(right)], dim=2)
        return both.flatten(1, 2)


class ShuffleNetTrunk(Trunk):
    """ShuffleNetV2."""

    def __init__(self, *, width: float = 0.5) -> None:
        sizes = [2 * round(n * width / 2) for n in (116, 232, 464)]
        n_in = 24
        blocks: list[nn.Module] = [_conv(3, n_in, stride=2)]
        for n_out, repeats in zip(sizes, (2, 3, 2), strict=True):
            for i in range(repeats):
                blocks.append(ShuffleUnit(n_in, n_out, 1 if i else 2))
                n_in = n_out
        super().__init__(*blocks, _conv(n_in, 256, 1), n_out=256)


class ResidualBlock(nn.Module):
    """ReLU(x + two 3 × 3 convolutions of x); the shortcut is a 1 × 1 convolution where shapes differ."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(_conv(n_in, n_out, stride=stride), _conv(n_out, n_out, relu=False))
        same = stride == 1 and n_in == n_out
        self.shortcut = nn.Identity() if same else _conv(n_in, n_out, 1, stride=stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_out, H / stride, W / stride)."""
        return torch.relu(self.shortcut(x) + self.main(x))


class ResNetTrunk(Trunk):
    """ResNet of basic blocks, two a stage."""

    def __init__(self, *, width: float = 0.25) -> None:
        n_in = round(64 * width)
        blocks: list[nn.Module] = [_conv(3, n_in, stride=2)]
        for full, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
            n_out = round(full * width)
            blocks.append(ResidualBlock(n_in, n_out, stride))
            n_in = n_out
        super().__init__(*blocks, n_out=n_in)
