"""The start that ships for `default`: graph networks trained on rendered lessons, cut to the keypoints and channels of other data.

A linear layer that reads keypoints and streams one by one loses the columns of those that the data lacks (training hid them now and
then, so that the rest does without); the adjacency loses rows and columns; the layer of the classes is new. How the start is made:
`curation.start`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from backends.behaviour.bones import spread_over_bones
from backends.behaviour.graph import NOISY_DEPTH, PoseGraph
from backends.weights import load_weights, refuse_misfits, save_weights
from schemas.vocabulary import BLAZEPOSE_33

__all__ = ["MAX_START_BYTES", "START", "START_NAME", "Start", "fits_start", "load_start", "make_graph", "save_start"]

START = Path(str(resources.files("backends"))) / "data" / "start"
"""The folder that ships with the tool."""
START_NAME = "default-start"
MAX_START_BYTES = 8 * 2**20
_MOST_NETWORKS = 16
_N_NODES, _N_DIMS, _N_CHANNELS = len(BLAZEPOSE_33.nodes), 3, 4
_N_STREAMS = 3 * _N_DIMS + 2


def fits_start(n_nodes: int, skeleton: NDArray[np.int64] | None) -> bool:
    """Say whether sequences have MediaPipe's 33 landmarks: so many, and no bone that those have not."""
    known = {frozenset(edge) for edge in BLAZEPOSE_33.edges}
    return n_nodes == _N_NODES and (skeleton is None or all(frozenset(edge) in known for edge in skeleton.tolist()))


def make_graph(parents: Sequence[int], n_classes: int) -> PoseGraph:
    """Return an untrained network of the start: all landmarks, x, y, z and visibility."""
    return PoseGraph(parents=parents, n_features=_N_CHANNELS + 1, n_dims=_N_DIMS, n_classes=n_classes)


@frozen(kw_only=True, eq=False)
class Start:
    """Networks of `make_graph`, trained: their states but for the layer of the classes, the tree of bones, the card's version."""

    version: str
    parents: tuple[int, ...]
    states: tuple[dict[str, Tensor], ...]

    def cut_parents(self, nodes: Sequence[int]) -> list[int]:
        """Return (V',) the tree over `nodes`: each hangs on its nearest ancestor that is read, or on itself where none is."""
        position = {node: at for at, node in enumerate(nodes)}
        cut = []
        for at, node in enumerate(nodes):
            above = self.parents[node]
            while above not in position and self.parents[above] != above:
                above = self.parents[above]
            cut.append(position.get(above, at))
        return cut

    def fill(self, network: PoseGraph, nodes: Sequence[int], number: int = 0) -> None:
        """Give `network`, whose keypoints are the landmarks `nodes` in the tree of `cut_parents`, the weights of network `number`.

        Numbers beyond the last begin anew. The layer of the classes stays as it is.
        """
        state, rows = dict(self.states[number % len(self.states)]), torch.tensor(list(nodes))
        streams, channels, gain = _choose_columns(network)
        enter, width = state["enter.linear.weight"], network.mix.out_features
        plain = enter[:, : _N_NODES * _N_STREAMS].view(-1, _N_NODES, _N_STREAMS)[:, rows][..., streams] * gain
        mixed = enter[:, _N_NODES * _N_STREAMS :].view(-1, _N_NODES, width)[:, rows]
        mix = state["mix.weight"].view(width, 2, _N_STREAMS)[..., streams] * gain
        spread = torch.from_numpy(spread_over_bones(np.array(self.parents))) + state["learned"]
        network.load_state_dict(
            {
                **state,
                "learned": spread[rows][:, rows] - network.spread,
                "enter.linear.weight": torch.cat([plain.flatten(1), mixed.flatten(1)], dim=1),
                "mix.weight": mix.flatten(1),
                "shift": state["shift"][channels],
                "scale": state["scale"][channels],
                "out.weight": network.out.weight.detach(),
                "out.bias": network.out.bias.detach(),
            }
        )


def _choose_columns(network: PoseGraph) -> tuple[list[int], list[int], Tensor]:
    """Return which of the start's streams and channels a network reads, and by how much a stream's weights change (S,)."""
    n_dims, n_features = network.n_dims, len(network.shift)
    other = n_features - 1 > n_dims
    streams = [_N_DIMS * part + d for part in range(3) for d in range(n_dims)] + [3 * _N_DIMS] * other + [_N_STREAMS - 1]
    channels = [*range(n_dims), *[_N_DIMS] * other, _N_CHANNELS]
    gain = torch.ones(len(streams))
    if n_dims == _N_DIMS and not other:
        gain[[2, 5, 8]] = NOISY_DEPTH
    return streams, channels, gain


def save_start(folder: str | Path, networks: Sequence[PoseGraph], card: Mapping[str, Any]) -> None:
    """Write trained networks of `make_graph` as a start; `card` adds classes and how they were trained.

    Raises:
        ModelError: if the card lacks what a card must say.
        StorageError: if the folder cannot be written to.
    """
    arrays = {
        f"{number}/{key}": tensor.numpy(force=True)
        for number, network in enumerate(networks)
        for key, tensor in network.state_dict().items()
        if not key.startswith("out.")
    }
    config = {"parents": networks[0].parents.tolist(), "networks": len(networks)}
    save_weights(folder, arrays, {**card, "name": START_NAME, "config": config})


def load_start(folder: str | Path = START) -> Start:
    """Read what `save_start` wrote.

    Raises:
        ModelError: if a file is missing, changed, too large, or no start of these networks.
    """
    arrays, card = load_weights(folder, name=START_NAME, max_bytes=MAX_START_BYTES)
    with refuse_misfits(folder, START_NAME):
        parents, n_networks = [int(i) for i in card.config["parents"]], int(card.config["networks"])
        if len(parents) != _N_NODES or min(parents) < 0 or max(parents) >= _N_NODES or not 1 <= n_networks <= _MOST_NETWORKS:
            raise ValueError(f"{len(parents)} parents, {n_networks} networks")
        states = []
        for number in range(n_networks):
            own = {key.partition("/")[2]: array for key, array in arrays.items() if key.startswith(f"{number}/")}
            network = make_graph(parents, 2)
            head = {key: tensor for key, tensor in network.state_dict().items() if key.startswith("out.")}
            state = {key: torch.from_numpy(np.array(array)) for key, array in own.items()}
            network.load_state_dict({**state, **head})
            states.append(state)
    return Start(version=card.version, parents=tuple(parents), states=tuple(states))
