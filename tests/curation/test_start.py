"""How the start that ships for `default` is built: its windows, what training hides, its card."""

import numpy as np
import pytest
import torch

from backends.behaviour.start import load_start
from backends.weights import read_card
from curation.render import simulate_poses
from curation.start import RATES, SEEDS, _augment, build_start, simulate_windows


@pytest.fixture(scope="module")
def windows():
    return simulate_windows(seed=5, lessons=3)


def test_every_window_is_there_at_every_rate(windows):
    assert windows.lengths == (6, 12, 24, 32)
    assert windows.features.shape[1:] == (74, 33, 5)
    assert len(windows.features) == len(windows.label) > 150
    assert len(windows.classes) == 8
    head = windows.features[:, :, 0, :2]
    slow, fast = head[:, 0:6].mean(axis=1), head[:, 18:42].mean(axis=1)
    assert np.median(np.linalg.norm(slow - fast, axis=1)) < 0.1


def test_lessons_are_of_seeds_that_nothing_else_uses(windows):
    assert SEEDS > 100_000
    rates = [simulate_poses(seed=SEEDS + 15 + part, lessons=1, seconds=24.0, noise=0.0) for part in range(3)]
    assert sum(map(len, rates)) == pytest.approx(len(windows.label), abs=12)


def test_training_takes_one_rate_at_a_time_and_hides_legs_depth_and_visibility():
    generator = torch.Generator().manual_seed(0)
    batch, means = torch.zeros(200, 74, 33, 5), torch.tensor([0.0, 0.0, 7.0, 9.0, 0.0])
    batch[..., 2], batch[..., 3], batch[..., 4] = 1.0, 0.5, 1.0
    lengths = tuple(round(2 * rate) for rate in RATES)
    seen = {_augment(batch[:2], generator, lengths=lengths, means=means).shape[1] for _ in range(60)}
    assert seen == {6, 12, 24, 32}
    out = _augment(batch, generator, lengths=lengths, means=means)
    legs = (out[:, :, 25:, 4] > 0).any(dim=(1, 2))
    assert 0.25 < float(legs.float().mean()) < 0.55
    shown = out[:, :, 0][out[:, :, 0, 4] > 0]
    assert 0.05 < float((shown[:, 2] == 7).float().mean()) < 0.3
    assert 0.05 < float((shown[:, 3] == 9).float().mean()) < 0.3
    assert (out[out[..., 4] == 0] == 0).all()


def test_it_is_built_with_its_card_and_the_same_again(tmp_path):
    for name in ("one", "two"):
        training = build_start(tmp_path / name, seed=2, lessons=3, epochs=1, networks=2)
    card = read_card(tmp_path / "one")
    assert card.training == training
    assert card.training["lesson_seeds"] == [SEEDS + 6, SEEDS + 7, SEEDS + 8]
    assert "--seed 2 --lessons 3 --epochs 1" in card.rebuild
    assert len(load_start(tmp_path / "one").states) == 2
    assert card.version == read_card(tmp_path / "two").version
