"""The start of `default`: cut to other landmarks and channels it says the same; changed files, other skeletons, when it is used."""

import json
import shutil

import numpy as np
import pytest
import torch

from backends.behaviour import PROPOSER, load_model
from backends.behaviour.default import Default
from backends.behaviour.ensemble import Weighing
from backends.behaviour.graph import PoseGraph
from backends.behaviour.start import START, fits_start, load_start, make_graph, save_start
from backends.training import TrainingPlan
from backends.weights import load_weights, read_card
from curation.render import simulate_poses
from schemas.errors import ModelError
from schemas.sequences import SequenceSet
from schemas.vocabulary import BLAZEPOSE_33

SHORT = TrainingPlan(schedule="one-cycle", epochs=3, lr=4e-3, decay=0.02, val_share=0.2)
EDGES = np.array(BLAZEPOSE_33.edges)
PARENTS = [max(i - 1, 0) for i in range(33)]
CLASSES = ("a", "b")


def make_random(seed, parents=PARENTS, *, mixed=True):
    """A network of the start with random weights, statistics and standardisation; `mixed` = False: nothing along the bones."""
    generator = torch.Generator().manual_seed(seed)
    network = make_graph(parents, 2)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            wide = "var" in name or name == "scale"
            tensor.copy_(
                0.5 + torch.rand(tensor.shape, generator=generator) if wide else torch.randn(tensor.shape, generator=generator) / 8
            )
    if not mixed:
        with torch.no_grad():
            network.mix.weight.zero_()
            network.mix.bias.zero_()
    return network.eval()


