"""The registered model `default`: graph networks and trees over tubelets of any skeleton, averaged and calibrated.

Two graph networks (`backends.behaviour.graph`: joints, bones and motions) that differ by seed, trained with strong augmentation
in one cycle, and extremely randomised trees on what a sequence is in sum (`backends.behaviour.forest`): on some hundred noisy
sequences the two kinds err on different samples. The second network and a small forest do without about a fifth of the sequences,
as whole groups; there the weights of the average and the temperature (C. Guo et al., 2017) are found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self, cast

import numpy as np
import torch
from attrs import evolve
from numpy.typing import NDArray
from torch import Tensor, nn

from backends.base import EpochReport, Progress
from backends.behaviour.augment import augment_strongly
from backends.behaviour.bones import find_parents
from backends.behaviour.common import check_training, encode_labels
from backends.behaviour.forest import Forest, choose_pairs, count_summaries, grow_forest, summarise
from backends.behaviour.graph import PoseGraph
from backends.behaviour.graph_stack import GraphStack
from backends.behaviour.network import NetworkModel, PoseNetwork, standardise
from backends.behaviour.normalise import check_poses
from backends.calibration import fit_temperature
from backends.training import TrainingPlan, choose_validation, isolate_random, train_classifier
from schemas.sequences import SequenceSet

__all__ = ["Default", "PoseEnsemble"]

_N_TREES, _N_TREES_HELD = 150, 80
_WEIGHTS = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of the networks in the average that are tried; the trees have the rest."""
_SAMPLES_TO_SEE = 28_000
"""A network is trained for about so many samples, in 25 to 80 epochs."""
_TURN = 0.6
"""In radians, about the vertical axis, where depth was measured and not guessed."""
_CHUNK = 512


