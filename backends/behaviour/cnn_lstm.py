"""Pose CNN-LSTM of seed D, as given.

S. N. Iskandarova, X. U. Jurayev, "Classification of Student Actions Through 2D Pose-Based CNN-LSTM Networks" (2025): landmarks 1
to 24 of MediaPipe, input (max_frames, 24, 3) = x, y, confidence; TimeDistributed Conv1D and MaxPool1D along the landmarks,
flatten, LSTM(128), Dense with L2, Dropout 0.6, softmax; Adam on cross-entropy, early stopping with patience 3 on the validation
loss, learning rate × 0.5 after 2 flat epochs down to 1e-6, batches of 32, at most 100 epochs (`TrainingPlan`'s defaults). The
paper does not say how wide the convolutions and the dense layer are: here 32 and 64 maps, 64 units. Coordinates are relative to
the person, as several sit in a picture; where there is no confidence, 1 marks seen points. Nor does it say whether clips were
augmented: here they are, lightly, and the fewer there are, the more variants of each make an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from attrs import evolve
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.base import Progress
from backends.behaviour.network import NetworkModel, PoseNetwork
from backends.behaviour.normalise import list_nodes
from backends.training import TrainingPlan
from schemas.sequences import SequenceSet

__all__ = ["CnnLstm", "PoseCnnLstm", "count_passes"]

_FRAMES_AN_EPOCH, _MOST_PASSES = 96_000, 8
"""An epoch shows at most so many frames, and each sequence at least once."""


class PoseCnnLstm(PoseNetwork):
    """The network: (B, T, V, F) features, of which x, y and the last but one (confidence, if there is one) are read, to logits."""

    def __init__(
        self,
        *,
        n_nodes: int,
        n_features: int,
        n_classes: int,
        channels: tuple[int, int] = (32, 64),
        hidden: int = 128,
        dense: int = 64,
    ) -> None:
        super().__init__(n_features)
        first, second = channels
        self.confidence = n_features - 2 if n_features >= 4 else n_features - 1
        self.frame = nn.Sequential(
            nn.Conv1d(3, first, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2, ceil_mode=True),
            nn.Conv1d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2, ceil_mode=True),
            nn.Flatten(),
        )
        self.lstm = nn.LSTM(second * ((n_nodes + 3) // 4), hidden, batch_first=True)
        self.dense = nn.Linear(hidden, dense)
        self.dropout = nn.Dropout(0.6)
        self.out = nn.Linear(dense, n_classes)
        self.n_embedded = hidden

    def embed(self, features: Tensor) -> Tensor:
        """Return the last (B, 128) state of the LSTM."""
        n, n_frames, n_nodes, _ = features.shape
        scaled = torch.cat([(features[..., :-1] - self.shift[:-1]) / self.scale[:-1], features[..., -1:]], dim=-1)
        read = scaled[..., [0, 1, self.confidence]] * features[..., -1:]
        frames = self.frame(read.reshape(n * n_frames, n_nodes, 3).transpose(1, 2))
        _, (last, _) = self.lstm(frames.reshape(n, n_frames, -1))
        state: Tensor = last[-1]
        return state

    def forward(self, features: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.out(self.dropout(torch.relu(self.dense(self.embed(features)))))
        return logits

    def compute_penalty(self) -> Tensor:
        """Return the sum of squares of the dense layer's weights."""
        return (self.dense.weight**2).sum()


def count_passes(n_frames: int) -> int:
    """Return how often an epoch goes through a training set of so many frames in all: the smaller it is, the more variants."""
    return min(max(_FRAMES_AN_EPOCH // max(n_frames, 1), 1), _MOST_PASSES)


class CnnLstm(NetworkModel):
    """The registered model `cnn-lstm`: whole groups (about 15 % of the sequences) decide when to stop.

    Args:
        mirror: see `NetworkModel`.
        plan: how it is trained [default: `TrainingPlan`'s, with `count_passes` of the training set].
    """

    name = "cnn-lstm"

    def __init__(self, *, mirror: bool = True, plan: TrainingPlan | None = None) -> None:
        super().__init__(mirror=mirror, plan=plan)
        self._is_planned = plan is not None

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train from scratch by the plan. See `BehaviourModel.fit`."""
        if not self._is_planned:
            self.plan = evolve(self.plan, passes=count_passes(sequences.pose.shape[0] * sequences.pose.shape[1]))
        return super().fit(sequences, classes=classes, seed=seed, progress=progress)

    def _choose_nodes(self, pose: NDArray[np.float32]) -> list[int]:
        return list_nodes(pose.shape[2])

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseCnnLstm:
        return PoseCnnLstm(n_nodes=n_nodes, n_features=n_features, n_classes=n_classes)
