"""The posture network of seed A: residual blocks over what a long short-term memory makes of convolved keypoints.

Z. Xuan, "DRN-LSTM: A Deep Residual Network Based On Long Short-term Memory Network For Students Behaviour Recognition In
Education", J. Applied Science and Engineering 26(2), 2022/23, doi 10.6180/jase.202302_26(2).0010: Conv1D(32, 3), Conv1D(32, 3),
MaxPool(3), LSTM(32), three improved residual blocks, Conv1D, global average pooling, Dense(64) with ReLU, softmax, over
standardised keypoints. What the paper leaves open, and how it is here, is said in `backends.behaviour.resnet1d`.
"""

from __future__ import annotations

from torch import Tensor, nn

from backends.behaviour.lstm import SEED_A
from backends.behaviour.network import NetworkModel
from backends.behaviour.resnet1d import BLOCKS, PoseResNet1d
from backends.training import TrainingPlan

__all__ = ["DrnLstm", "PoseDrnLstm"]


class PoseDrnLstm(PoseResNet1d):
    """The network: (B, T, V, F) features to (B, K) logits."""

    def __init__(
        self,
        *,
        n_nodes: int,
        n_features: int,
        n_classes: int,
        channels: int = 32,
        blocks: tuple[int, ...] = BLOCKS,
        dense: int = 64,
    ) -> None:
        super().__init__(n_nodes=n_nodes, n_features=n_features, n_classes=n_classes, channels=channels, blocks=blocks, dense=dense)
        self.lstm = nn.LSTM(channels, channels, batch_first=True)

    def remember(self, found: Tensor) -> Tensor:
        """Return the states (B, 32, T) of LSTM(32)."""
        states, _ = self.lstm(found.transpose(1, 2))
        turned: Tensor = states.transpose(1, 2)
        return turned


class DrnLstm(NetworkModel):
    """The registered model `drn-lstm`."""

    name = "drn-lstm"

    def __init__(self, *, mirror: bool = True, plan: TrainingPlan | None = None) -> None:
        super().__init__(mirror=mirror, plan=plan or SEED_A)

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseDrnLstm:
        return PoseDrnLstm(n_nodes=n_nodes, n_features=n_features, n_classes=n_classes)
