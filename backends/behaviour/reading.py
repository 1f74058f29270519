"""What a network over poses reads of them, as its card says: which keypoints, and whether a third channel is depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.behaviour.normalise import check_poses, list_nodes, normalise_poses

__all__ = ["PoseInput"]

_MOST_NODES = 4096


@frozen(kw_only=True)
class PoseInput:
    """Poses (N, T, n_nodes, n_channels) in any unit, of which the keypoints `nodes` are read; see `normalise_poses` for `depth`."""

    n_nodes: int
    n_channels: int
    nodes: tuple[int, ...]
    depth: bool

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Read a card's `config`.

        Raises:
            KeyError, TypeError, ValueError: if it makes no sense.
        """
        n_nodes, n_channels = int(said["n_nodes"]), int(said["n_channels"])
        if not (1 <= n_nodes <= _MOST_NODES and n_channels in (2, 3, 4)):
            raise ValueError(f"{n_nodes} keypoints of {n_channels} channels")
        nodes = tuple(int(i) for i in said.get("nodes", list_nodes(n_nodes)))
        if not nodes or min(nodes) < 0 or max(nodes) >= n_nodes:
            raise ValueError(f"reads keypoints {list(nodes)} of {n_nodes}")
        return cls(n_nodes=n_nodes, n_channels=n_channels, nodes=nodes, depth=bool(said.get("depth", n_channels == 4)))

    def check(self, pose: object) -> NDArray[np.float32]:
        """Return the poses as float32.

        Raises:
            InvalidField: if they are no poses, or of another shape.
        """
        return check_poses(pose, n_nodes=self.n_nodes, n_channels=self.n_channels)

    def prepare(self, poses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (N, T, len(nodes), n_channels + 1) features of checked poses."""
        features: NDArray[np.float32] = normalise_poses(poses, depth=self.depth).take(self.nodes, axis=2)
        return features
