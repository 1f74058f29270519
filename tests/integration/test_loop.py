"""The learning half of the loop through the real command line, from split to the next batch."""

from __future__ import annotations

import json

import pytest

from curation.cli import cli, main
from curation.export import read_export


@pytest.fixture
def curate(make_school, learning_tools, capsys):
    """Return a function that runs a command on a closed workspace of six labelled lessons and one unlabelled one."""
    school = make_school(6, windows=4)
    learning_tools["add_lesson"](school.catalogue, school.arrays, "lesson-6", ("s6a", "s6b"), windows=4)
    school.catalogue.close()
    root = school.workspace.root

    def run(*words):
        cli.main([*map(str, words), "-w", str(root)], standalone_mode=False)
        return capsys.readouterr().out.strip().splitlines()

    run.root = root
    return run


def test_from_labels_to_the_next_batch(curate, tmp_path):
    split = json.loads(curate("split", "--test-lesson", "lesson-2", "--json")[-1])
    assert split["sides"]["lesson-2"] == "test"
    assert split["certificate"]["sides"]["test"]["lessons"] == ["lesson-2"]
    assert "(unchanged): no lesson and no known student on two sides" in curate("split")[-1]

    formats = ("--format", "coco", "--format", "sequences", "--no-pictures")
    lines = curate("export", tmp_path / "set", *formats, "--balance", "undersample", "--name", "first")
    assert lines[-1].startswith("export first: train ")
    manifest = read_export(tmp_path / "set")
    assert {r.lesson for r in manifest.splits["test"]} == {"lesson-2"}

    (tmp_path / "train.toml").write_text('export = "set"\nmodel = "logreg"\n')
    model = json.loads(curate("train", tmp_path / "train.toml", "--json")[-1])
    assert (model["model"], model["export"]) == ("logreg", "first")
    assert json.loads(curate("train", "--model", "logreg", "--json")[-1]) == model

    figures = json.loads(curate("evaluate", "--json")[-1])
    assert (figures["version"], figures["n"]) == (model["version"], 8)
    assert curate("evaluate", model["version"])[-1].startswith(f"model {model['version']}: macro-F1 ")

    gate = json.loads(curate("promote", "--json")[-1])
    assert (gate["decision"], gate["after"]) == ("promoted", model["version"])
    assert curate("promote")[-1] == f"kept {model['version']}: it is the champion already"

    chosen = curate("select", "--strategy", "margin", "-n", "3")
    assert len(chosen) == 4
    assert chosen[-1].endswith(f"3 of 8 unlabelled tubelets by margin, model {model['version']}")
    assert curate("select", "-n", "3") == chosen

    report = json.loads(curate("report", "--json")[-1])
    assert report["champion"] == model["version"]
    assert report["axes"]["behaviour"]["labelled"] == 48
    assert curate("rollback")[-1].startswith(f"rolled back from {model['version']} to ")
    assert curate("report")[-1].endswith("rounds: 0; batches selected: 1")


def test_a_round_from_the_command_line(curate):
    lines = curate("round", "-n", "2", "--balance", "none")
    assert [line.split(":")[0] for line in lines] == ["score", "export", "train", "gate", "select", "round 1"]
    again = json.loads(curate("round", "-n", "2", "--balance", "none", "--json")[-1])
    assert (again["round"], again["new"]) == (1, False)
    assert len(again["stages"]["select"]["tubelets"]) == 2
    assert (curate.root / "exports" / "round-0001" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("export", "OUT", "--format", "yolo"), "curate: unknown export format 'yolo'; known: coco, sequences"),
        (("export", "OUT", "--balance", "smote"), "curate: unknown balance method 'smote'"),
        (("train",), "curate: exports to train on (`curate export OUT` writes one): need at least 1, have 0"),
        (
            ("train", "nowhere.yaml"),
            "nowhere.yaml: file: expected the folder of an export, or a YAML or TOML file, got no such file",
        ),
        (("promote",), "curate: unknown model version"),
        (("evaluate", "0123"), "curate: unknown model version '0123'"),
        (("rollback",), "curate: rollback: expected a promoted model on axis behaviour, got none"),
        (("select", "--strategy", "luck"), "curate: unknown strategy 'luck'"),
        (("split", "--test-lesson", "x"), "curate: unknown lesson 'x'"),
        (("round", "--axis", "mood"), "curate: unknown axis 'mood'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_1(curate, tmp_path, capsys, monkeypatch, words, line):
    words = [str(tmp_path / "out") if word == "OUT" else word for word in words]
    monkeypatch.setattr("sys.argv", ["curate", *words, "-w", str(curate.root)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    err = capsys.readouterr().err.strip()
    assert line in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
