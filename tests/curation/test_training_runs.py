"""`curate train` and `curate models export`: interrupted and gone on with, curves, devices, ONNX."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from backends.onnx_models import OnnxModel
from backends.training_curves import write_curves
from backends.training_plan import TrainingHistory, TrainingSession
from curation.cli import cli
from curation.export import export_set
from curation.registry import load_version, train_model
from schemas.errors import InvalidField, ModelError
from schemas.sequences import read_sequences


@pytest.fixture
def school(make_school, tmp_path):
    school = make_school(5)
    export_set(*school.all, tmp_path / "set", balance="none")
    return school


def test_an_interrupted_training_goes_on_to_the_same_model(school, make_school, tmp_path):
    def interrupt(report):
        if report.epoch == 7:
            raise KeyboardInterrupt

    session, seen = TrainingSession(every_s=0.0), []
    models = school.workspace.root / "models"
    with pytest.raises(KeyboardInterrupt):
        train_model(school.workspace, school.catalogue, tmp_path / "set", model="tcn", progress=interrupt, session=session)
    (checkpoints,) = models.iterdir()
    assert checkpoints.name.startswith(".checkpoints-")
    record = train_model(
        school.workspace, school.catalogue, tmp_path / "set", model="tcn", progress=lambda r: seen.append(r.epoch), session=session
    )
    assert seen[0] == 8
    assert [path.name for path in models.iterdir()] == [record.version]
    assert (models / record.version / "curves.png").read_bytes().startswith(b"\x89PNG")
    other = make_school(5, folder="other")
    whole = train_model(other.workspace, other.catalogue, tmp_path / "set", model="tcn")
    assert whole.version == record.version


def test_commands_train_and_write_onnx(school, tmp_path):
    root = str(school.workspace.root)
    done = CliRunner().invoke(cli, ["train", str(tmp_path / "set"), "--model", "tcn", "--device", "cpu", "-w", root, "--json"])
    assert done.exit_code == 0, done.output
    version = json.loads(done.stdout)["version"]
    done = CliRunner().invoke(cli, ["models", "export", version, str(tmp_path / "onnx"), "-w", root, "--frames", "12"])
    assert done.exit_code == 0, done.output
    assert "any number of frames" in done.stdout
    pose = read_sequences(tmp_path / "set" / "test.npz").pose
    expected = load_version(school.workspace, version).predict_proba(pose)
    np.testing.assert_allclose(OnnxModel.load(tmp_path / "onnx").predict_proba(pose), expected, atol=1e-6)
    (tmp_path / "model.pt").write_bytes(b"\x80\x04.")
    done = CliRunner().invoke(cli, ["models", "export", str(tmp_path / "model.pt"), str(tmp_path / "onnx")])
    assert isinstance(done.exception, ModelError)
    assert "pickles are never loaded" in str(done.exception)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_a_device_that_is_not_there_is_said(school, tmp_path):
    asked = ["train", str(tmp_path / "set"), "--model", "tcn", "--device", "cuda", "-w", str(school.workspace.root)]
    done = CliRunner().invoke(cli, asked)
    assert isinstance(done.exception, InvalidField)
    assert str(done.exception).startswith("device: expected cpu or auto: torch finds no CUDA device here")


def test_curves_show_every_training(tmp_path):
    histories = [
        TrainingHistory(train_loss=(1.0, 0.5, 0.4), val_loss=(1.1, 0.8, 0.9), best=2),
        TrainingHistory(train_loss=(2.0, 1.0)),
    ]
    (path,) = write_curves(tmp_path, histories, title="tcn")[:1]
    assert path.read_bytes().startswith(b"\x89PNG")
    assert write_curves(tmp_path / "none", [], title="logreg") == []
    assert not (tmp_path / "none").exists()