def draw_features(n_frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(5, n_frames, 33, 5, generator=generator)
    features[..., 4] = (torch.rand(5, n_frames, 33, generator=generator) > 0.2).float()
    features[..., :4] *= features[..., 4:]
    return features


def fill(start, nodes, *, n_features=5, n_dims=3, number=0):
    network = PoseGraph(parents=start.cut_parents(nodes), n_features=n_features, n_dims=n_dims, n_classes=3)
    start.fill(network, nodes, number)
    return network.eval()


@pytest.fixture
def saved(tmp_path):
    save_start(tmp_path / "start", [make_random(1), make_random(2)], {"classes": CLASSES})
    return tmp_path / "start"


@pytest.fixture
def dead(tmp_path):
    """A start from which nothing can be learnt: its first layer lets nothing through."""
    networks = [make_random(1), make_random(2)]
    with torch.no_grad():
        for network in networks:
            network.enter.norm.weight.zero_()
            network.enter.norm.bias.fill_(-10)
    save_start(tmp_path / "dead", networks, {"classes": CLASSES})
    return tmp_path / "dead"


@pytest.mark.parametrize("n_frames", [1, 12, 24])
def test_over_all_landmarks_it_is_the_trained_network(saved, n_frames):
    start, features = load_start(saved), draw_features(n_frames)
    for number, seed in ((0, 1), (1, 2), (2, 1)):
        with torch.no_grad():
            torch.testing.assert_close(
                fill(start, range(33), number=number).embed(features), make_random(seed).embed(features), atol=1e-5, rtol=1e-5
            )


def test_fewer_landmarks_are_the_others_unseen(tmp_path):
    whole = make_random(3, mixed=False)
    save_start(tmp_path, [whole], {"classes": CLASSES})
    features, nodes = draw_features(12), list(range(25))
    hidden = features.clone()
    hidden[:, :, 25:] = 0
    with torch.no_grad():
        torch.testing.assert_close(fill(load_start(tmp_path), nodes).embed(features[:, :, nodes]), whole.embed(hidden))


def test_landmarks_hang_on_their_nearest_ancestor_that_is_read(saved):
    assert load_start(saved).cut_parents([3, 5, 6, 20]) == [0, 0, 1, 2]
    assert load_start(saved).cut_parents([0, 1, 2]) == [0, 0, 1]


def test_mixing_along_the_bones_keeps_its_weights_between_the_landmarks_that_are_read(saved):
    start, nodes = load_start(saved), [0, 2, 3, 30]
    cut, whole = fill(start, nodes), make_random(1)
    near = (whole.spread + whole.learned)[nodes][:, nodes]
    torch.testing.assert_close(cut.spread + cut.learned, near)


@pytest.mark.parametrize(
    ("n_features", "n_dims", "channels", "constant"),
    [(3, 2, [0, 1, 4], [2, 3]), (4, 2, [0, 1, 3, 4], [2]), (4, 3, [0, 1, 2, 4], [3])],
    ids=["x-y", "x-y-visibility", "x-y-z"],
)
def test_fewer_channels_are_the_others_at_their_mean(saved, n_features, n_dims, channels, constant):
    start, features, whole = load_start(saved), draw_features(12), make_random(1)
    for channel in constant:
        features[..., channel] = whole.shift[channel]
    cut = fill(start, range(33), n_features=n_features, n_dims=n_dims)
    with torch.no_grad():
        torch.testing.assert_close(cut.embed(features[..., channels]), whole.embed(features), atol=1e-5, rtol=1e-5)


def test_it_fits_mediapipes_landmarks_only():
    assert fits_start(33, None)
    assert fits_start(33, EDGES)
    assert fits_start(33, EDGES[:5, ::-1])
    assert not fits_start(25, None)
    assert not fits_start(33, np.array([[0, 32]]))


def test_changed_foreign_and_oversized_files_are_one_clear_line(saved, small, tmp_path):
    def refuse(match):
        with pytest.raises(ModelError, match=match) as caught:
            Default(plan=SHORT, start=saved).fit(small)
        assert "\n" not in str(caught.value)

    weights = saved / "weights.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    refuse(r"weights.safetensors.*was changed")
    weights.write_bytes(b"\0" * (8 * 2**20 + 1))
    refuse("is larger than the 8388608 bytes allowed")
    weights.unlink()
    refuse("no such file")
    weights.write_bytes(good)
    card = json.loads((saved / "card.json").read_text())
    for config in ({"parents": [99] * 33, "networks": 2}, {"parents": PARENTS, "networks": 3}, {"parents": PARENTS}):
        (saved / "card.json").write_text(json.dumps({**card, "config": config}))
        refuse("do not fit a default-start as its card describes it")
    shutil.rmtree(saved)
    shutil.copytree(PROPOSER, saved)
    refuse("holds a 'cnn-lstm-motion' model, not 'default-start'")


@pytest.fixture(scope="module")
def lessons():
    return simulate_poses(seed=78, lessons=8, seconds=20.0)


@pytest.fixture(scope="module")
def small(lessons):
    """A few windows of three lessons."""
    rows = np.flatnonzero(np.isin(lessons.group, np.unique(lessons.group)[:3]))
    return lessons.take(np.isin(np.arange(len(lessons)), np.random.default_rng(0).permutation(rows)[:60]))


@pytest.fixture(scope="module")
def begun(small, lessons):
    return Default().fit(small, classes=lessons.classes)


def score(model, lessons):
    asked = lessons.take(~np.isin(lessons.group, np.unique(lessons.group)[:3]))
    return (np.array(model.classes)[model.predict_proba(asked.pose).argmax(axis=1)] == asked.label).mean()


def test_the_shipped_start_is_used_and_helps_where_labels_are_few(small, lessons, begun):
    scratch = Default(start=None).fit(small, classes=lessons.classes)
    assert begun._config["start"] == read_card(START).version
    assert "start" not in scratch._config
    assert score(begun, lessons) > score(scratch, lessons) + 0.1


def test_begun_from_the_start_it_is_saved_and_answers_the_same_by_seed(begun, small, lessons, tmp_path):
    begun.save(tmp_path, {})
    assert read_card(tmp_path).config["start"] == read_card(START).version
    probs = begun.predict_proba(lessons.pose[:64])
    np.testing.assert_allclose(load_model(tmp_path).predict_proba(lessons.pose[:64]), probs, atol=1e-6)
    one, again, other = (Default(plan=SHORT).fit(small, seed=seed).predict_proba(lessons.pose[:8]) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_where_it_does_not_help_the_model_is_as_from_scratch(dead, lessons):
    plan = TrainingPlan(schedule="one-cycle", epochs=20, lr=4e-3, decay=0.02, val_share=0.2)
    many = lessons.take(np.isin(lessons.group, np.unique(lessons.group)[:5]))
    model = Default(plan=plan, start=dead).fit(many)
    assert "start" not in model._config
    scratch = Default(plan=plan, start=None).fit(many)
    np.testing.assert_array_equal(model.predict_proba(lessons.pose[:16]), scratch.predict_proba(lessons.pose[:16]))


@pytest.mark.parametrize("helps", [False, True])
def test_alone_a_network_comes_back_with_its_own_bones(dead, small, lessons, tmp_path, helps):
    model = Default(n_members=1, start=START if helps else dead).fit(small)
    assert ("start" in model._config) == helps
    model.save(tmp_path / "model", {})
    probs = model.predict_proba(lessons.pose[:16])
    np.testing.assert_allclose(load_model(tmp_path / "model").predict_proba(lessons.pose[:16]), probs, atol=1e-6)


def test_scratch_has_to_be_better_by_more_than_chance():
    def lose(*losses):
        return Weighing(weight=0.6, temperature=1.0, losses=np.array(losses))

    assert lose(0.1, 0.2, 0.3, 0.2).is_clearly_below(lose(0.5, 0.7, 0.6, 0.8))
    assert not lose(0.1, 0.2, 0.3, 0.9).is_clearly_below(lose(0.5, 0.7, 0.6, 0.0))
    assert not lose(0.5, 0.7, 0.6, 0.8).is_clearly_below(lose(0.1, 0.2, 0.3, 0.2))
    assert not lose(0.1, 0.1).is_clearly_below(lose(0.1, 0.1))


def test_another_skeleton_does_not_read_it(small, tmp_path):
    fewer = SequenceSet(pose=small.pose[:, :, :25], label=small.label, group=small.group)
    missing = Default(plan=SHORT, start=tmp_path / "none").fit(fewer)
    scratch = Default(plan=SHORT, start=None).fit(fewer)
    np.testing.assert_array_equal(missing.predict_proba(fewer.pose[:8]), scratch.predict_proba(fewer.pose[:8]))


def test_too_few_sequences_to_hold_any_out_go_on_from_it(small):
    few = small.take(np.arange(len(small)) < 15)
    assert "start" in Default(plan=SHORT).fit(few)._config


@pytest.mark.parametrize("n_channels", [2, 3])
def test_landmarks_with_fewer_channels_can_go_on_from_it(small, lessons, n_channels):
    def cut(sequences):
        return SequenceSet(pose=sequences.pose[..., :n_channels], label=sequences.label, group=sequences.group, id=sequences.id)

    begun, scratch = (Default(**start).fit(cut(small), classes=lessons.classes) for start in ({}, {"start": None}))
    assert "start" in begun._config
    assert score(begun, cut(lessons)) > score(scratch, cut(lessons)) + 0.2


def test_the_card_of_the_shipped_start_says_where_it_comes_from():
    arrays, card = load_weights(START)
    assert sum(array.nbytes for array in arrays.values()) < 2**20
    assert card.rebuild.startswith("python -m curation.start --seed 0")
    assert min(card.training["lesson_seeds"]) >= 900_000
    assert card.training["lessons"] >= 100
