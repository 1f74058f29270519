"""The models of faces: one contract for each registry, both tasks learnt on rendered faces of people never seen, and bad input."""

import numpy as np
import pytest
import torch
from attrs import evolve

from backends.expression import EXPRESSION_MODELS, IDENTITY_MODELS, TRUNKS
from backends.expression.base import ExpressionModel, IdentityModel
from backends.expression.facenet import FaceNet, TripletLoss
from backends.expression.fitting import FitPlan
from backends.expression.multitask import MobileNetMultiTask, compute_attribute_loss, compute_expression_loss, measure_top
from backends.weights import read_card, save_weights
from curation.render.portraits import ATTRIBUTES, EXPRESSIONS, draw_portraits
from schemas.errors import FormatError, InvalidField, ModelError, NotEnoughData, UnknownName
from schemas.faces import FaceSet, read_faces, write_faces

SHORT = FitPlan(epochs=1, batch_size=16)


@pytest.fixture(scope="module")
def faces():
    return draw_portraits(seed=3, people=6, pictures=8, size=32)


def test_portraits_are_the_same_for_a_seed_and_tell_what_they_show(faces):
    again = draw_portraits(seed=3, people=6, pictures=8, size=32)
    np.testing.assert_array_equal(faces.image, again.image)
    assert faces.classes == tuple(sorted(EXPRESSIONS))
    assert faces.attributes == ATTRIBUTES
    assert [int((faces.expression == name).sum()) for name in faces.classes] == [6] * 8
    beard = ATTRIBUTES.index("beard")
    assert all(len(set(faces.attribute[faces.group == name, beard].tolist())) == 1 for name in set(faces.group.tolist()))
    assert np.abs(faces.image.astype(int) - draw_portraits(seed=4, people=6, pictures=8, size=32).image).mean() > 10


@pytest.mark.parametrize("name", list(EXPRESSION_MODELS))
def test_expression_model(name, faces, tmp_path):
    make = EXPRESSION_MODELS.load(name)
    assert make.name == name
    assert isinstance(make(), ExpressionModel)
    assert not isinstance(make(), IdentityModel)
    seen = []
    model = make(plan=SHORT).fit(faces, seed=3, on_epoch=lambda epoch, loss: seen.append((epoch, loss)))
    assert [epoch for epoch, _ in seen] == [1]
    assert (model.classes, model.attributes) == (faces.classes, faces.attributes)
    probs, marks = model.predict_proba(faces.image), model.predict_attributes(faces.image)
    assert (probs.shape, marks.shape) == ((48, 8), (48, 6))
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-9)
    assert probs.min() >= 0
    assert 0 <= marks.min() <= marks.max() <= 1
    np.testing.assert_array_equal(make(plan=SHORT).fit(faces, seed=3).predict_proba(faces.image), probs)
    model.save(tmp_path, {})
    loaded = make.load(tmp_path)
    np.testing.assert_allclose(loaded.predict_proba(faces.image), probs, atol=1e-6)
    np.testing.assert_allclose(loaded.predict_attributes(faces.image[:1]), marks[:1], atol=1e-6)
    assert loaded.predict_proba(faces.image[:0]).shape == (0, 8)


@pytest.mark.parametrize("name", list(IDENTITY_MODELS))
def test_identity_model(name, faces, tmp_path):
    make = IDENTITY_MODELS.load(name)
    assert make.name == name
    assert isinstance(make(), IdentityModel)
    assert not isinstance(make(), ExpressionModel)
    model = make(plan=SHORT).fit(faces, seed=3)
    distances = model.embed(faces.image).compare(model.embed(faces.image))
    assert distances.shape == (48, 48)
    np.testing.assert_allclose(np.diag(distances), 0, atol=2e-3)
    again = make(plan=SHORT).fit(faces, seed=3)
    np.testing.assert_allclose(again.embed(faces.image).compare(model.embed(faces.image)).diagonal(), 0, atol=2e-3)
    model.save(tmp_path, {})
    loaded = make.load(tmp_path).embed(faces.image)
    np.testing.assert_allclose(loaded.compare(loaded), distances, atol=1e-5)
    assert len(model.embed(faces.image[:0])) == 0


@pytest.mark.parametrize("name", list(TRUNKS))
@pytest.mark.parametrize("size", [16, 31, 48])
def test_trunks_take_any_size(name, size):
    trunk = TRUNKS.load(name)().eval()
    assert trunk(torch.zeros(2, 3, size, size + 3)).shape == (2, trunk.n_out)


def test_the_loss_is_that_of_the_seed():
    logits, marks = torch.tensor([[0.4, -1.2], [2.0, 0.3]]), torch.tensor([[1, 0], [0, -1]])
    s = 1 / (1 + np.exp(-logits.numpy()))
    wanted = -(np.log(s[0, 0]) + np.log(1 - s[0, 1]) + np.log(1 - s[1, 0])) / 2
    assert compute_attribute_loss(logits, marks).item() == pytest.approx(wanted, abs=1e-6)
    o, t = np.array([[0.1, 0.7, -0.4], [1.0, 0.0, 2.0]]), np.array([1, 2])
    softmax = np.exp(o) / np.exp(o).sum(axis=1, keepdims=True)
    loss = compute_expression_loss(torch.tensor(o), torch.tensor(t)).item()
    assert loss == pytest.approx(-np.log(softmax[[0, 1], t]).mean(), abs=1e-9)


