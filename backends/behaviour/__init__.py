"""Networks and classifiers that turn pose sequences into probabilities of behaviours."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from backends.base import BehaviourModel, PoseReader
from backends.registry import Registry
from backends.weights import read_card
from schemas.errors import ModelError

__all__ = ["HAND_BRANCHES", "MODELS", "PROPOSER", "load_model", "load_proposer", "load_reader"]

MODELS = Registry(
    "model",
    {
        "cnn-lstm": "backends.behaviour.cnn_lstm:CnnLstm",
        "cnn-lstm-motion": "backends.behaviour.cnn_lstm_motion:CnnLstmMotion",
        "default": "backends.behaviour.default:Default",
        "drn-lstm": "backends.behaviour.drn_lstm:DrnLstm",
        "drn-lstm-slim": "backends.behaviour.slim:SlimDrnLstm",
        "extra-trees": "backends.behaviour.trees:ExtraTrees",
        "logreg": "backends.behaviour.logreg:LogisticModel",
        "lstm": "backends.behaviour.lstm:Lstm",
        "resnet1d": "backends.behaviour.resnet1d:ResNet1d",
        "st-fusion": "backends.behaviour.st_fusion.model:StFusion",
        "tcn": "backends.behaviour.tcn:Tcn",
    },
)

HAND_BRANCHES = Registry(
    "hand branch",
    {
        "hand-branch": "backends.behaviour.hand_images:HandModel",
        "hand-branch-slim": "backends.behaviour.hand_slim:SlimHandModel",
    },
)
"""What tells phone, writing and empty hands apart in pictures: for `backends.behaviour.cascade.Cascade`."""

PROPOSER = Path(str(resources.files("backends"))) / "data" / "proposer"
"""The model that ships with the tool and makes the first proposals."""


def load_model(folder: str | Path) -> BehaviourModel:
    """Load a saved model of whatever architecture its card names.

    Raises:
        ModelError: if a file is missing, changed or too large, or the architecture is not registered.
    """
    card = read_card(folder)
    if card.name not in MODELS:
        raise ModelError(Path(folder), f"holds a {card.name!r} model; known are {', '.join(MODELS)}")
    model: BehaviourModel = MODELS.load(card.name).load(folder)
    return model


def load_reader(folder: str | Path) -> PoseReader:
    """Load a saved model to be asked only: as ONNX for any number of frames where it lies there so, which needs no torch.

    Raises:
        ModelError: as `load_model`, and if the ONNX file was changed.
    """
    from backends.onnx_models import ONNX_NAME, OnnxModel

    if (Path(folder) / ONNX_NAME).exists():
        exported = OnnxModel.load(folder)
        if exported.n_frames is None:
            return exported
    return load_model(folder)


def load_proposer() -> BehaviourModel:
    """Load the shipped proposer (axis `behaviour` of the taxonomy `learning-behaviours`).

    Raises:
        ModelError: if the installation lacks it or it was changed.
    """
    return load_model(PROPOSER)
