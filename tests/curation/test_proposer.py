"""The shipped proposer's training data and how it is built."""

import numpy as np
import pytest

from backends.behaviour import PROPOSER, load_model
from backends.weights import read_card
from curation.proposer import add_landmark_noise, build_proposer, simulate_sequences
from schemas.vocabulary import load_taxonomy


@pytest.fixture(scope="module")
def simulated():
    return simulate_sequences(3, seed=4, seconds=16, per_class=4)


def test_simulated_windows_are_labelled_in_the_taxonomy_and_grouped_by_room(simulated):
    assert simulated.pose.shape[1:] == (12, 33, 4)
    assert set(simulated.label) <= set(load_taxonomy("learning-behaviours").axis("behaviour").values)
    assert set(simulated.group) == {"room-000", "room-001", "room-002"}
    for room in set(simulated.group):
        _, counts = np.unique(simulated.label[simulated.group == room], return_counts=True)
        assert counts.max() <= 4


def test_the_same_seed_simulates_the_same(simulated):
    again = simulate_sequences(3, seed=4, seconds=16, per_class=4)
    np.testing.assert_array_equal(again.pose, simulated.pose)
    assert again.label.tolist() == simulated.label.tolist()


def test_noise_is_small_in_the_face_large_at_the_hands_and_none_at_scale_0(simulated):
    exact = simulate_sequences(3, seed=4, seconds=16, per_class=4, noise=0).pose
    noisy = add_landmark_noise(exact, np.random.default_rng(0))
    shift = np.linalg.norm(noisy[..., :2] - exact[..., :2], axis=-1).mean(axis=(0, 1))
    assert shift[:11].max() < shift[[15, 16]].min() / 2
    assert (noisy[..., 3] <= 1).all()
    assert (noisy[..., 3] >= 0).all()
    still = add_landmark_noise(exact, np.random.default_rng(0), scale=0)
    np.testing.assert_allclose(still[..., :2], exact[..., :2])


def test_a_proposer_is_built_with_its_card(tmp_path, simulated):
    training = build_proposer(tmp_path / "p", seed=1, n_classrooms=3, check=simulated)
    model, card = load_model(tmp_path / "p"), read_card(tmp_path / "p")
    assert model.classes == load_taxonomy("learning-behaviours").axis("behaviour").values
    assert (card.taxonomy, card.axis) == ("learning-behaviours", "behaviour")
    assert card.training == training
    assert training["sequences_rendered_mediapipe"] == len(simulated)
    assert "--seed 1 --classrooms 3" in card.rebuild


def test_the_shipped_one_is_small_and_good_on_other_rooms():
    assert sum(path.stat().st_size for path in PROPOSER.iterdir()) <= 2 * 2**20
    asked = simulate_sequences(4, seed=77, seconds=20, per_class=5)
    model = load_model(PROPOSER)
    said = np.array(model.classes)[model.predict_proba(asked.pose).argmax(axis=1)]
    assert (said == asked.label).mean() >= 0.6