def test_the_triplet_loss_counts_semi_hard_triplets_only():
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.30], [1.0, 0.35], [-1.0, 0.0]]), dim=1)
    people = torch.tensor([0, 0, 1, 2])
    squared = ((vectors[:, None] - vectors[None]) ** 2).sum(dim=2).numpy()
    wanted = []
    for a, p in ((0, 1), (1, 0)):
        for n in (2, 3):
            if squared[a, p] < squared[a, n] < squared[a, p] + 0.2:
                wanted.append(squared[a, p] - squared[a, n] + 0.2)
    assert len(wanted) == 1
    assert TripletLoss()(vectors, people).item() == pytest.approx(np.mean(wanted), abs=1e-5)
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    assert TripletLoss()(apart, torch.tensor([0, 0, 1])).item() == 0


def test_top_k():
    probs = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.35, 0.25]])
    assert measure_top(probs, np.array([0, 1, 2]), 1) == pytest.approx(1 / 3)
    assert measure_top(probs, np.array([0, 1, 2]), 2) == pytest.approx(2 / 3)


def test_both_losses_fall():
    faces, losses = draw_portraits(seed=1, people=12, pictures=8, size=32), []
    plan = FitPlan(epochs=8, batch_size=12)
    model = MobileNetMultiTask(plan=plan).fit(faces, seed=0, on_epoch=lambda _, loss: losses.append(loss))
    assert losses[-1] < 0.75 * losses[0]
    right = (model.predict_attributes(faces.image) >= 0.5) == faces.attribute
    share = faces.attribute.mean(axis=0)
    assert right.mean() > np.maximum(share, 1 - share).mean() + 0.05


def test_what_is_not_annotated_teaches_the_other_task_only(faces):
    half = np.arange(48) % 2 == 0
    mixed = evolve(faces, expression=np.where(half, faces.expression, ""), attribute=np.where(half[:, None], -1, faces.attribute))
    assert np.isfinite(MobileNetMultiTask(plan=SHORT).fit(mixed).predict_proba(faces.image)).all()
    plain = evolve(faces, attribute=np.zeros((48, 0), np.int8), attributes=())
    assert MobileNetMultiTask(plan=SHORT).fit(plain).predict_attributes(faces.image).shape == (48, 0)


def test_bad_input_is_refused_in_one_line(faces, tmp_path):
    with pytest.raises(ModelError, match="is not trained yet"):
        MobileNetMultiTask().predict_proba(faces.image)
    with pytest.raises(ModelError, match="is not trained yet"):
        FaceNet().embed(faces.image)
    with pytest.raises(NotEnoughData, match="expressions to tell apart: need at least 2, have 1"):
        MobileNetMultiTask().fit(evolve(faces, expression=np.full(48, "sad")))
    with pytest.raises(NotEnoughData, match="people with at least two pictures: need at least 2, have 1"):
        FaceNet().fit(evolve(faces, group=np.full(48, "one")))
    with pytest.raises(InvalidField, match="image: expected uint8 RGB pictures of at least 16 px, got uint8 of shape"):
        MobileNetMultiTask(plan=SHORT).fit(faces).predict_proba(faces.image[:, :9])
    with pytest.raises(InvalidField, match="attribute: expected 1, 0 or -1"):
        evolve(faces, attribute=np.full((48, 6), 3))
    with pytest.raises(UnknownName, match="unknown expression model 'vgg'"):
        EXPRESSION_MODELS.load("vgg")
    model = MobileNetMultiTask(plan=SHORT).fit(faces)
    model.save(tmp_path, {})
    save_weights(tmp_path, {"a": np.zeros(2, np.float32)}, read_card(tmp_path).model_dump())
    with pytest.raises(ModelError, match="the weights do not fit a multi-task-mobilenet"):
        MobileNetMultiTask.load(tmp_path)
    with pytest.raises(ModelError, match="holds a 'multi-task-mobilenet' model, not 'facenet'"):
        FaceNet.load(tmp_path)


def test_face_files_round_trip_by_value_and_say_what_is_wrong(faces, tmp_path):
    write_faces(tmp_path / "a.npz", faces)
    write_faces(tmp_path / "b.npz", faces)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    read = read_faces(tmp_path / "a.npz")
    for name in ("image", "expression", "attribute", "group"):
        np.testing.assert_array_equal(getattr(read, name), getattr(faces, name))
    assert isinstance(read, FaceSet)
    assert read.attributes == faces.attributes
    np.savez(tmp_path / "c.npz", image=faces.image)
    with pytest.raises(FormatError, match="expression: expected an array of that name"):
        read_faces(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes(b"no")
    with pytest.raises(FormatError, match="plain arrays"):
        read_faces(tmp_path / "d.npz")
