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
        standard = torch.addcmul(features / self.scale, features[..., -1:], self.shift / self.scale, value=-1)
        return standard.flatten(2)
