"""What networks that read a sequence frame by frame share: standardised frames as vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from backends.behaviour.network import PoseNetwork

__all__ = ["FramesNetwork"]


class FramesNetwork(PoseNetwork):
    """A network that reads every frame as one vector of `n_inputs` numbers: all channels of all keypoints, then the seen marks."""

    def __init__(self, *, n_nodes: int, n_features: int) -> None:
        super().__init__(n_features)
        self.n_inputs = n_nodes * n_features

    def flatten_frames(self, features: Tensor) -> Tensor:
        """Return (B, T, n_inputs): (B, T, V, F) features, which are 0 where nothing is seen, standardised; the mark as it is.

        Its shift is 0 and its scale 1, and what is unseen stays 0: x / s − m · shift / s for all features, m the mark.
        """
        size = self.scale.reciprocal()
        return (features * size).addcmul_(features[..., -1:], self.shift * size, value=-1).flatten(2)

    def fold_standard(self, weight: Tensor) -> Tensor:
        """Return a layer's weights (C, n_inputs, ...) for frames that are not standardised: the same answer, one pass less."""
        each = weight.view(len(weight), -1, len(self.scale), *weight.shape[2:])
        size, offset = (x.view(-1, *[1] * (weight.dim() - 2)) for x in (self.scale.reciprocal(), self.shift / self.scale))
        marks = each[:, :, -1] - (each * offset).sum(dim=2)
        return torch.cat([each[:, :, :-1] * size[:-1], marks[:, :, None]], dim=2).flatten(1, 2)
