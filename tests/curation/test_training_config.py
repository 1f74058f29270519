import pytest

from curation.export import export_set
from curation.training_config import Training, find_training
from schemas.errors import FormatError, NotEnoughData


def test_a_folder_a_file_or_the_newest_export(make_school, tmp_path):
    school = make_school(4)
    stores = school.workspace, school.catalogue
    with pytest.raises(NotEnoughData, match=r"exports to train on \(`curate export OUT` writes one\)"):
        find_training(*stores, None)
    export_set(*school.all, school.workspace.root / "exports" / "a")
    export_set(*school.all, tmp_path / "b", balance="none")
    assert find_training(*stores, None) == Training(export=tmp_path / "b")
    assert find_training(*stores, school.workspace.root / "exports" / "a", seed=3).export == school.workspace.root / "exports" / "a"
    (tmp_path / "t.toml").write_text('export = "b"\nmodel = "logreg"\nseed = 4\n')
    (tmp_path / "t.yaml").write_text("model: extra-trees\n")
    assert find_training(*stores, tmp_path / "t.toml") == Training(export=tmp_path / "b", model="logreg", seed=4)
    assert find_training(*stores, tmp_path / "t.toml", model="cnn-lstm", seed=0) == Training(
        export=tmp_path / "b", model="cnn-lstm", seed=0
    )
    assert find_training(*stores, tmp_path / "t.yaml") == Training(export=tmp_path / "b", model="extra-trees")


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("none.yaml", None, "the folder of an export, or a YAML or TOML file, got no such file"),
        ("bad.toml", "export = ", "expected YAML or TOML"),
        ("bad.yaml", "a: [", "expected YAML or TOML"),
        ("more.yaml", "export: x\nepochs: 3\n", "epochs: expected the keys export, model and seed"),
        ("list.yaml", "- a\n", "file: expected the keys export, model and seed"),
        ("seed.toml", "seed = -1", "seed: expected"),
    ],
)
def test_a_file_that_says_something_else_is_refused(make_school, tmp_path, name, text, match):
    school = make_school(1, labelled=False)
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=match):
        find_training(school.workspace, school.catalogue, tmp_path / name)
