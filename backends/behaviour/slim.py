"""Seed A's posture network after network slimming (see `backends.compress`), in one training.

Trained with sparse scales (the learning rate × 0.1 after 0.7 and 0.9 of the epochs, λ = 0.001), robbed of the least important
channels over the whole network, fine-tuned. Not among the registered models: on rendered lessons (840 sequences to train on, 504 of
other lessons, one seed) 80.9 % of the parameters gone cost 3.0 points after 8 epochs of fine-tuning, where seed A lost none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from attrs import evolve
from torch import nn

from backends.base import EpochReport, Progress
from backends.behaviour.drn_lstm import DrnLstm, PoseDrnLstm
from backends.compress import adapt_shapes, slim_network
from backends.training import TrainingPlan
from schemas.sequences import SequenceSet

__all__ = ["FINE", "SPARSE", "SlimDrnLstm"]

SPARSE = TrainingPlan(schedule="steps", epochs=40, lr=3e-3, val_share=0.0, gamma_l1=1e-3)
FINE = TrainingPlan(schedule="one-cycle", epochs=30, lr=3e-3, decay=0.02, val_share=0.0)


class SlimDrnLstm(DrnLstm):
    """`drn-lstm` slimmed; `ratio` is the share of channels that is taken out."""

    name = "drn-lstm-slim"

    def __init__(
        self, *, mirror: bool = True, plan: TrainingPlan | None = None, ratio: float = 0.7, fine: TrainingPlan = FINE
    ) -> None:
        super().__init__(mirror=mirror, plan=plan or SPARSE)
        self.ratio, self.fine = ratio, fine
        self._slimmed: PoseDrnLstm | None = None

    def fit(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train with sparse scales, slim, fine-tune. See `BehaviourModel.fit`."""
        total = self.plan.epochs + self.fine.epochs

        def follow(before: int) -> Progress | None:
            def tell(report: EpochReport) -> None:
                if progress is not None:
                    progress(evolve(report, epoch=before + report.epoch, n_epochs=total))

            return None if progress is None else tell

        self.fit_sparse(sequences, classes=classes, seed=seed, progress=follow(0))
        return self.slim(self.ratio).tune(sequences, seed=seed, progress=follow(self.plan.epochs))

    def fit_sparse(
        self, sequences: SequenceSet, *, classes: Sequence[str] | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Train the whole network with sparse scales, from scratch."""
        self._slimmed = None
        return super().fit(sequences, classes=classes, seed=seed, progress=progress)

    def slim(self, ratio: float) -> Self:
        """Take channels out of the trained network."""
        network = self._require_network()
        shape = (2, 4, self._config["n_nodes"], self._config["n_channels"])
        slim_network(network, self._prepare(_make_example(shape)), ratio=ratio)
        self._slimmed = network  # type: ignore[assignment]
        return self

    def tune(self, sequences: SequenceSet, *, seed: int = 0, progress: Progress | None = None) -> Self:
        """Fine-tune the slimmed network by the plan `fine`."""
        plan, self.plan = self.plan, self.fine
        try:
            return super().fit(sequences, classes=self.classes, seed=seed, progress=progress)
        finally:
            self.plan = plan

    def _build(self) -> None:
        if self._slimmed is None:
            super()._build()
        else:
            self._network = self._slimmed

    def _make_network(self, n_nodes: int, n_features: int, n_classes: int) -> PoseDrnLstm:
        network = super()._make_network(n_nodes, n_features, n_classes)
        network.register_load_state_dict_pre_hook(_adapt)  # type: ignore[no-untyped-call]
        return network


def _adapt(module: nn.Module, state: Any, *_: object) -> None:
    adapt_shapes(module, state)


def _make_example(shape: tuple[int, ...]) -> Any:
    import numpy as np

    return np.random.default_rng(0).normal(size=shape).astype(np.float32)
