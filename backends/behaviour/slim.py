"""Seed A's posture network after network slimming (see `backends.compress`), in one training.

The whole network is trained as `drn-lstm` is. A copy goes on with sparse scales, loses the least important channels over the whole
network until `gone` of its parameters are gone, and is fine-tuned; the whole network teaches both (G. Hinton et al., 2015). On
rendered lessons that it has not seen (`bench models --part compress`, seeds 0 to 2), 84.2 % of the parameters and 47.6 % of the
time gone change macro-F1 by -0.8, +0.9 and +1.5 points, from .869 to .874 on average; 88 % of the parameters gone cost 1 to 2
points.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np
from attrs import evolve
from torch import nn

from backends.base import EpochReport, Progress
from backends.behaviour.drn_lstm import DrnLstm, PoseDrnLstm
from backends.behaviour.lstm import SEED_A
from backends.behaviour.network import PoseNetwork
from backends.compress import adapt_shapes, count_parameters, slim_to
from backends.training import TrainingPlan
from schemas.sequences import SequenceSet

__all__ = ["FINE", "SPARSE", "SlimDrnLstm"]

SPARSE = TrainingPlan(schedule="steps", epochs=20, lr=1e-3, val_share=0.0, gamma_l1=1e-3)
FINE = TrainingPlan(schedule="one-cycle", epochs=60, lr=3e-3, decay=0.02, val_share=0.0)
"""How training goes on after the 40 epochs of `SEED_A`; other plans of the whole network change these epochs in proportion."""


class SlimDrnLstm(DrnLstm):
    """`drn-lstm` slimmed.

    Args:
        mirror: see `NetworkModel`.
        plan: how the whole network is trained.
        sparse: how it goes on with sparse scales [default: `SPARSE`].
        fine: how what is left is fine-tuned [default: `FINE`].
        gone: share of the parameters that goes at least; the card says how many went.
    """

    name = "drn-lstm-slim"

    def __init__(
        self,
        *,
        mirror: bool = True,
        plan: TrainingPlan | None = None,
        sparse: TrainingPlan | None = None,
        fine: TrainingPlan | None = None,
        gone: float = 0.84,
    ) -> None:
        super().__init__(mirror=mirror, plan=plan)
        self.sparse, self.fine, self.gone = sparse, fine, gone

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train the whole network, slim it and fine-tune what is left. See `BehaviourModel.fit`."""
        self.teacher = None
        self._pass_stage(0, None, sequences, classes, seed, progress)
        self.fit_sparse(sequences, seed=seed, progress=progress)
        return self.slim(self.gone).tune(sequences, seed=seed, progress=progress)

    def fit_sparse(self, sequences: SequenceSet, *, seed: int = 0, progress: Progress | None = None) -> Self:
        """Let the trained network be the teacher, and a copy of it go on with sparse scales."""
        self.teacher = self._require_network()
        return self._pass_stage(1, deepcopy(self.teacher), sequences, self.classes, seed, progress)

    def slim(self, gone: float) -> Self:
        """Take channels out until `gone` of the parameters of the trained network are gone."""
        shape = (2, 4, self._config["n_nodes"], self._config["n_channels"])
        example = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        self._network = slim_to(self._require_network(), self._prepare(example), gone=gone)
        return self

    def tune(self, sequences: SequenceSet, *, seed: int = 0, progress: Progress | None = None) -> Self:
        """Fine-tune the slimmed network by the plan `fine`."""
        self._pass_stage(2, self._require_network(), sequences, self.classes, seed, progress)
        if self.teacher is not None:
            self._config["gone"] = round(1 - count_parameters(self._require_network()) / count_parameters(self.teacher), 4)
        return self

    def _pass_stage(
        self,
        number: int,
        start: PoseNetwork | None,
        sequences: SequenceSet,
        classes: Sequence[str] | None,
        seed: int,
        progress: Progress | None,
    ) -> Self:
        """Train by one of the three plans, and tell of its epochs among those of all three."""

        def shorten(plan: TrainingPlan) -> TrainingPlan:
            return evolve(plan, epochs=max(1, round(plan.epochs * self.plan.epochs / SEED_A.epochs)))

        plans = (self.plan, self.sparse or shorten(SPARSE), self.fine or shorten(FINE))
        before, total = sum(plan.epochs for plan in plans[:number]), sum(plan.epochs for plan in plans)

        def tell(report: EpochReport) -> None:
            if progress is not None:
                progress(evolve(report, epoch=before + report.epoch, n_epochs=total))

        return self._train(start, plans[number], sequences, classes, seed, tell)

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseDrnLstm:
        network = super()._make_network(n_nodes, n_features, n_classes)
        network.register_load_state_dict_pre_hook(_adapt)  # type: ignore[no-untyped-call]
        return network


def _adapt(module: nn.Module, state: Any, *_: object) -> None:
    adapt_shapes(module, state)
