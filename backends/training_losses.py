"""Losses for unbalanced and incompletely annotated labels: class-balanced, logit-adjusted, and masks for what nobody annotated."""

from __future__ import annotations

from typing import Literal

import torch
from attrs import frozen
from torch import Tensor, nn

from schemas.errors import InvalidField

__all__ = [
    "UNLABELLED",
    "Criterion",
    "LossName",
    "compute_attribute_loss",
    "compute_class_weights",
    "compute_logit_shift",
    "compute_teacher_loss",
]

LossName = Literal["cross-entropy", "class-balanced", "logit-adjusted"]

UNLABELLED = -1
"""The target of a sample that was not annotated on this axis: it counts for nothing."""


def compute_class_weights(counts: Tensor, beta: float = 0.999) -> Tensor:
    """Return class-balanced weights (K,), of mean 1 over the classes that occur.

    Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie, "Class-Balanced Loss Based on Effective Number of Samples" (CVPR 2019): a class
    of n samples has the effective number E_n = (1 − βⁿ) / (1 − β) (proposition 1), and its samples weigh ∝ 1 / E_n (eq. 10). β = 0:
    all alike; β → 1: ∝ 1 / n.

    Args:
        counts: (K,) samples of each class in the training set.
        beta: in [0, 1).

    Raises:
        InvalidField: if `beta` is outside.
    """
    if not 0 <= beta < 1:
        raise InvalidField("beta", "a number in [0, 1)", beta)
    occurs = counts > 0
    n = counts.clamp(min=1).double()
    weights = torch.where(occurs, (1 - beta) / -torch.expm1(n * torch.log(torch.tensor(max(beta, 1e-300)).double())), 0.0)
    return (weights * occurs.sum() / weights.sum()).float()


def compute_logit_shift(counts: Tensor, tau: float = 1.0) -> Tensor:
    """Return τ log π (K,), what is added to the logits in training and left out in use.

    A. K. Menon et al., "Long-tail Learning via Logit Adjustment" (ICLR 2021), eq. 10: ℓ(y, f(x)) = −log(exp(f_y + τ log π_y) /
    Σ_k exp(f_k + τ log π_k)), where π is the share of each class; the argmax of f is then right for balanced classes. Classes that
    do not occur get 0, as if they had every sample, so that training still speaks against them.
    """
    share = counts.double() / counts.sum().clamp(min=1)
    return torch.where(counts > 0, tau * torch.log(share.clamp(min=1e-300)), 0.0).float()


def compute_attribute_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean binary cross-entropy (nats) over the attributes that were annotated; 0 where none was.

    Args:
        logits: (B, A).
        targets: (B, A) in [0, 1]; NaN = not annotated: no gradient comes from there.
    """
    known = torch.isfinite(targets)
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits.float(), torch.where(known, targets.float(), 0.5), reduction="none"
    )
    return (losses * known).sum() / known.sum().clamp(min=1)


def compute_teacher_loss(logits: Tensor, said: Tensor, temperature: float = 2.0) -> Tensor:
    """Return T² KL(softmax(said / T) || softmax(logits / T)), the mean over (B, K) logits and those of a teacher (nats).

    G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2; T² keeps the gradient's size.
    """
    own, other = (torch.log_softmax(x.float() / temperature, dim=1) for x in (logits, said))
    return temperature**2 * nn.functional.kl_div(own, other, reduction="batchmean", log_target=True)


@frozen(kw_only=True, eq=False)
class Criterion:
    """A loss over K classes: cross-entropy, with `weights` (K,) or `shift` (K,) if given, and label `smoothing` in [0, 1)."""

    weights: Tensor | None = None
    shift: Tensor | None = None
    smoothing: float = 0.0

    @classmethod
    def choose(
        cls, name: LossName, targets: Tensor, n_classes: int, *, beta: float = 0.999, tau: float = 1.0, smoothing: float = 0.0
    ) -> Criterion:
        """Return the loss `name` for a training set with these (N,) targets.

        Raises:
            InvalidField: for another name.
        """
        counts = torch.bincount(targets[targets != UNLABELLED], minlength=n_classes)
        if name == "cross-entropy":
            return cls(smoothing=smoothing)
        if name == "class-balanced":
            return cls(weights=compute_class_weights(counts, beta), smoothing=smoothing)
        if name == "logit-adjusted":
            return cls(shift=compute_logit_shift(counts, tau), smoothing=smoothing)
        raise InvalidField("loss", "cross-entropy, class-balanced or logit-adjusted", name)

    def compute_sum(self, logits: Tensor, targets: Tensor, annotated: Tensor | None = None) -> tuple[Tensor, int]:
        """Return the summed loss (nats) and the number of samples that count.

        Args:
            logits: (B, K).
            targets: (B,) int64; `UNLABELLED` = not annotated on this axis.
            annotated: (B, K) bool, the classes that whoever annotated the sample could have chosen; the others take no part in its
                softmax, so that a data set without "phone" does not teach that nobody holds one. None = all.
        """
        scores = logits.float() if self.shift is None else logits.float() + self.shift.to(logits.device)
        if annotated is not None:
            scores = scores.masked_fill(~annotated, -1e9)
        losses = nn.functional.cross_entropy(scores, targets, ignore_index=UNLABELLED, reduction="none")
        if self.smoothing:
            losses = (1 - self.smoothing) * losses + self.smoothing * _spread(scores, targets, annotated)
        if self.weights is not None:
            losses = losses * self.weights.to(losses.device)[targets.clamp(min=0)]
        return losses.sum(), int((targets != UNLABELLED).sum())


def _spread(scores: Tensor, targets: Tensor, annotated: Tensor | None) -> Tensor:
    """Return (B,) cross-entropies with equal shares for all annotated classes, 0 for unlabelled samples."""
    logs = -torch.log_softmax(scores, dim=1)
    open_ = torch.ones_like(scores, dtype=torch.bool) if annotated is None else annotated
    mean: Tensor = torch.where(open_, logs, 0.0).sum(dim=1) / open_.sum(dim=1).clamp(min=1)
    return mean * (targets != UNLABELLED)
