"""Network slimming: the right channels go, a layer keeps its floor, and what is left is saved and loaded."""

import json

import numpy as np
import pytest
import torch
from attrs import evolve
from torch import nn

from backends.behaviour import hand_images, load_model
from backends.behaviour.drn_lstm import PoseDrnLstm
from backends.behaviour.hand_images import HANDS, HandModel
from backends.behaviour.hand_slim import SlimHandModel
from backends.behaviour.lstm import SEED_A
from backends.behaviour.slim import FINE, SPARSE, SlimDrnLstm
from backends.compress import adapt_shapes, count_parameters, slim_network, slim_to
from backends.training import TrainingPlan, isolate_random, train_classifier
from backends.training_losses import compute_teacher_loss
from schemas.errors import InvalidField, ModelError

EXAMPLE = torch.randn((2, 12, 10, 5), generator=torch.Generator().manual_seed(0))


def make_network(seed=0):
    with isolate_random(seed):
        network = PoseDrnLstm(n_nodes=10, n_features=5, n_classes=8).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d):
                nn.init.uniform_(module.weight)
    return network


def test_channels_of_scale_zero_go_and_the_answer_stays():
    network = nn.Sequential(
        nn.Conv1d(3, 8, 3, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 6, 1), nn.BatchNorm1d(6)
    ).eval()
    network[1].weight.data = torch.tensor([1.0, 0, 2, 0, 3, 0, 4, 0])
    network[4].weight.data.fill_(5.0)
    x = torch.randn(4, 3, 9)
    before = network(x)
    slim_network(network, x, ratio=4 / 14)
    assert (network[0].out_channels, network[3].in_channels, network[3].out_channels) == (4, 4, 6)
    assert network[1].weight.tolist() == [1, 2, 3, 4]
    torch.testing.assert_close(network(x), before)


@pytest.mark.parametrize("ratio", [0.5, 0.84, 0.95])
def test_every_layer_keeps_something_and_the_network_runs(ratio):
    network = make_network()
    before = count_parameters(network)
    slim_network(network, EXAMPLE, ratio=ratio)
    assert min(m.out_channels for m in network.modules() if isinstance(m, nn.Conv1d)) >= 1
    assert network(EXAMPLE).shape == (2, 8)
    assert count_parameters(network) < max(1 - ratio, 0.08) * before


def test_weights_of_a_slim_network_load_into_a_whole_one():
    slim, fresh = slim_network(make_network(), EXAMPLE, ratio=0.7), make_network(1)
    adapt_shapes(fresh, slim.state_dict())
    fresh.load_state_dict(slim.state_dict())
    torch.testing.assert_close(fresh(EXAMPLE), slim(EXAMPLE))
    with pytest.raises(ValueError, match=r"out\.weight is missing"):
        adapt_shapes(fresh, {k: v for k, v in slim.state_dict().items() if k != "out.weight"})
    with pytest.raises(InvalidField, match="ratio"):
        slim_network(fresh, EXAMPLE, ratio=1.0)


