"""How the shipped proposer is built, and that the shipped one is as its card says."""

import numpy as np
import pytest

from backends.behaviour import PROPOSER, load_model
from backends.weights import read_card
from curation.proposer import build_proposer, measure_recall
from curation.render import simulate_poses
from schemas.vocabulary import load_taxonomy


@pytest.fixture(scope="module")
def simulated():
    return simulate_poses(seed=77, lessons=4, seconds=20)


def test_a_proposer_is_built_with_its_card(tmp_path, simulated):
    training = build_proposer(tmp_path / "p", seed=1, lessons=3, seconds=12, check=simulated)
    model, card = load_model(tmp_path / "p"), read_card(tmp_path / "p")
    assert model.classes == load_taxonomy("learning-behaviours").axis("behaviour").values
    assert (card.taxonomy, card.axis) == ("learning-behaviours", "behaviour")
    assert card.training == training
    assert training["rendered_found_poses"] == measure_recall(model, simulated)
    assert "--seed 1 --lessons 3" in card.rebuild


def test_recall_is_counted_class_by_class(simulated):
    model = load_model(PROPOSER)
    said = np.array(model.classes)[model.predict_proba(simulated.pose).argmax(axis=1)]
    flipped = simulated.with_labels(said)
    assert measure_recall(model, flipped)["recall"] == dict.fromkeys(sorted(set(said.tolist())), 1.0)


def test_the_shipped_one_is_small_and_good_on_other_rooms(simulated):
    assert sum(path.stat().st_size for path in PROPOSER.iterdir()) <= 2 * 2**20
    assert measure_recall(load_model(PROPOSER), simulated)["accuracy"] >= 0.75
