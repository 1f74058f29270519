"""The training loop: validation by group, early stopping, best weights."""

import numpy as np
import torch
from torch import nn

from backends.training import TrainingPlan, choose_validation, isolate_random, train_classifier


def test_validation_takes_whole_groups_and_leaves_every_class_to_train():
    label = np.tile(["a", "b", "c"], 40)
    group = np.repeat([f"g{i}" for i in range(10)], 12)
    for seed in range(5):
        held = choose_validation(label, group, share=0.15, seed=seed)
        assert 9 <= held.sum() <= 36
        assert not set(group[held]) & set(group[~held])
        assert set(label[~held]) == {"a", "b", "c"}


def test_a_class_that_lives_in_one_group_is_never_held_out():
    label = np.array(["a"] * 50 + ["b"] * 10)
    group = np.array([f"g{i % 5}" for i in range(50)] + ["g9"] * 10)
    for seed in range(8):
        assert not choose_validation(label, group, share=0.15, seed=seed)[group == "g9"].any()


def test_one_group_validates_by_sample_and_few_samples_not_at_all():
    label = np.tile(["a", "b"], 50)
    held = choose_validation(label, np.full(100, "g"), share=0.2, seed=0)
    assert held.sum() == 20
    assert sorted(label[held]) == ["a"] * 10 + ["b"] * 10
    assert not choose_validation(label[:19], np.full(19, "g"), share=0.2, seed=0).any()


def test_training_stops_early_and_keeps_the_best_weights():
    generator = np.random.default_rng(0)
    x = torch.tensor(generator.normal(size=(60, 5)), dtype=torch.float32)
    y = torch.tensor(generator.integers(0, 2, 60))
    other = (torch.tensor(generator.normal(size=(200, 5)), dtype=torch.float32), torch.tensor(generator.integers(0, 2, 200)))
    seen = []
    with isolate_random(0) as g:
        network = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 2))
        plan = TrainingPlan(lr=1e-2, epochs=60)
        history = train_classifier(
            network, (x, y), other, plan=plan, generator=g, on_epoch=lambda epoch, train, val: seen.append((epoch, val))
        )
    assert len(history.val_loss) == history.best + plan.patience < 60
    assert [val for _, val in seen] == list(history.val_loss)
    assert min(history.val_loss) >= history.val_loss[history.best - 1] - 1e-4
    with torch.no_grad():
        loss = float(nn.functional.cross_entropy(network(other[0]), other[1]))
    assert abs(loss - history.val_loss[history.best - 1]) < 1e-6


def test_an_epoch_of_several_passes_shows_every_sample_so_often():
    shown = []

    def watch(batch, generator):
        shown.append(batch[:, 0].clone())
        return batch

    with isolate_random(0) as generator:
        plan = TrainingPlan(epochs=2, passes=3, batch_size=7, schedule="one-cycle", lr=1e-3)
        data = (torch.arange(10.0)[:, None], torch.arange(10) % 2)
        history = train_classifier(nn.Linear(1, 2), data, None, plan=plan, generator=generator, augment=watch)
    assert len(history.train_loss) == 2
    counts = torch.bincount(torch.cat(shown).long(), minlength=10)
    assert counts.tolist() == [6] * 10


def test_without_validation_the_training_loss_decides():
    x, y = torch.eye(4), torch.arange(4) % 2
    with isolate_random(0) as g:
        network = nn.Linear(4, 2)
        history = train_classifier(network, (x, y), None, plan=TrainingPlan(lr=0.1, epochs=30), generator=g)
    assert history.val_loss == ()
    assert history.train_loss[-1] < 0.3 < history.train_loss[0]
