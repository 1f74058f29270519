"""What a network over poses reads of them, as its card says: which keypoints, and whether a third channel is depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from backends.behaviour.layout import N_LANDMARKS, place_landmarks
from backends.behaviour.normalise import check_poses, list_nodes, normalise_poses

__all__ = ["PoseInput"]

_MOST_NODES = 4096


@frozen(kw_only=True)
class PoseInput:
    """Poses (N, T, n_nodes, n_channels) in any unit, of which the keypoints `nodes` are read; see `normalise_poses` for `depth`.

    With a `layout` (see `backends.behaviour.layout`) poses become MediaPipe's landmarks first, and `nodes` are numbers of those.
    """

    n_nodes: int
    n_channels: int
    nodes: tuple[int, ...]
    depth: bool
    layout: tuple[int, ...] | None = None

    @property
    def n_placed(self) -> int:
        """The keypoints among which `nodes` count."""
        return self.n_nodes if self.layout is None else N_LANDMARKS

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Read a card's `config`.

        Raises:
            KeyError, TypeError, ValueError: if it makes no sense.
        """
        n_nodes, n_channels = int(said["n_nodes"]), int(said["n_channels"])
        if not (1 <= n_nodes <= _MOST_NODES and n_channels in (2, 3, 4)):
            raise ValueError(f"{n_nodes} keypoints of {n_channels} channels")
        layout = None if said.get("layout") is None else tuple(int(i) for i in said["layout"])
        if layout is not None and not (len(set(layout)) == len(layout) == n_nodes and set(layout) <= set(range(N_LANDMARKS))):
            raise ValueError(f"{n_nodes} keypoints are landmarks {list(layout)}")
        nodes, depth = tuple(int(i) for i in said.get("nodes", list_nodes(n_nodes))), bool(said.get("depth", n_channels == 4))
        read = cls(n_nodes=n_nodes, n_channels=n_channels, nodes=nodes, depth=depth, layout=layout)
        if not nodes or min(nodes) < 0 or max(nodes) >= read.n_placed:
            raise ValueError(f"reads keypoints {list(nodes)} of {read.n_placed}")
        return read

    def check(self, pose: object) -> NDArray[np.float32]:
        """Return the poses as float32.

        Raises:
            InvalidField: if they are no poses, or of another shape.
        """
        return check_poses(pose, n_nodes=self.n_nodes, n_channels=self.n_channels)

    def prepare(self, poses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (N, T, len(nodes), n_channels + 1) features of checked poses."""
        placed = poses if self.layout is None else place_landmarks(poses, self.layout)
        features: NDArray[np.float32] = normalise_poses(placed, depth=self.depth).take(self.nodes, axis=2)
        return features
