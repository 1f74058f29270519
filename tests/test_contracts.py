"""The contract tests of models, scoring methods, strategies and trackers, over all their entries."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from backends.base import BehaviourModel
from backends.behaviour import HAND_BRANCHES, MODELS
from backends.behaviour.hand_images import HANDS
from backends.people import TRACKERS
from backends.people.base import PersonTracker
from curation.scoring import SCORERS
from curation.scoring.methods import Evidence
from curation.select import STRATEGIES

_spec = importlib.util.spec_from_file_location("contracts", Path(__file__).with_name("contracts.py"))
contracts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contracts)


@pytest.mark.parametrize("name", list(MODELS))
def test_model(name, sequence_factory, tmp_path):
    make = MODELS.load(name)
    assert make.name == name
    assert isinstance(make(), BehaviourModel)
    contracts.check_model(make, sequence_factory(40, n_groups=4, n_frames=6), tmp_path / "model")


@pytest.mark.parametrize("name", list(HAND_BRANCHES))
def test_hand_branch(name, tmp_path):
    make = HAND_BRANCHES.load(name)
    assert make.name == name
    pictures = np.random.default_rng(0).integers(0, 255, (48, 48, 48, 3), np.uint8)
    contracts.check_hand_branch(make, pictures, np.resize(np.array(HANDS), 48), tmp_path / "model")


@pytest.mark.parametrize("name", list(SCORERS))
def test_scorer(name):
    contracts.check_scorer(SCORERS.load(name), Evidence)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_strategy(name):
    contracts.check_strategy(STRATEGIES.load(name))


@pytest.mark.parametrize("name", list(TRACKERS))
def test_tracker(name):
    make = TRACKERS.load(name)
    assert isinstance(make(960, 540, lost_after=1.0), PersonTracker)
    contracts.check_tracker(make)
