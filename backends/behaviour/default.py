"""The registered model `default`: graph networks and trees over tubelets of any skeleton, averaged and calibrated.

Two graph networks (`backends.behaviour.graph`: joints, bones and motions) that differ by seed, trained with strong augmentation
in one cycle, and extremely randomised trees on what a sequence is in sum (`backends.behaviour.forest`): on some hundred noisy
sequences the two kinds err on different samples. The second network and a small forest do without about a fifth of the sequences,
as whole groups; there the weights of the average and the temperature (C. Guo et al., 2017) are found.

Sequences of MediaPipe's 33 landmarks, or of those among them that COCO or Penn Action mark (`backends.behaviour.layout`), may go
on from networks trained on rendered lessons (`backends.behaviour.start`): all layers are trained on, the last one is new (J.
Yosinski et al., "How transferable are features in deep neural networks?", NIPS 2014, fine-tuned). What is held out can overrule
that: one network from there and one from scratch do without it, and if the one from scratch is clearly better there, so are the
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from attrs import evolve, frozen
from numpy.typing import NDArray
from torch import Tensor

from backends.base import EpochReport, Progress
from backends.behaviour.augment import augment_strongly
from backends.behaviour.bones import find_parents
from backends.behaviour.common import check_training, encode_labels
from backends.behaviour.ensemble import PoseEnsemble, Weighing, weigh
from backends.behaviour.forest import Forest, choose_pairs, count_summaries, grow_forest, summarise
from backends.behaviour.graph import PoseGraph
from backends.behaviour.layout import find_layout, place_landmarks
from backends.behaviour.network import NetworkModel, standardise
from backends.behaviour.normalise import check_poses, choose_nodes
from backends.behaviour.reading import PoseInput
from backends.behaviour.start import START, Start, fits_start, load_start
from backends.training import TrainingPlan, choose_validation, isolate_random, train_classifier
from schemas.sequences import SequenceSet

__all__ = ["Default"]

_N_TREES, _N_TREES_HELD = 150, 80
_SAMPLES_TO_SEE, _SAMPLES_FROM_START = 28_000, 13_000
"""A network is trained for about so many samples, in 25 to 80 epochs; from the start in 15 to 40."""
_LR_FROM_START = 0.25
"""Of the plan's rate: what the start knows is to be kept."""
_TURN = 0.6
"""In radians, about the vertical axis, where depth was measured and not guessed; not from the start, which learnt from guesses."""
_CHUNK = 512


@frozen(kw_only=True, eq=False)
class _Data:
    """What one `fit` trains on; `held` (N,) is what the last network of a kind does without."""

    features: Tensor
    flat: NDArray[np.float32]
    label: NDArray[np.int64]
    held: NDArray[np.bool_]
    parents: list[int]
    start: Start | None
    seed: int
    progress: Progress | None

    @property
    def can_judge(self) -> bool:
        """Whether something is held out, and something to learn is left."""
        return bool(self.held.any()) and len(set(self.label[~self.held].tolist())) > 1

    def list_kinds(self) -> list[bool]:
        """Return what is to be tried: False = from scratch, True = from the start."""
        if self.start is None:
            return [False]
        return [False, True] if self.can_judge else [True]


