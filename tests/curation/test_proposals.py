"""From probabilities to proposals in the workspace's vocabulary."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from backends.behaviour import PROPOSER
from backends.behaviour import load_proposer as load_weights
from backends.behaviour.cnn_lstm_motion import CnnLstmMotion
from backends.onnx_models import OnnxModel
from curation.proposals import Proposer, load_proposer
from curation.render import simulate_poses
from schemas.errors import ModelError
from schemas.records import Tubelet
from schemas.vocabulary import Axis, Behaviour, Label, Taxonomy, load_taxonomy

BEHAVIOURS = load_taxonomy("learning-behaviours")


class Steady:
    """A model of four classes that always answers the same."""

    name = "steady"
    classes = ("write", "attend", "turn-page", "raise-hand")

    def predict_proba(self, pose):
        return np.tile([0.5, 0.2, 0.1, 0.2], (len(pose), 1))


@pytest.fixture
def proposer():
    return Proposer(model=Steady(), name="steady", version="0123456789ab", taxonomy="learning-behaviours", axis="behaviour")


TUBELETS = [Tubelet.of("trk_a", "clip_a", 0, 10), Tubelet.of("trk_b", "clip_a", 0, 10)]
POSES = np.zeros((2, 12, 33, 4), np.float32)


def test_every_value_of_the_axis_gets_a_probability(proposer):
    spans = proposer.propose(TUBELETS, POSES, BEHAVIOURS)
    assert [span.tubelet_id for span in spans] == [tubelet.id for tubelet in TUBELETS]
    assert {(s.axis, s.value, s.model, s.version, s.score) for s in spans} == {
        ("behaviour", "write", "steady", "0123456789ab", 0.5)
    }
    assert spans[0].scores == {
        **dict.fromkeys(BEHAVIOURS.primary.values, 0.0), "write": 0.5, "attend": 0.2, "turn-page": 0.1, "raise-hand": 0.2,
    }  # fmt: skip


def test_whom_nobody_saw_gets_no_proposal(proposer):
    poses = POSES.copy()
    poses[0] = np.nan
    assert [span.tubelet_id for span in proposer.propose(TUBELETS, poses, BEHAVIOURS)] == [TUBELETS[1].id]
    assert proposer.propose([], POSES[:0], BEHAVIOURS) == []


def test_another_vocabulary_is_reached_through_the_models_own_map(proposer):
    (span, _) = proposer.propose(TUBELETS, POSES, load_taxonomy("edunet-3"))
    assert (span.axis, span.value) == ("action", "writing")
    assert span.scores == {"hand-raising": 0.25, "writing": 0.625, "reading": 0.125}


def test_another_vocabulary_may_say_itself_what_the_models_names_mean(proposer):
    axis = Axis(id="work", name="Work", behaviours=(Behaviour(id="busy", name="busy"), Behaviour(id="idle", name="idle")))
    says = {"write": "busy", "turn-page": "busy", "attend": "idle"}
    maps = {"learning-behaviours": {name: Label(axis="work", value=value) for name, value in says.items()}}
    (span, _) = proposer.propose(TUBELETS, POSES, Taxonomy(id="own", version=1, axes=(axis,), maps=maps))
    assert span.scores == {"busy": 0.75, "idle": 0.25}


def test_a_vocabulary_with_nothing_in_common_gets_no_proposals(proposer):
    axis = Axis(id="work", name="Work", behaviours=(Behaviour(id="busy", name="busy"), Behaviour(id="idle", name="idle")))
    assert proposer.propose(TUBELETS, POSES, Taxonomy(id="own", version=1, axes=(axis,))) == []


def test_a_saved_model_is_loaded_with_what_its_card_says(small_model):
    proposer = load_proposer(small_model)
    assert (proposer.name, proposer.taxonomy, proposer.axis) == ("logreg", "learning-behaviours", "behaviour")
    rng = np.random.default_rng(0)
    spans = proposer.propose(TUBELETS, rng.normal(100, 9, POSES.shape).astype(np.float32), BEHAVIOURS)
    for span in spans:
        assert sum(span.scores.values()) == pytest.approx(1, abs=1e-5)
        assert span.value == max(span.scores, key=span.scores.get)
        assert all(round(score, 6) == score for score in span.scores.values())


@pytest.fixture(scope="module")
def seen_poses():
    return simulate_poses(seed=5, lessons=1, seconds=8.0).pose


@pytest.mark.parametrize("n_frames", [1, 12, 30])
def test_the_shipped_model_proposes_as_its_weights_do(n_frames, seen_poses):
    shipped, poses = load_proposer(), np.tile(seen_poses, (1, 3, 1, 1))[:, :n_frames]
    poses[0] = np.nan
    assert isinstance(shipped.model, OnnxModel)
    np.testing.assert_allclose(shipped.model.predict_proba(poses), load_weights().predict_proba(poses), atol=1e-6)
    np.testing.assert_allclose(shipped.model.embed(poses), load_weights().embed(poses), atol=1e-6)


def test_a_model_exported_for_one_length_proposes_with_its_weights(tmp_path):
    shutil.copytree(PROPOSER, tmp_path / "fixed")
    facts = json.loads((tmp_path / "fixed/onnx.json").read_text())
    (tmp_path / "fixed/onnx.json").write_text(json.dumps({**facts, "any_length": False}))
    assert isinstance(load_proposer(tmp_path / "fixed").model, CnnLstmMotion)


def test_proposing_needs_no_torch():
    code = (
        "import sys, numpy as np; from curation.batch import load_champion_proposer; from curation.proposals import load_proposer; "
        "import curation.preannotate, curation.recording; "
        "load_proposer().model.predict_proba(np.ones((2, 12, 33, 4))); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_proposer(tmp_path)
