"""ONNX: the same probabilities as eager, one at a time or 256 at once, and one line for what is no export."""

import json
import pickle

import numpy as np
import pytest
from attrs import evolve

from backends.behaviour import MODELS, load_model
from backends.behaviour.network import NetworkModel
from backends.onnx_export import export_onnx
from backends.onnx_models import OnnxModel
from schemas.errors import ModelError

NETWORKS = [name for name in MODELS if issubclass(MODELS.load(name), NetworkModel)]


@pytest.fixture(scope="module")
def motions(sequence_factory):
    return sequence_factory(256, n_groups=4, n_frames=8)


def make(name, motions):
    model = MODELS.load(name)()
    model.plan = evolve(model.plan, epochs=2)
    return model.fit(motions.take(np.arange(48)))


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_answers_as_eager_does(name, motions, tmp_path):
    model = make(name, motions)
    exported = export_onnx(model, tmp_path, n_frames=8)
    assert exported.difference <= 1e-6
    assert exported.n_bytes == exported.path.stat().st_size
    loaded, poses = OnnxModel.load(tmp_path), motions.pose.copy()
    poses[5] = np.nan
    eager = model.predict_proba(poses)
    np.testing.assert_allclose(loaded.predict_proba(poses), eager, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([loaded.predict_proba(poses[i : i + 1]) for i in range(20)]), eager[:20], atol=1e-6)
    np.testing.assert_allclose(load_model(tmp_path).predict_proba(poses), eager, atol=1e-6)
    np.testing.assert_allclose(loaded.predict_proba(poses[5:6]), 1 / 8)
    assert loaded.predict_proba(poses[:0]).shape == (0, 8)
    if exported.any_length:
        np.testing.assert_allclose(loaded.predict_proba(poses[:, :5]), model.predict_proba(poses[:, :5]), atol=1e-6)


def test_what_is_no_export_is_one_line(motions, tmp_path):
    with pytest.raises(ModelError, match="is no network over poses"):
        export_onnx(MODELS.load("logreg")().fit(motions.take(np.arange(48))), tmp_path / "flat")
    export_onnx(make("tcn", motions), tmp_path, n_frames=8)
    whole = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[:-9] + bytes(9))
    with pytest.raises(ModelError, match=r"model\.onnx: was changed"):
        OnnxModel.load(tmp_path)
    (tmp_path / "model.onnx").write_bytes(pickle.dumps({}))
    with pytest.raises(ModelError, match="was changed"):
        OnnxModel.load(tmp_path)
    facts = (tmp_path / "onnx.json").read_text()
    (tmp_path / "onnx.json").write_text("{}")
    with pytest.raises(ModelError, match="does not describe an ONNX file"):
        OnnxModel.load(tmp_path)
    (tmp_path / "onnx.json").write_text(facts)
    make("tcn", motions.take(np.arange(48, 144))).save(tmp_path, {})
    with pytest.raises(ModelError, match=r"model\.onnx: was exported from other weights"):
        OnnxModel.load(tmp_path)


def test_features_are_those_of_the_weights_beside_the_graph(motions, tmp_path):
    model = make("tcn", motions)
    export_onnx(model, tmp_path, n_frames=8, card={"licence": "CC0-1.0"})
    assert json.loads((tmp_path / "card.json").read_text())["licence"] == "CC0-1.0"
    np.testing.assert_allclose(OnnxModel.load(tmp_path).embed(motions.pose[:9]), model.embed(motions.pose[:9]), atol=1e-6)
