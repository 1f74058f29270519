"""The model `st-fusion`: what it reads, what it does without one half, and what it refuses."""

import numpy as np
import pytest
from attrs import evolve

from backends.base import CropReader, predict_sequences
from backends.behaviour import MODELS, load_model
from backends.behaviour.st_fusion.model import PLAN, StFusion
from backends.weights import read_card, save_weights
from schemas.errors import InvalidField, ModelError, NotEnoughData
from schemas.sequences import SequenceSet

QUICK = evolve(PLAN, epochs=6)


def make_lessons(n=96, *, seed=0, size=16, n_frames=4):
    """Four classes: a bar in the picture lies or stands, a wrist is high or low; each half can tell two apart only."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 4, n)
    crops = rng.integers(60, 90, (n, n_frames, size, size, 3))
    pose = np.tile(np.random.default_rng(7).uniform(-40, 40, (33, 2)), (n, 5, 1, 1)) + rng.normal(0, 2, (n, 5, 33, 2))
    pose[:, :, [11, 12, 23, 24]] = np.array([(-20, -20), (20, -20), (-15, 40), (15, 40)]) + rng.normal(0, 1, (n, 5, 4, 2))
    for i, k in enumerate(kind):
        at = int(rng.integers(1, size - 4))
        rows, columns = (slice(at, at + 3), slice(2, -2)) if k % 2 else (slice(2, -2), slice(at, at + 3))
        crops[i, :, rows, columns] += 120
        pose[i, :, 13:23, 1] += -70 if k // 2 else 40
    return SequenceSet(
        pose=pose, label=np.array(["a", "b", "c", "d"])[kind], group=[f"g{i % 6}" for i in range(n)], crops=crops.astype(np.uint8)
    )


def measure(model, data, *, crops=True):
    said = np.array(model.classes)[model.predict_proba(data.pose, data.crops if crops else None).argmax(axis=1)]
    return float((said == data.label).mean())


@pytest.fixture(scope="module")
def fitted():
    return StFusion(plan=evolve(PLAN, epochs=10), mirror=False).fit(make_lessons(112), seed=0)


def test_two_halves_that_know_half_each_know_all_together(fitted):
    test = make_lessons(80, seed=1)
    assert measure(fitted, test) >= 0.9
    assert 0.3 < measure(fitted, test, crops=False) < 0.7
    blind = evolve(test, pose=np.full_like(test.pose, np.nan))
    assert 0.3 < measure(fitted, blind) < 0.7
    skeleton = StFusion(half="skeleton", plan=QUICK).fit(test)
    assert measure(skeleton, test) == measure(skeleton, test, crops=False) < 0.7


def test_it_answers_the_same_after_loading_in_batches_of_one_and_in_other_light(fitted, tmp_path):
    test = make_lessons(20, seed=2)
    probs = fitted.predict_proba(test.pose, test.crops)
    fitted.save(tmp_path, {"taxonomy": "letters", "axis": "letter"})
    loaded = load_model(tmp_path)
    np.testing.assert_allclose(loaded.predict_proba(test.pose, test.crops), probs, atol=1e-6)
    single = np.concatenate([loaded.predict_proba(test.pose[[i]], test.crops[[i]]) for i in range(20)])
    np.testing.assert_allclose(single, probs, atol=1e-6)
    np.testing.assert_allclose(loaded.predict_proba(test.pose), fitted.predict_proba(test.pose), atol=1e-6)
    np.testing.assert_allclose(loaded.embed(test.pose, test.crops), fitted.embed(test.pose, test.crops), atol=1e-5)
    assert fitted.embed(test.pose, test.crops).shape == (20, 192)
    dim = (test.crops // 2).astype(np.uint8)
    assert np.abs(fitted.predict_proba(test.pose, dim) - probs).max() < 0.1


@pytest.mark.parametrize("size", [8, 13, 40])
def test_any_size_of_picture_and_number_of_frames_passes(fitted, size):
    test = make_lessons(3, size=size, n_frames=7)
    assert fitted.predict_proba(test.pose, test.crops).shape == (3, 4)


@pytest.mark.parametrize(("n_nodes", "n_channels"), [(1, 2), (13, 2), (17, 3)])
def test_any_skeleton_passes_beside_pictures(n_nodes, n_channels):
    data = make_lessons(32)
    rng = np.random.default_rng(0)
    pose = rng.normal(size=(32, 3, n_nodes, n_channels)).astype(np.float32)
    edges = np.array([[i, i + 1] for i in range(n_nodes - 1)]).reshape(-1, 2)
    model = StFusion(plan=evolve(PLAN, epochs=1)).fit(evolve(data, pose=pose, skeleton=edges))
    assert np.isfinite(model.predict_proba(pose, data.crops)).all()


def test_the_same_seed_gives_the_same_answers():
    data = make_lessons(40)
    one, two = (StFusion(plan=evolve(PLAN, epochs=1)).fit(data, seed=5).predict_proba(data.pose, data.crops) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_bad_input_is_refused_in_one_line(fitted, tmp_path):
    data = make_lessons(24)
    with pytest.raises(InvalidField, match="half: expected both, rgb, skeleton, got left"):
        StFusion(half="left")
    with pytest.raises(InvalidField, match="crops: expected pictures beside the poses"):
        StFusion(half="rgb").fit(evolve(data, crops=None))
    with pytest.raises(InvalidField, match=r"crops: expected an array of shape \(24, any, any, any, 3\)"):
        fitted.predict_proba(data.pose, data.crops[:5])
    with pytest.raises(InvalidField, match=r"crops: expected uint8 pictures of at least 8 px, got float64"):
        fitted.predict_proba(data.pose, data.crops / 255)
    with pytest.raises(InvalidField, match="crops: expected uint8"):
        evolve(data, crops=data.crops.astype(np.float32))
    with pytest.raises(ModelError, match="is not trained yet"):
        StFusion().predict_proba(data.pose)
    with pytest.raises(NotEnoughData, match="need at least 2, have 1"):
        StFusion().fit(data.with_labels(np.full(24, "a")))
    rgb = StFusion(half="rgb", plan=evolve(PLAN, epochs=1)).fit(data)
    with pytest.raises(InvalidField, match="crops: expected pictures, as the RGB half reads nothing else"):
        rgb.predict_proba(data.pose)
    fitted.save(tmp_path, {})
    card = read_card(tmp_path).model_dump()
    save_weights(tmp_path, {"gamma": np.zeros(1, np.float32)}, card)
    with pytest.raises(ModelError, match="the weights do not fit a st-fusion"):
        load_model(tmp_path)


def test_cross_validation_gives_a_model_the_pictures_that_it_reads(fitted):
    test = make_lessons(16, seed=5)
    np.testing.assert_array_equal(predict_sequences(fitted, test), fitted.predict_proba(test.pose, test.crops))
    plain = MODELS.load("logreg")().fit(test)
    np.testing.assert_array_equal(predict_sequences(plain, test), plain.predict_proba(test.pose))
    assert not isinstance(plain, CropReader)
