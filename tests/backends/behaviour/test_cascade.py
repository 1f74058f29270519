"""The hand branch and the cascade: regions, a network that learns what is plain to see, the rule that joins both, bad input."""

import numpy as np
import pytest
import torch
from attrs import evolve

from backends.behaviour.cascade import Cascade, join_postures, split_posture
from backends.behaviour.hand_images import HANDS, QUICK, SEED_HAND, HandModel, augment_pictures
from backends.behaviour.hand_regions import cut_hands, find_hand_regions
from schemas.errors import InvalidField, ModelError, NotEnoughData


def draw_hands(n, seed=0):
    """(n, 40, 40, 3) pictures: nothing, a dark block high up, or a blue stroke low down, on skin-coloured noise; and labels."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(140, 200, (n, 40, 40, 3)).astype(np.uint8)
    label = np.array([HANDS[i % 3] for i in range(n)])
    for i in range(n):
        x, y = rng.integers(5, 20, 2)
        if label[i] == "phone":
            pictures[i, y : y + 14, x : x + 8] = 25
        elif label[i] == "writing":
            pictures[i, y + 5 : y + 8, x : x + 16] = (40, 60, 200)
    return pictures, label


@pytest.fixture(scope="module")
def hand():
    return HandModel(plan=evolve(QUICK, epochs=24, batch_size=12)).fit(*draw_hands(96), seed=1)


def test_the_hand_branch_learns_what_is_plain_to_see(hand, tmp_path):
    pictures, label = draw_hands(60, seed=9)
    probs = hand.predict_proba(pictures)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-9)
    assert (np.array(hand.classes)[probs.argmax(axis=1)] == label).mean() > 0.9
    hand.save(tmp_path, {})
    np.testing.assert_allclose(HandModel.load(tmp_path).predict_proba(pictures), probs, atol=1e-6)


def test_the_evidence_of_a_picture_does_not_count_how_frequent_its_class_was(hand, tmp_path):
    pictures, label = draw_hands(240)
    rows = np.concatenate([np.flatnonzero(label == "empty-handed"), np.flatnonzero(label != "empty-handed")[:16]])
    prior = np.array([80, 8, 8]) / 96
    priors = {}
    for loss, left in (("cross-entropy", 1.0), ("logit-adjusted", 0.5), ("class-balanced", 0.0)):
        model = HandModel(plan=evolve(QUICK, epochs=1, loss=loss)).fit(pictures[rows], label[rows])
        np.testing.assert_allclose(model.prior, prior**left / (prior**left).sum(), atol=1e-9)
        priors[loss] = model
    weighed = priors["logit-adjusted"].weigh_evidence(pictures)
    np.testing.assert_allclose(weighed.sum(axis=1), 1, atol=1e-9)
    ratio = priors["logit-adjusted"].predict_proba(pictures) / weighed
    np.testing.assert_allclose(ratio[:, 0] / ratio[:, 1], 10**0.5, rtol=1e-6)
    np.testing.assert_allclose(hand.weigh_evidence(pictures), hand.predict_proba(pictures), atol=1e-9)
    priors["cross-entropy"].save(tmp_path, {})
    np.testing.assert_allclose(HandModel.load(tmp_path).prior, prior)


def test_the_recipe_is_the_papers():
    assert (SEED_HAND.optimiser, SEED_HAND.lr, SEED_HAND.epochs, SEED_HAND.batch_size) == ("sgd", 1e-4, 200, 128)


def test_the_hand_branch_refuses_what_it_cannot_learn(hand):
    pictures, label = draw_hands(6)
    with pytest.raises(NotEnoughData, match="hand classes to train on"):
        HandModel().fit(pictures, ["phone"] * 6)
    with pytest.raises(InvalidField, match="label: expected one of empty-handed, phone, writing, got pen"):
        HandModel().fit(pictures, [*label[:5], "pen"])
    with pytest.raises(InvalidField, match="uint8 RGB"):
        hand.predict_proba(pictures.astype(np.float32))
    with pytest.raises(ModelError, match="is not trained yet"):
        HandModel().predict_proba(pictures)
    assert hand.predict_proba(pictures[:0]).shape == (0, 3)


def test_pictures_are_moved_and_kept_in_shape():
    batch = torch.full((8, 3, 48, 48), 0.5)
    batch[:, :, 22:26, 22:26] = 1.0
    out = augment_pictures(batch, torch.Generator().manual_seed(0))
    assert out.shape == batch.shape
    bright = (out.mean(dim=1) - out.mean(dim=(1, 2, 3))[:, None, None]).clamp(min=0.2) - 0.2
    places = torch.stack([bright.sum(dim=2) @ torch.arange(48.0), bright.sum(dim=1) @ torch.arange(48.0)], dim=1)
    places /= bright.sum(dim=(1, 2))[:, None]
    assert (places - 23.5).abs().max() < 5
    assert places.std(dim=0).min() > 0.5
    assert out.mean(dim=(2, 3)).std(dim=0).min() > 0.005
    again = augment_pictures(batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(again, out)


def test_a_picture_of_hands_skips_no_pixel():
    frame = np.zeros((400, 400, 3), np.uint8)
    frame[:, 200::8] = 200
    shot = cut_hands(frame, np.array([200.0, 200.0, 384.0, 0.0]))
    assert shot.shape == (48, 48, 3)
    assert shot[:, :24].max() == 0
    assert set(shot[:, 24:].ravel().tolist()) == {25}
    assert cut_hands(frame, np.array([0.0, 0.0, 40.0, 0.0]))[:20, :20].max() == 0


def test_the_region_lies_between_the_wrists_and_grows_with_the_head():
    pose = np.zeros((2, 33, 4))
    pose[:, 15, :2], pose[:, 16, :2] = (90, 200), (110, 220)
    pose[:, 7, 0], pose[:, 8, 0] = (20, 40), (-20, -40)
    regions = find_hand_regions(pose)
    np.testing.assert_allclose(regions[:, :2], [[100, 210]] * 2)
    assert regions[1, 2] == pytest.approx(2 * regions[0, 2])
    pose[0, 15] = np.nan
    assert np.isnan(find_hand_regions(pose)[0, 0])


def test_posture_and_hand_make_a_behaviour():
    postures = np.array([[0.2, 0.8], [0.2, 0.8], [1.0, 0.0]])
    hands = np.array([[0.0, 1.0, 0.0], [np.nan] * 3, [0.0, 0.0, 1.0]])
    probs, names = split_posture(postures, hands, posture_names=("attend", "bowed-head"), hand_names=HANDS)
    assert names == ("attend", "phone", "turn-page", "write")
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    assert probs[0, 1] == pytest.approx(0.8 * (0.98 + 0.02 / 3))
    np.testing.assert_allclose(probs[1, 1:], 0.8 / 3)
    assert probs[2].tolist() == [1, 0, 0, 0]
    with pytest.raises(InvalidField, match="a posture bowed-head"):
        split_posture(postures, hands, posture_names=("attend", "sleep"), hand_names=HANDS)


def test_the_cascade_asks_both(hand, sequence_factory):
    from backends.behaviour.drn_lstm import DrnLstm
    from backends.training import TrainingPlan

    data = sequence_factory(32, n_groups=4, n_frames=4)
    posture = DrnLstm(plan=TrainingPlan(epochs=2)).fit(data.with_labels(join_postures(data.label)))
    pictures = draw_hands(96)[0].reshape(32, 3, 40, 40, 3)
    probs, names = Cascade(posture, hand).predict_proba(data.pose, pictures)
    assert names == tuple(sorted(set(data.label.tolist())))
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-9)
    with pytest.raises(InvalidField, match="pictures"):
        Cascade(posture, hand).predict_proba(data.pose, pictures[:5])
