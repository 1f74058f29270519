"""The behaviour models on parametric motions: accuracy on unseen groups, any skeleton and length, and documented edge cases."""

import numpy as np
import pytest
import torch
from attrs import evolve

from backends.behaviour import MODELS, load_model, load_proposer
from backends.behaviour.cnn_lstm import count_passes
from backends.behaviour.cnn_lstm_motion import CnnLstmMotion as CnnLstm
from backends.behaviour.network import NetworkModel
from backends.behaviour.resnet1d import PoseResNet1d
from backends.training import TrainingPlan
from schemas.errors import InvalidField, ModelError, NotEnoughData, UnknownName

SHORT = TrainingPlan(epochs=2)


def make_quick(name, epochs=2):
    """The model `name`; a network over poses is trained `epochs` epochs only."""
    kind = MODELS.load(name)
    plan = TrainingPlan(epochs=epochs, min_epochs=epochs, schedule="one-cycle", lr=4e-3)
    return kind(plan=plan) if issubclass(kind, NetworkModel) else kind()


@pytest.fixture(scope="module")
def motions(sequence_factory):
    return sequence_factory(320, n_groups=8, seed=5, noise=0.03)


FLOORS = {"cnn-lstm": 0.5, "cnn-lstm-motion": 0.7, "drn-lstm": 0.6, "extra-trees": 0.75, "logreg": 0.6}


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_recognises_motions_of_unseen_groups(name, floor, motions):
    test = np.isin(motions.group, ["video-6", "video-7"])
    model = MODELS.load(name)().fit(motions.take(~test), seed=0)
    said = np.array(model.classes)[model.predict_proba(motions.pose[test]).argmax(axis=1)]
    assert (said == motions.label[test]).mean() >= floor


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize(("n_nodes", "n_channels", "n_frames"), [(13, 2, 5), (17, 3, 1), (33, 2, 3), (1, 2, 2), (33, 4, 1)])
def test_takes_any_skeleton_and_length(name, n_nodes, n_channels, n_frames, sequence_factory):
    data = sequence_factory(32, n_groups=4, n_frames=n_frames, n_nodes=n_nodes, n_channels=n_channels)
    model = make_quick(name)
    probs = model.fit(data).predict_proba(data.pose)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-9)
    longer = np.repeat(data.pose, 2, axis=1)
    assert model.predict_proba(longer).shape == probs.shape
    with pytest.raises(InvalidField, match="pose: expected an array of shape"):
        model.predict_proba(data.pose[:, :, :, :1])


@pytest.mark.parametrize("name", ["lstm", "tcn", "default"])
def test_a_channel_that_never_changed_in_training_hardly_counts(name, sequence_factory):
    data = sequence_factory(64, n_groups=4, n_nodes=33, n_channels=4)
    data.pose[..., 3] = np.where(np.isnan(data.pose[..., 3]), np.nan, 1)
    model = make_quick(name, 8).fit(data)
    doubtful = data.pose.copy()
    doubtful[..., 3] -= 0.1
    apart = np.abs(model.predict_proba(doubtful) - model.predict_proba(data.pose)).max()
    assert 0 < apart < 0.1


@pytest.mark.parametrize("name", list(MODELS))
def test_somebody_never_seen_gets_equal_probabilities(name, sequence_factory):
    data = sequence_factory(32, n_groups=4)
    data.pose[3] = np.nan
    model = make_quick(name).fit(data)
    probs = model.predict_proba(data.pose)
    np.testing.assert_allclose(probs[3], 1 / 8)
    assert np.ptp(probs[2]) > 0.01
    assert model.predict_proba(data.pose[:0]).shape == (0, 8)


@pytest.mark.parametrize("name", list(MODELS))
def test_refuses_what_cannot_be_learned(name, sequence_factory):
    data, model = sequence_factory(16, n_groups=2), MODELS.load(name)()
    with pytest.raises(ModelError, match="is not trained yet"):
        model.predict_proba(data.pose)
    with pytest.raises(NotEnoughData, match=r"classes to train on.*need at least 2, have 1"):
        model.fit(data.with_labels(np.full(16, "write")))
    with pytest.raises(InvalidField, match="label: expected one of write, read, got attend"):
        model.fit(data, classes=("write", "read"))
    data.pose[:] = np.nan
    with pytest.raises(NotEnoughData, match="have 0"):
        model.fit(data)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_class_that_does_not_occur_gets_a_column(name, sequence_factory):
    data = sequence_factory(48, n_groups=4, classes=("attend", "sleep", "stand"))
    model = make_quick(name, epochs=20).fit(data, classes=("attend", "phone", "sleep", "stand"))
    probs = model.predict_proba(data.pose)
    assert probs.shape == (48, 4)
    assert probs[:, 1].mean() < 0.1


