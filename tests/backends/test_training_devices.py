"""Where a training runs: one line for what is not there, bf16, and two processes that end where one does."""

import numpy as np
import pytest
import torch
from torch import nn

from backends.training import TrainingPlan, TrainingSession, isolate_random, train_classifier, use_session
from backends.training_devices import choose_machine
from schemas.errors import InvalidField

RNG = np.random.default_rng(0)
X = torch.tensor(RNG.normal(size=(64, 6)), dtype=torch.float32)
Y = (X[:, 0] + X[:, 1] > 0).long()


def train(session, *, augment=None, on_epoch=None, **plan):
    with isolate_random(0) as generator, use_session(session):
        network = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
        wanted = TrainingPlan(epochs=6, lr=1e-2, batch_size=13, patience=9, **plan)
        history = train_classifier(
            network, (X[:50], Y[:50]), (X[50:], Y[50:]), plan=wanted, generator=generator, augment=augment, on_epoch=on_epoch
        )
    return network, history


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_without_cuda_auto_is_the_cpu_and_cuda_is_refused():
    machine = choose_machine(TrainingSession())
    assert (machine.device.type, machine.bf16) == ("cpu", False)
    with pytest.raises(InvalidField, match="torch finds no CUDA device here"):
        train(TrainingSession(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_trains_like_the_cpu():
    session = TrainingSession(device="cuda", precision="float32")
    for a, b in zip(train(session)[0].parameters(), train(TrainingSession(device="cpu"))[0].parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_bf16_runs_and_leaves_float32_weights():
    network, history = train(TrainingSession(device="cpu", precision="bf16"))
    _, expected = train(TrainingSession(device="cpu"))
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert history.val_loss != expected.val_loss
    np.testing.assert_allclose(history.val_loss, expected.val_loss, atol=0.02)


def test_two_processes_end_where_one_does():
    seen = []
    session = TrainingSession(device="cpu", n_devices=2)
    together, history = train(session, on_epoch=lambda *losses: seen.append(losses), loss="class-balanced")
    alone, expected = train(TrainingSession(device="cpu"), loss="class-balanced")
    for a, b in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(history.val_loss, expected.val_loss, atol=1e-5)
    np.testing.assert_allclose(history.train_loss, expected.train_loss, atol=1e-5)
    assert [losses[0] for losses in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1][2] == history.val_loss[-1]


def test_what_cannot_be_shared_is_said():
    with pytest.raises(InvalidField, match="devices: expected at most 6 for batches of 13"):
        train(TrainingSession(device="cpu", n_devices=7))
    with pytest.raises(InvalidField, match="cannot be sent"):
        train(TrainingSession(device="cpu", n_devices=2), augment=lambda batch, g: batch)
