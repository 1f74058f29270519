import numpy as np
import pytest

from backends.weights import read_card
from curation.export import export_set
from curation.registry import find_model, list_models, load_version, train_model
from schemas.errors import FormatError, LeakError, ModelError, UnknownName
from schemas.manifest import read_manifest, write_manifest
from schemas.sequences import read_sequences


@pytest.fixture
def trained(make_school, tmp_path):
    school = make_school(5)
    export_set(*school.all, tmp_path / "set", balance="none")
    return school, tmp_path / "set", train_model(school.workspace, school.catalogue, tmp_path / "set")


def test_a_model_is_saved_under_its_version_and_recorded(trained):
    school, folder, record = trained
    manifest = read_manifest(folder / "manifest.json")
    assert list_models(school.catalogue) == [record]
    assert find_model(school.catalogue) == find_model(school.catalogue, record.version) == record
    assert record.model == "logreg"
    assert set(record.lessons) == {r.lesson for r in manifest.splits["train"]}
    assert set(record.students) == {r.student for r in manifest.splits["train"]}
    saved = school.workspace.root / "models" / record.version
    assert sorted(p.name for p in saved.iterdir()) == ["card.json", "weights.safetensors"]
    card = read_card(saved)
    assert card.version == record.version
    assert card.training["manifest_sha256"] == record.manifest_sha256
    assert (card.taxonomy, card.axis, card.classes) == ("learning-behaviours", "behaviour", manifest.classes)
    assert [p.name for p in (school.workspace.root / "models").iterdir()] == [record.version]


def test_the_saved_model_has_learnt(trained):
    school, folder, record = trained
    model = load_version(school.workspace, record.version)
    test = read_sequences(folder / "test.npz")
    probs = model.predict_proba(test.pose)
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    assert (np.asarray(model.classes)[probs.argmax(axis=1)] == test.label).mean() > 0.9


def test_the_same_again_trains_nothing(trained):
    school, folder, record = trained
    digest = school.catalogue.digest()
    stamps = {p: p.stat().st_mtime_ns for p in school.workspace.root.glob("models/**/*")}
    assert train_model(school.workspace, school.catalogue, folder) == record
    assert {p: p.stat().st_mtime_ns for p in school.workspace.root.glob("models/**/*")} == stamps
    assert school.catalogue.digest() == digest


def test_lost_or_damaged_files_are_trained_again_to_the_same_version(trained):
    school, folder, record = trained
    weights = school.workspace.root / "models" / record.version / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"xxxx")
    with pytest.raises(ModelError, match="was changed"):
        load_version(school.workspace, record.version)
    assert train_model(school.workspace, school.catalogue, folder) == record
    assert weights.read_bytes() == whole
    weights.unlink()
    train_model(school.workspace, school.catalogue, folder)
    assert weights.read_bytes() == whole
    assert list_models(school.catalogue) == [record]


def test_another_architecture_is_another_model(trained):
    school, folder, record = trained
    other = train_model(school.workspace, school.catalogue, folder, model="extra-trees", seed=3)
    assert other.version != record.version
    assert find_model(school.catalogue) == other
    assert find_model(school.catalogue, record.version) == record


def test_what_cannot_be_trained_on_is_refused(trained, tmp_path):
    school, folder, record = trained
    with pytest.raises(UnknownName, match="unknown model 'gpt'"):
        train_model(school.workspace, school.catalogue, folder, model="gpt")
    with pytest.raises(FormatError, match="an existing manifest, got no such file"):
        train_model(school.workspace, school.catalogue, tmp_path / "nowhere")
    export_set(*school.all, tmp_path / "coco", formats=("coco",))
    with pytest.raises(FormatError, match="export with the format 'sequences'"):
        train_model(school.workspace, school.catalogue, tmp_path / "coco")
    with pytest.raises(UnknownName, match=f"unknown model version '0'; known: {record.version}"):
        find_model(school.catalogue, "0")
    manifest = read_manifest(folder / "manifest.json")
    splits = {**manifest.splits, "train": (*manifest.splits["train"], manifest.splits["test"][0])}
    write_manifest(folder / "manifest.json", manifest.model_copy(update={"splits": splits}))
    with pytest.raises(LeakError):
        train_model(school.workspace, school.catalogue, folder)
    assert list_models(school.catalogue) == [record]
