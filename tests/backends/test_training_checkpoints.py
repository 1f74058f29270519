"""Checkpoints: a training that was killed ends with the weights of one that was not."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from backends.training import TrainingPlan, TrainingSession, isolate_random, train_classifier, use_session
from backends.training_checkpoints import State, pack_state, unpack_state

PLANS = {
    "plateau": TrainingPlan(epochs=9, patience=20, lr=1e-2, lr_patience=1, batch_size=8),
    "one-cycle": TrainingPlan(epochs=9, schedule="one-cycle", decay=0.01, batch_size=8),
    "steps": TrainingPlan(epochs=9, schedule="steps", optimiser="sgd", loss="logit-adjusted", batch_size=8, gamma_l1=1e-3),
}


def train(plan, *, folder=None, on_epoch=None, every_s=0.0, seed=0):
    """Train a small network with dropout, batch norm and noisy batches; return its weights' hash and the history."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(60, 6)), dtype=torch.float32)
    y = torch.tensor(rng.integers(0, 3, 60))
    with isolate_random(seed) as generator, use_session(TrainingSession(device="cpu", checkpoints=folder, every_s=every_s)):
        network = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
        history = train_classifier(
            network,
            (x[:45], y[:45]),
            (x[45:], y[45:]),
            plan=plan,
            generator=generator,
            augment=lambda batch, g: batch + 0.1 * torch.randn(batch.shape, generator=g),
            on_epoch=on_epoch,
        )
        after = torch.rand(1), torch.rand(1, generator=generator)
    weights = b"".join(t.numpy().tobytes() for t in network.state_dict().values())
    return hashlib.sha256(weights).hexdigest(), history, after


def interrupt(at, epoch, train_loss, val_loss):
    if epoch == at:
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", PLANS)
def test_a_resumed_training_is_the_same_bit_for_bit(name, tmp_path):
    whole, history, after = train(PLANS[name])
    for stop in (1, 5):
        with pytest.raises(KeyboardInterrupt):
            train(PLANS[name], folder=tmp_path, on_epoch=partial(interrupt, stop))
    reported = []
    again, resumed, later = train(PLANS[name], folder=tmp_path, on_epoch=lambda e, *_: reported.append(e))
    assert again == whole
    assert resumed == history
    assert later == after
    assert reported == list(range(6, len(history.train_loss) + 1))
    reported.clear()
    assert train(PLANS[name], folder=tmp_path, on_epoch=lambda e, *_: reported.append(e))[:2] == (whole, history)
    assert reported == []
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


SCRIPT = """
import sys, time
sys.path[:0] = {paths!r}
from pathlib import Path
from backends.test_training_checkpoints import PLANS, train
train(PLANS["plateau"], folder=Path({folder!r}), on_epoch=lambda *_: time.sleep(0.15))
"""


def test_a_killed_training_goes_on_with_the_same_weights(tmp_path):
    root = Path(__file__).parents[2]
    script = SCRIPT.format(paths=[str(root), str(root / "tests")], folder=str(tmp_path))
    worker = subprocess.Popen([sys.executable, "-c", script.replace("backends.test_training", "test_training")], cwd=root,
                              env={**os.environ, "PYTHONPATH": str(root / "tests" / "backends")})  # fmt: skip
    deadline = time.monotonic() + 240
    while not list(tmp_path.rglob("000003-*.safetensors")) and worker.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    reported = []
    again, history, _ = train(PLANS["plateau"], folder=tmp_path, on_epoch=lambda e, *_: reported.append(e))
    assert reported[0] > 3
    assert reported[-1] == 9
    assert (again, history) == train(PLANS["plateau"])[:2]


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(PLANS["plateau"], folder=tmp_path, on_epoch=partial(interrupt, 4))
    newest = max(tmp_path.rglob("*.safetensors"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(bytes(data))
    (newest.parent / ".000009-half.safetensors.tmp").write_bytes(b"half")
    reported = []
    again, _, _ = train(PLANS["plateau"], folder=tmp_path, on_epoch=lambda e, *_: reported.append(e))
    assert reported[0] == 4
    assert again == train(PLANS["plateau"])[0]


def test_checkpoints_of_another_training_are_left_alone(tmp_path):
    train(PLANS["plateau"], folder=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")}
    assert train(PLANS["plateau"], folder=tmp_path, seed=1)[0] == train(PLANS["plateau"], seed=1)[0]
    assert len(list(tmp_path.iterdir())) == 2
    assert all(path.read_bytes() == data for path, data in before.items())


def test_between_checkpoints_time_passes_and_the_end_is_always_one(tmp_path):
    train(PLANS["plateau"], folder=tmp_path, every_s=1000.0)
    assert [path.name[:6] for path in tmp_path.rglob("*.safetensors")] == ["000009"]


def test_a_packed_state_keeps_its_values():
    state = State(
        tensors={"network/a": torch.arange(3), "network/b": torch.eye(2)}, plain={"x": [0.1, float("inf")], "y": {"z": 1}}
    )
    found = unpack_state(pack_state(state))
    assert found.plain == dict(state.plain)
    assert sorted(found.take("network")) == ["a", "b"]
    assert torch.equal(found.take("network")["b"], torch.eye(2))
    with pytest.raises(ValueError, match="no checkpoint"):
        unpack_state(b"\x80\x04K\x01.")
