"""Model folders: what is written is read back; what was changed, swapped or is too large is refused in one line."""

import hashlib
import json
import os
import pickle

import numpy as np
import pytest
import torch

from backends.behaviour import MODELS, load_model
from backends.behaviour.hand_images import HandModel, HandNetwork
from backends.behaviour.lstm import Lstm
from backends.behaviour.st_fusion.model import StFusion
from backends.behaviour.st_fusion.so3 import choose_parts
from backends.expression.facenet import EmbeddingNetwork, FaceNet
from backends.expression.multitask import MobileNetMultiTask
from backends.weights import MAX_WEIGHT_BYTES, load_weights, read_card, save_weights
from schemas.errors import ModelError

ARRAYS = {"b": np.arange(3, dtype=np.float32), "a": np.eye(2)}
CARD = {"name": "cnn-lstm", "classes": ("read", "write"), "config": {"n_nodes": 33}, "made_by": "a test"}


@pytest.fixture
def folder(tmp_path):
    save_weights(tmp_path, ARRAYS, CARD)
    return tmp_path


def rewrite(folder, data=None, **changes):
    """Put other bytes and card fields into a folder, keeping the hash right."""
    if data is not None:
        (folder / "weights.safetensors").write_bytes(data)
        sha = hashlib.sha256(data).hexdigest()
        changes = {"sha256": sha, "version": sha[:12], **changes}
    card = json.loads((folder / "card.json").read_text()) | changes
    (folder / "card.json").write_text(json.dumps(card))


def test_round_trip_keeps_values_and_further_keys(folder):
    arrays, card = load_weights(folder, name="cnn-lstm")
    assert sorted(arrays) == ["a", "b"]
    np.testing.assert_array_equal(arrays["b"], ARRAYS["b"])
    assert card.classes == ("read", "write")
    assert card.model_extra == {"made_by": "a test"}
    assert card.version == hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()[:12]


def test_equal_arrays_give_the_same_version(folder, tmp_path):
    again = save_weights(tmp_path / "other", dict(reversed(ARRAYS.items())), CARD)
    assert again.version == read_card(folder).version


def test_changed_weights_are_refused(folder):
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(bytes(data))
    with pytest.raises(ModelError, match="was changed: SHA-256") as caught:
        load_weights(folder)
    assert "\n" not in str(caught.value)


