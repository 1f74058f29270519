"""The hand branch of seed A after network slimming (see `HandModel.slim`), in one training.

The whole branch is trained, slimmed by `gone` of its parameters and fine-tuned, taught by the whole one. What that costs and saves
on rendered lessons that it has not seen is said by `bench models --part compress --part hands`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from backends.behaviour.hand_images import QUICK, HandModel
from backends.training import TrainingPlan

__all__ = ["SlimHandModel"]


class SlimHandModel(HandModel):
    """`hand-branch` slimmed.

    Args:
        plan: how the whole branch is trained.
        gone: share of the parameters that goes at least.
    """

    name = "hand-branch-slim"

    def __init__(self, *, plan: TrainingPlan = QUICK, gone: float = 0.84) -> None:
        super().__init__(plan=plan)
        self.gone = gone

    def fit(self, pictures: NDArray[np.uint8], label: Sequence[str] | NDArray[np.str_], *, seed: int = 0) -> Self:
        """Train the whole branch, slim it and fine-tune what is left. See `HandModel.fit`."""
        slim = HandModel(plan=self.plan).fit(pictures, label, seed=seed).slim(pictures, label, gone=self.gone, seed=seed)
        self.prior, self._network = slim.prior, slim._require_network()
        return self