def test_the_place_and_size_in_the_picture_do_not_matter(motions):
    model = CnnLstm(plan=SHORT).fit(motions)
    moved = motions.pose.copy()
    moved[..., :3] *= 1.7
    moved[..., :2] += (300, -120)
    np.testing.assert_allclose(model.predict_proba(moved), model.predict_proba(motions.pose), atol=2e-3)


def test_training_leaves_global_random_state_and_threads_alone(sequence_factory):
    torch.manual_seed(11)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    CnnLstm(plan=SHORT).fit(sequence_factory(32, n_groups=4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


@pytest.mark.parametrize(("n_frames", "passes"), [(0, 8), (12_000, 8), (32_000, 3), (96_000, 1), (320_000, 1)])
def test_the_fewer_frames_there_are_the_more_variants_make_an_epoch_of_seed_d(n_frames, passes):
    assert count_passes(n_frames) == passes


def test_a_plan_that_is_given_says_how_many_variants_make_an_epoch(sequence_factory):
    data, model = sequence_factory(16, n_groups=4), MODELS.load("cnn-lstm")
    planned = model(plan=SHORT).fit(data)
    assert planned.plan.passes == SHORT.passes == 1
    few = model()
    few.plan = evolve(few.plan, epochs=1)
    assert few.fit(data).plan.passes == 8


@pytest.mark.parametrize("n_frames", [1, 2, 12])
def test_frames_convolved_as_one_product_are_the_convolution(n_frames):
    network = PoseResNet1d(n_nodes=5, n_features=4, n_classes=3).eval()
    network.shift[:-1], network.scale[:-1] = torch.tensor([0.3, -0.2, 0.1]), torch.tensor([0.5, 2.0, 1.5])
    features = torch.randn(6, n_frames, 5, 4)
    features[..., -1] = (features[..., -1] > 0).float()
    features = features * features[..., -1:]
    trained = network.enter(features).detach()
    with torch.no_grad():
        np.testing.assert_allclose(network.enter(features), trained, atol=1e-5)


def test_another_seed_gives_another_network(sequence_factory):
    data = sequence_factory(32, n_groups=4)
    one, two = (CnnLstm(plan=SHORT).fit(data, seed=seed).predict_proba(data.pose) for seed in (0, 1))
    assert np.abs(one - two).max() > 1e-3


def test_progress_reports_every_epoch_with_a_model_that_answers(sequence_factory):
    data, seen = sequence_factory(64, n_groups=4), []
    CnnLstm(plan=SHORT).fit(data, progress=lambda r: seen.append((r.epoch, r.n_epochs, r.model.predict_proba(data.pose[:2]).shape)))
    assert seen == [(1, 2, (2, 8)), (2, 2, (2, 8))]


def test_load_model_finds_the_architecture_in_the_card(sequence_factory, tmp_path):
    data = sequence_factory(32, n_groups=4)
    MODELS.load("logreg")().fit(data).save(tmp_path, {})
    assert load_model(tmp_path).name == "logreg"
    with pytest.raises(ModelError, match="holds a 'logreg' model, not 'cnn-lstm-motion'"):
        CnnLstm.load(tmp_path)
    with pytest.raises(UnknownName, match="unknown model 'resnet'; known: cnn-lstm,"):
        MODELS.load("resnet")


def test_the_shipped_proposer_loads_and_answers_in_its_taxonomy():
    from schemas.vocabulary import load_taxonomy

    model = load_proposer()
    assert model.classes == load_taxonomy("learning-behaviours").axis("behaviour").values
    probs = model.predict_proba(np.random.default_rng(0).uniform(0, 500, (3, 12, 33, 4)))
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-9)