class Default(NetworkModel):
    """See the module.

    Args:
        mirror: see `NetworkModel`.
        plan: how each network is trained; 0 epochs = as many as suit the number of sequences.
        n_members: networks.
        start: folder of a start (`backends.behaviour.start`) for MediaPipe's landmarks or some of them; None = always from scratch.
    """

    name = "default"

    def __init__(
        self, *, mirror: bool = True, plan: TrainingPlan | None = None, n_members: int = 2, start: str | Path | None = START
    ) -> None:
        cycle = TrainingPlan(schedule="one-cycle", lr=4e-3, decay=0.02, val_share=0.2, epochs=0)
        super().__init__(mirror=mirror, plan=plan or cycle)
        self.n_members, self.start = n_members, start
        self._done = 0

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train. See `BehaviourModel.fit`.

        Raises:
            ModelError: if the start is to be used and was changed.
        """
        self.classes, usable = check_training(sequences, classes)
        pose = check_poses(sequences.pose)[usable]
        label, group = encode_labels(sequences.label[usable], self.classes), sequences.group[usable]
        self._configure(pose)
        self._find_layout(pose, sequences.skeleton)
        features = self._prepare(pose)
        data = _Data(
            features=features,
            flat=self._summarise(features),
            label=label,
            held=choose_validation(label, group, share=self.plan.val_share, seed=seed),
            parents=self._find_bones(features, sequences.skeleton),
            start=self._find_start(sequences),
            seed=seed,
            progress=progress,
        )
        return self._fit(data)

    def _fit(self, data: _Data) -> Self:
        """Train the last network of each kind, weigh it on what is held out, and train the others as the better one was."""
        self._done = 0
        kinds = data.list_kinds()
        last = [self._train_member(data, self.n_members - 1, [], begun) for begun in kinds]
        found = self._judge(data, last)
        best = 0 if len(found) < 2 or found[0].is_clearly_below(found[1]) else 1
        members = [last[best]]
        for number in range(self.n_members - 1):
            members.insert(number, self._train_member(data, number, members, kinds[best]))
        self._config["parents"] = members[-1].parents.tolist()
        if kinds[best] and data.start is not None:
            self._config["start"] = data.start.version
        self._finish(data, members, found[best] if found else None)
        return self

    def _find_layout(self, pose: NDArray[np.float32], skeleton: NDArray[np.int64] | None) -> None:
        """Read the poses as MediaPipe's landmarks if that is what their keypoints are."""
        layout = find_layout(pose, skeleton)
        if layout is not None:
            self._config |= {"layout": list(layout), "nodes": choose_nodes(place_landmarks(pose, layout))}

    def _find_start(self, sequences: SequenceSet) -> Start | None:
        fits = "layout" in self._config or fits_start(sequences.pose.shape[2], sequences.skeleton)
        return load_start(self.start) if fits and self.start is not None else None

    def _train_member(self, data: _Data, number: int, before: Sequence[PoseGraph], begun: bool) -> PoseGraph:
        """Train one more network, `begun` or from scratch; while it is, the model that reports show is the networks so far."""
        rows = ~data.held if number == self.n_members - 1 else np.ones_like(data.held)
        epochs = self._count_epochs(int(rows.sum()), begun)
        done, total, mirror = self._done, self._count_all_epochs(data), self._find_mirror()
        chosen, turn = torch.from_numpy(rows), _TURN if self._config["n_channels"] == 3 and not begun else 0.0

        def report(epoch: int, train_loss: float, val_loss: float | None) -> None:
            if data.progress is not None:
                at = EpochReport(epoch=done + epoch, n_epochs=total, train_loss=train_loss, val_loss=val_loss, model=self)
                data.progress(at)

        with isolate_random(data.seed + 100 * number) as generator:
            member = self._begin(data, number, data.features[chosen], begun)
            self._network = PoseEnsemble([*before, member], None, self._pairs()).eval()
            self.history = train_classifier(
                member,
                (data.features[chosen], torch.from_numpy(data.label)[chosen]),
                None,
                plan=evolve(self.plan, epochs=epochs, lr=self.plan.lr * (_LR_FROM_START if begun else 1.0)),
                generator=generator,
                augment=partial(augment_strongly, n_dims=self._n_dims, turn=turn, mirror=mirror),
                on_epoch=report,
            )
        self._done += epochs
        return member

    def _begin(self, data: _Data, number: int, features: Tensor, begun: bool) -> PoseGraph:
        """Return an untrained network, or one that goes on from the start."""
        nodes = self._config["nodes"]
        if not begun or data.start is None:
            self._config["parents"] = data.parents
            member = self._make_member()
            standardise(member, features)
            return member
        self._config["parents"] = data.start.cut_parents(nodes)
        member = self._make_member()
        data.start.fill(member, nodes, number)
        return member

    def _count_epochs(self, n: int, begun: bool) -> int:
        samples, least, most = (_SAMPLES_FROM_START, 15, 40) if begun else (_SAMPLES_TO_SEE, 25, 80)
        return self.plan.epochs or int(np.clip(round(samples / n), least, most))

    def _count_all_epochs(self, data: _Data) -> int:
        """Return how many epochs there are at most."""
        whole, part = len(data.label), int((~data.held).sum())
        scratch, begun = ([self._count_epochs(n, kind) for n in (part, whole)] for kind in (False, True))
        kinds = [begun if kind else scratch for kind in data.list_kinds()]
        return sum(counts[0] for counts in kinds) + (self.n_members - 1) * max(counts[1] for counts in kinds)

    def _judge(self, data: _Data, networks: Sequence[PoseGraph]) -> list[Weighing]:
        """Weigh each network and trees, none of which has seen what is held out; nothing where nothing is."""
        if not data.can_judge:
            return []
        flat, label, rows = data.flat, data.label, ~data.held
        forest, _ = grow_forest(flat[rows], label[rows], n_classes=len(self.classes), n_trees=_N_TREES_HELD, seed=data.seed)
        asked = data.features[torch.from_numpy(data.held)]
        with torch.no_grad():
            grown = forest(torch.from_numpy(flat[data.held])).numpy()
            ask = [PoseEnsemble([network], None, self._pairs()).eval().ask_networks for network in networks]
            return [weigh(said(asked).numpy(), grown, label[data.held]) for said in ask]

    def _finish(self, data: _Data, members: Sequence[PoseGraph], found: Weighing | None) -> None:
        """Grow the trees and put all together."""
        n_classes = len(self.classes)
        forest, self._config["trees"] = grow_forest(data.flat, data.label, n_classes=n_classes, n_trees=_N_TREES, seed=data.seed)
        network = PoseEnsemble(members, forest, self._pairs()).eval()
        if found is not None:
            network.weight.fill_(found.weight)
            network.temperature.fill_(found.temperature)
        self._network = network.freeze()

    def _summarise(self, features: Tensor) -> NDArray[np.float32]:
        pairs, batches = torch.from_numpy(self._pairs()), features.split(_CHUNK)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            flat: NDArray[np.float32] = torch.cat([summarise(batch, pairs, self._n_dims) for batch in batches]).numpy()
        return flat

    @property
    def _n_dims(self) -> int:
        return 3 if self._config["depth"] else 2

    def _pairs(self) -> NDArray[np.int64]:
        return choose_pairs(len(self._config["nodes"]))

    def _find_bones(self, features: Tensor, skeleton: NDArray[np.int64] | None) -> list[int]:
        read = PoseInput.of(self._config)
        placed = read.layout or range(read.n_nodes)
        position = {placed.index(node): at for at, node in enumerate(read.nodes)}
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