class Trap:
    """Would tell on being unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_a_pickle_is_never_loaded(folder):
    rewrite(folder, pickle.dumps(Trap()))
    with pytest.raises(ModelError, match=r"is not a safetensors file .*pickles are never loaded"):
        load_weights(folder)


def test_oversized_weights_are_refused(folder):
    with pytest.raises(ModelError, match="is larger than the 16 bytes allowed"):
        load_weights(folder, max_bytes=16)


def test_oversized_files_are_refused_by_their_size(folder):
    with (folder / "weights.safetensors").open("r+b") as stream:
        stream.truncate(2**40)
    with pytest.raises(ModelError, match=r"weights\.safetensors: is larger than the \d+ bytes allowed"):
        load_weights(folder)
    with (folder / "card.json").open("r+b") as stream:
        stream.truncate(2**40)
    with pytest.raises(ModelError, match=r"card\.json: is larger than"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.safetensors"])
def test_a_file_offered_as_a_model_is_refused(name, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelError, match=r"is a file; a model is a folder .*pickles are never loaded"):
        load_model(tmp_path / name)


def test_what_would_never_end_is_refused(folder):
    (folder / "weights.safetensors").unlink()
    os.mkfifo(folder / "weights.safetensors")
    with pytest.raises(ModelError, match="is no regular file"):
        load_weights(folder)


def test_a_header_that_promises_too_much_is_refused(folder):
    data = (folder / "weights.safetensors").read_bytes()
    for broken in ((2**62).to_bytes(8, "little") + data[8:], data[:20], data + b"\x80\x04.", b""):
        rewrite(folder, broken)
        with pytest.raises(ModelError, match="is not a safetensors file") as caught:
            load_weights(folder)
        assert "\n" not in str(caught.value)


def test_nan_weights_are_refused(tmp_path):
    save_weights(tmp_path, {"w": np.array([np.nan])}, CARD)
    with pytest.raises(ModelError, match="w holds NaN or inf"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "is not a model card"),
        ("{}", "name: Field required"),
        ('{"name": ""}', "is not a model card"),
        ("[1]", "valid"),
    ],
)
def test_a_card_that_is_none_is_refused(folder, text, message):
    (folder / "card.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        read_card(folder)


def make_st_fusion():
    model = StFusion()
    model.classes = ("a", "b")
    model._build((13, 2), "skeleton", choose_parts(13))
    return model


def make_lstm():
    model = Lstm()
    model.classes, model._config = ("a", "b"), {"n_nodes": 13, "n_channels": 2, "nodes": list(range(13)), "depth": False}
    model._build()
    return model


def make_hand():
    model = HandModel()
    model._network = HandNetwork(n_classes=3)
    return model


def make_faces():
    model = MobileNetMultiTask()
    model.classes, model.attributes = ("happy", "sad"), ("glasses",)
    model._build()
    return model


def make_facenet():
    model = FaceNet()
    model._network = EmbeddingNetwork()
    return model


@pytest.mark.parametrize("make", [make_lstm, make_st_fusion, make_hand, make_faces, make_facenet])
def test_every_network_comes_back_and_refuses_what_is_not_its_own(make, tmp_path):
    model = make()
    model.save(tmp_path, {})
    read = type(model).load
    network = read(tmp_path)._network
    assert not network.training
    torch.testing.assert_close(network.state_dict(), model._network.state_dict(), rtol=0, atol=0)
    path = tmp_path / "weights.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match="was changed: SHA-256"):
        read(tmp_path)
    with path.open("r+b") as stream:
        stream.truncate(MAX_WEIGHT_BYTES + 1)
    with pytest.raises(ModelError, match="is larger than the 268435456 bytes allowed"):
        read(tmp_path)
    rewrite(tmp_path, pickle.dumps({"weights": [1, 2]}))
    with pytest.raises(ModelError, match="pickles are never loaded"):
        read(tmp_path)
    card = read_card(tmp_path)
    save_weights(tmp_path, {"w": np.zeros(3, np.float32)}, card.model_dump(exclude={"sha256", "version"}))
    with pytest.raises(ModelError, match=r"the weights do not fit a \S+ as its card describes it") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_foreign_names_are_named(folder, tmp_path):
    with pytest.raises(ModelError, match=r"card\.json: no such file"):
        load_weights(tmp_path / "nothing")
    rewrite(folder, version="0" * 12)
    with pytest.raises(ModelError, match="is not the start of"):
        read_card(folder)
    save_weights(folder, ARRAYS, {**CARD, "name": "drn"})
    with pytest.raises(ModelError, match="holds a 'drn' model; known are cnn-lstm"):
        load_model(folder)
    with pytest.raises(ModelError, match="classes"):
        save_weights(folder, ARRAYS, {"name": "x", "classes": ("one",)})


@pytest.mark.parametrize("name", list(MODELS))
def test_weights_of_another_architecture_are_refused(name, folder):
    save_weights(folder, ARRAYS, {**CARD, "name": name, "config": {"n_nodes": 33, "n_channels": 4, "n_frames": 12}})
    with pytest.raises(ModelError, match=f"do not fit a {name}") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [{}, {"n_nodes": "many", "n_channels": 4, "n_frames": 1}, {"n_nodes": 10**9, "n_channels": 4}])
def test_a_card_that_describes_no_network_is_refused(folder, config):
    save_weights(folder, ARRAYS, {**CARD, "config": config})
    with pytest.raises(ModelError, match="do not fit a cnn-lstm"):
        load_model(folder)