class PoseEnsemble(PoseNetwork):
    """Networks and, once they are grown, trees: (B, T, V, F) features to (B, K) logarithms of calibrated probabilities."""

    pairs: Tensor
    weight: Tensor
    temperature: Tensor

    def __init__(self, members: Sequence[PoseGraph], forest: Forest | None, pairs: NDArray[np.int64]) -> None:
        super().__init__(0)
        self.members, self.forest = nn.ModuleList(members), forest
        self.n_dims = members[0].n_dims
        self.n_embedded = sum(member.n_embedded for member in members)
        self.register_buffer("pairs", torch.from_numpy(pairs), persistent=False)
        self.register_buffer("weight", torch.tensor(1.0 if forest is None else 0.6))
        self.register_buffer("temperature", torch.tensor(1.0))
        self._stack: GraphStack | None = None
        self.register_load_state_dict_post_hook(_freeze)  # type: ignore[no-untyped-call]

    def freeze(self) -> Self:
        """Lay the networks side by side: from now on they answer in less time, and do not see later changes of their weights."""
        self._stack = GraphStack([cast("PoseGraph", member) for member in self.members])
        return self

    def embed(self, features: Tensor) -> Tensor:
        """Return what the networks pool over time, side by side."""
        return torch.cat([cast("PoseGraph", member).embed(features) for member in self.members], dim=1)

    def ask_networks(self, features: Tensor) -> Tensor:
        """Return the mean (B, K) of the networks' probabilities."""
        if self._stack is not None:
            return self._stack.ask(features)
        return torch.stack([torch.softmax(member(features), dim=1) for member in self.members]).mean(dim=0)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits."""
        probs = self.ask_networks(features)
        if self.forest is not None:
            probs = self.weight * probs + (1 - self.weight) * self.forest(summarise(features, self.pairs, self.n_dims))
        return torch.log(probs.clamp(min=1e-6)) / self.temperature


def _freeze(network: nn.Module, _: object) -> None:
    cast("PoseEnsemble", network).freeze()


class Default(NetworkModel):
    """See the module. `plan` sets the training of each network but for its epochs, which depend on how many sequences there are."""

    name = "default"

    def __init__(self, *, mirror: bool = True, plan: TrainingPlan | None = None, n_members: int = 2) -> None:
        cycle = TrainingPlan(schedule="one-cycle", lr=4e-3, decay=0.02, val_share=0.2, epochs=0)
        super().__init__(mirror=mirror, plan=plan or cycle)
        self.n_members = n_members

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train from scratch. See `BehaviourModel.fit`."""
        self.classes, usable = check_training(sequences, classes)
        pose = check_poses(sequences.pose)[usable]
        label, group = encode_labels(sequences.label[usable], self.classes), sequences.group[usable]
        self._configure(pose)
        features = self._prepare(pose)
        self._config["parents"] = self._find_bones(features, sequences.skeleton)
        held = choose_validation(label, group, share=self.plan.val_share, seed=seed)
        members: list[PoseGraph] = []
        for number in range(self.n_members):
            rows = ~held if number == self.n_members - 1 else np.ones_like(held)
            members.append(self._train_member(features, label, rows, members, seed + 100 * number, progress))
        self._finish(members, features, label, held, seed)
        return self

    def _train_member(
        self,
        features: Tensor,
        label: NDArray[np.int64],
        rows: NDArray[np.bool_],
        before: list[PoseGraph],
        seed: int,
        progress: Progress | None,
    ) -> PoseGraph:
        """Train one more network on `rows`; while it is trained, the model that reports show is the networks so far."""
        epochs = self.plan.epochs or int(np.clip(round(_SAMPLES_TO_SEE / rows.sum()), 25, 80))
        done, total, mirror = len(before) * epochs, self.n_members * epochs, self._find_mirror()
        chosen, turn = torch.from_numpy(rows), _TURN if self._config["n_channels"] == 3 else 0.0

        def report(epoch: int, train_loss: float, val_loss: float | None) -> None:
            if progress is not None:
                progress(EpochReport(epoch=done + epoch, n_epochs=total, train_loss=train_loss, val_loss=val_loss, model=self))

        with isolate_random(seed) as generator:
            member = self._make_member()
            self._network = PoseEnsemble([*before, member], None, self._pairs()).eval()
            standardise(member, features[chosen])
            self.history = train_classifier(
                member,
                (features[chosen], torch.from_numpy(label)[chosen]),
                None,
                plan=evolve(self.plan, epochs=epochs),
                generator=generator,
                augment=partial(augment_strongly, n_dims=self._n_dims, turn=turn, mirror=mirror),
                on_epoch=report,
            )
        return member

    def _finish(
        self, members: list[PoseGraph], features: Tensor, label: NDArray[np.int64], held: NDArray[np.bool_], seed: int
    ) -> None:
        """Grow the trees, then weigh and calibrate on what the last network has not seen."""
        with torch.no_grad():
            pairs = torch.from_numpy(self._pairs())
            batches = [features[i : i + _CHUNK] for i in range(0, len(features), _CHUNK)]
            flat = torch.cat([summarise(batch, pairs, self._n_dims) for batch in batches]).numpy()
            forest, self._config["trees"] = grow_forest(flat, label, n_classes=len(self.classes), n_trees=_N_TREES, seed=seed)
            network = PoseEnsemble(members, forest, self._pairs()).eval()
            if held.any() and len(set(label[~held].tolist())) > 1:
                small, _ = grow_forest(flat[~held], label[~held], n_classes=len(self.classes), n_trees=_N_TREES_HELD, seed=seed)
                said = PoseEnsemble(members[-1:], None, self._pairs()).eval().ask_networks(features[torch.from_numpy(held)]).numpy()
                grown = small(torch.from_numpy(flat[held])).numpy()
                weight, temperature = _weigh(said, grown, label[held])
                network.weight.fill_(weight)
                network.temperature.fill_(temperature)
        self._network = network.freeze()

    @property
    def _n_dims(self) -> int:
        return 3 if self._config["depth"] else 2

    def _pairs(self) -> NDArray[np.int64]:
        return choose_pairs(len(self._config["nodes"]))

    def _find_bones(self, features: Tensor, skeleton: NDArray[np.int64] | None) -> list[int]:
        nodes = self._config["nodes"]
        position = {node: at for at, node in enumerate(nodes)}
        edges = (
            []
            if skeleton is None
            else [(position[a], position[b]) for a, b in skeleton.tolist() if a in position and b in position]
        )
        points = torch.where(features[..., -1:] > 0, features[..., : self._n_dims], torch.nan).numpy()
        return [int(i) for i in find_parents(points, np.array(edges, np.int64).reshape(-1, 2))]

    def _make_member(self) -> PoseGraph:
        return PoseGraph(
            parents=self._config["parents"],
            n_features=self._config["n_channels"] + 1,
            n_dims=self._n_dims,
            n_classes=len(self.classes),
        )

    def _read_config(self, said: Mapping[str, Any]) -> None:
        super()._read_config(said)
        parents, trees = [int(i) for i in said["parents"]], {k: int(said["trees"][k]) for k in ("n_nodes", "n_trees", "depth")}
        n_nodes = len(self._config["nodes"])
        if len(parents) != n_nodes or min(parents) < 0 or max(parents) >= n_nodes:
            raise ValueError(f"{len(parents)} parents for {n_nodes} keypoints")
        if not (0 < trees["n_nodes"] <= 2**24 and 0 < trees["n_trees"] <= 4096 and 0 <= trees["depth"] <= 512):
            raise ValueError(f"a forest of {trees}")
        members = int(said.get("members", 2))
        if not 1 <= members <= 64:
            raise ValueError(f"{members} networks")
        self.n_members = members
        self._config |= {"parents": parents, "trees": trees}

    def _configure(self, pose: NDArray[np.float32]) -> None:
        super()._configure(pose)
        self._config["members"] = self.n_members

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseEnsemble:
        n_read = count_summaries(n_nodes, n_features, self._n_dims)
        forest = Forest(**self._config["trees"], n_classes=n_classes, n_inputs=n_read)
        return PoseEnsemble([self._make_member() for _ in range(self.n_members)], forest, self._pairs())


def _weigh(said: NDArray[np.float32], grown: NDArray[np.float32], label: NDArray[np.int64]) -> tuple[float, float]:
    """Return the share of the networks with the least cross-entropy on held-out groups, and the temperature of that average."""
    rows = np.arange(len(label))

    def mix(weight: float) -> NDArray[np.float64]:
        probs = np.maximum(weight * said.astype(np.float64) + (1 - weight) * grown, 1e-6)
        mixed: NDArray[np.float64] = probs / probs.sum(axis=1, keepdims=True)
        return mixed

    losses = [-np.log(mix(weight)[rows, label]).mean() for weight in _WEIGHTS]
    best = _WEIGHTS[int(np.argmin(losses))]
    return best, fit_temperature(mix(best), label)