def test_frames_are_standardised_in_the_first_layer_or_before_it():
    network, generator = make_network(), torch.Generator().manual_seed(0)
    network.shift[:-1], network.scale[:-1] = torch.tensor([0.5, -1, 2, 0.1]), torch.tensor([0.5, 2, 3, 0.2])
    seen = (torch.rand((4, 9, 10, 1), generator=generator) > 0.3).float()
    features = torch.cat([EXAMPLE[:1, :9, :, :4].expand(4, -1, -1, -1) * seen, seen], dim=-1)
    frames = network.flatten_frames(features).unflatten(2, (10, 5))
    expected = (features[..., :-1] - network.shift[:-1]) / network.scale[:-1] * seen
    torch.testing.assert_close(frames, torch.cat([expected, seen], dim=-1), atol=1e-5, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(network.enter(features), network.entry(frames.flatten(2).transpose(1, 2)), atol=1e-4, rtol=1e-5)


def test_sparse_training_shrinks_scales():
    x, y = torch.randn(40, 6), torch.arange(40) % 2
    scales = {}
    for l1 in (0.0, 0.1):
        with isolate_random(0) as generator:
            network = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
            plan = TrainingPlan(schedule="steps", epochs=30, lr=0.03, gamma_l1=l1)
            train_classifier(network, (x, y), None, plan=plan, generator=generator)
        scales[l1] = float(network[1].weight.detach().abs().mean())
    assert scales[0.1] < 0.5 * scales[0.0]


def test_as_many_parameters_go_as_are_wanted():
    network = make_network()
    before = count_parameters(network)
    for gone in (0.0, 0.5, 0.85):
        slim = slim_to(network, EXAMPLE, gone=gone)
        assert 1 - count_parameters(slim) / before >= gone
        assert count_parameters(slim) > 0.7 * (1 - gone) * before
    assert count_parameters(network) == before
    with pytest.raises(InvalidField, match=r"gone: expected at most 0\.\d+, got 0\.99"):
        slim_to(network, EXAMPLE, gone=0.99, floor=0.05)


def test_where_the_first_floor_does_not_let_so_many_go_a_lower_one_does():
    network = make_network()
    before = count_parameters(network)
    with pytest.raises(InvalidField, match=r"gone: expected at most 0\.94\d, got 0\.96"):
        slim_to(network, EXAMPLE, gone=0.96, floor=0.1)
    slim = slim_to(network, EXAMPLE, gone=0.96)
    assert 1 - count_parameters(slim) / before >= 0.96
    with torch.no_grad():
        assert slim(EXAMPLE).shape == network(EXAMPLE).shape
    with pytest.raises(InvalidField, match=r"gone: expected at most 0\.9\d+, got 0\.99$"):
        slim_to(network, EXAMPLE, gone=0.99)


def test_a_teacher_is_learnt_from():
    x, y = torch.randn(64, 6, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 2
    with isolate_random(1):
        teacher, told = nn.Linear(6, 2), {}
    for share in (0.0, 1.0):
        with isolate_random(0) as generator:
            network = nn.Linear(6, 2)
            plan = TrainingPlan(schedule="steps", epochs=60, lr=0.05, taught=share)
            train_classifier(network, (x, y), None, plan=plan, generator=generator, teacher=teacher)
        with torch.no_grad():
            told[share] = float(compute_teacher_loss(network(x), teacher(x)))
    assert told[1.0] < 0.01 < 0.1 < told[0.0]


def test_the_teachers_loss_is_hintons():
    logits, said = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    p, q = torch.softmax(said / 2, 1), torch.softmax(logits / 2, 1)
    assert float(compute_teacher_loss(logits, said)) == pytest.approx(float(4 * (p * (p / q).log()).sum()))
    assert float(compute_teacher_loss(said, said)) == pytest.approx(0, abs=1e-6)


def test_the_slim_model_is_a_sixth_and_is_saved(sequence_factory, tmp_path):
    data = sequence_factory(64, n_groups=4)
    epochs = []
    plans = (evolve(SEED_A, epochs=3), evolve(SPARSE, epochs=2), evolve(FINE, epochs=4))
    model = SlimDrnLstm(plan=plans[0], sparse=plans[1], fine=plans[2], gone=0.85).fit(
        data, progress=lambda r: epochs.append((r.epoch, r.n_epochs))
    )
    assert epochs == [(i, 9) for i in range(1, 10)]
    whole = PoseDrnLstm(n_nodes=len(model._config["nodes"]), n_features=model._config["n_channels"] + 1, n_classes=8)
    assert count_parameters(model._require_network()) <= 0.15 * count_parameters(whole) == 0.15 * count_parameters(model.teacher)
    model.save(tmp_path, {})
    assert json.loads((tmp_path / "card.json").read_text())["config"]["gone"] >= 0.85
    loaded = load_model(tmp_path)
    assert isinstance(loaded, SlimDrnLstm)
    np.testing.assert_allclose(loaded.predict_proba(data.pose), model.predict_proba(data.pose), atol=1e-6)
    with pytest.raises(ModelError):
        type(model).load(tmp_path / "nowhere")


def test_a_slim_hand_branch_comes_back_from_its_card(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    label = np.array(HANDS)[np.arange(24) % 3]
    pictures = rng.integers(0, 255, (24, 32, 32, 3), dtype=np.uint8)
    for name in ("SPARSE", "FINE"):
        monkeypatch.setattr(hand_images, name, evolve(getattr(hand_images, name), epochs=2))
    whole = HandModel(plan=evolve(hand_images.QUICK, epochs=2)).fit(pictures, label)
    slim = whole.slim(pictures, label, gone=0.85)
    n_whole, n_slim = (count_parameters(model._require_network()) for model in (whole, slim))
    assert n_slim <= 0.15 * n_whole
    at_once = SlimHandModel(plan=evolve(hand_images.QUICK, epochs=2), gone=0.85).fit(pictures, label)
    np.testing.assert_array_equal(at_once.predict_proba(pictures), slim.predict_proba(pictures))
    slim.save(tmp_path, {})
    np.testing.assert_allclose(HandModel.load(tmp_path).predict_proba(pictures), slim.predict_proba(pictures), atol=1e-6)
    card = json.loads((tmp_path / "card.json").read_text())
    card["config"]["widths"] = [10**9]
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="the weights do not fit a hand-branch"):
        HandModel.load(tmp_path)
    card["config"] |= {"widths": list(slim._require_network().widths), "prior": [0.5, 0.5, 0.0]}
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="a prior of"):
        HandModel.load(tmp_path)
    card["config"] |= {"side": 32}
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="pictures of 32 px"):
        HandModel.load(tmp_path)
