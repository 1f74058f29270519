"""Losses by their equations: weights, shifts, masks."""

import math

import pytest
import torch
from torch import nn

from backends.training_losses import UNLABELLED, Criterion, compute_attribute_loss, compute_class_weights, compute_logit_shift
from schemas.errors import InvalidField

COUNTS = torch.tensor([100, 10, 0])
LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [-1.0, 1.0, 0.0]])


def test_class_weights_are_those_of_cui_et_al():
    weights = compute_class_weights(COUNTS, 0.9)
    effective = [(1 - 0.9**n) / (1 - 0.9) for n in (100, 10)]
    assert float(weights[1] / weights[0]) == pytest.approx(effective[0] / effective[1], rel=1e-5)
    assert float(weights[:2].mean()) == pytest.approx(1)
    assert float(weights[2]) == 0
    assert compute_class_weights(COUNTS, 0.0)[:2].tolist() == pytest.approx([1, 1])
    nearly = compute_class_weights(COUNTS, 0.9999999)
    assert float(nearly[1] / nearly[0]) == pytest.approx(10, rel=1e-3)
    with pytest.raises(InvalidField, match="beta"):
        compute_class_weights(COUNTS, 1.0)


def test_the_adjusted_loss_is_that_of_menon_et_al():
    targets = torch.tensor([0] * 100 + [1] * 10)
    criterion = Criterion.choose("logit-adjusted", targets, 3, tau=1.5)
    shift = [1.5 * math.log(100 / 110), 1.5 * math.log(10 / 110), 0.0]
    assert compute_logit_shift(COUNTS, 1.5).tolist() == pytest.approx(shift, rel=1e-5)
    total, n = criterion.compute_sum(LOGITS[:1], torch.tensor([1]))
    powers = [math.exp(f + s) for f, s in zip(LOGITS[0].tolist(), shift, strict=True)]
    assert n == 1
    assert float(total) == pytest.approx(-math.log(powers[1] / sum(powers)), rel=1e-5)


def test_plain_and_smoothed_losses_are_torchs():
    targets = torch.tensor([0, 2, 1])
    for smoothing in (0.0, 0.1):
        total, n = Criterion(smoothing=smoothing).compute_sum(LOGITS, targets)
        expected = nn.functional.cross_entropy(LOGITS, targets, label_smoothing=smoothing)
        assert float(total) / n == pytest.approx(float(expected), rel=1e-5)


def test_weights_count_by_sample():
    targets = torch.tensor([0] * 9 + [1])
    criterion = Criterion.choose("class-balanced", targets, 2, beta=0.99)
    total, _ = criterion.compute_sum(torch.zeros(2, 2), torch.tensor([0, 1]))
    assert float(total) == pytest.approx(2 * math.log(2), rel=1e-5)
    rare, _ = criterion.compute_sum(torch.zeros(1, 2), torch.tensor([1]))
    assert float(rare) > 1.5 * math.log(2)


def test_unlabelled_samples_and_unannotated_classes_get_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    annotated = torch.tensor([[True, True, False], [True] * 3, [True] * 3])
    for smoothing in (0.0, 0.2):
        total, n = Criterion(smoothing=smoothing).compute_sum(logits, torch.tensor([0, UNLABELLED, 2]), annotated)
        assert n == 2
        (gradient,) = torch.autograd.grad(total, logits)
        assert gradient[1].tolist() == [0, 0, 0]
        assert float(gradient[0, 2]) == 0
        assert (gradient[2] != 0).all()
        assert float(gradient[0, :2].abs().min()) > 0
    alone, _ = Criterion().compute_sum(LOGITS[:1], torch.tensor([0]), annotated[:1])
    assert float(alone) == pytest.approx(float(nn.functional.cross_entropy(LOGITS[:1, :2], torch.tensor([0]))), rel=1e-5)


def test_attributes_that_nobody_annotated_count_for_nothing():
    logits = torch.tensor([[0.3, -2.0], [1.0, 4.0]], requires_grad=True)
    targets = torch.tensor([[1.0, math.nan], [0.0, math.nan]])
    loss = compute_attribute_loss(logits, targets)
    expected = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets[:, 0])
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[:, 1].tolist() == [0, 0]
    assert float(compute_attribute_loss(logits, torch.full((2, 2), math.nan)).detach()) == 0


def test_an_unknown_loss_is_refused():
    with pytest.raises(InvalidField, match="class-balanced"):
        Criterion.choose("focal", torch.tensor([0, 1]), 2)
