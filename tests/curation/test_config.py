"""Workspaces: made whole or not at all, found from below, and a wrong `curate.toml` named line by line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner

from curation.cli.workspace import init
from curation.config import Config, Ports, create_workspace, find_workspace, open_workspace
from schemas.errors import FormatError, UnknownName, WorkspaceError


def _list_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_workspace_comes_back_as_it_was_made(tmp_path):
    config = Config(taxonomy="edunet-3", project='Klasse "7b" ä', ports=Ports(label_studio=18080, backend=19090, fiftyone=15151))
    made = create_workspace(tmp_path / "deep" / "work", config)
    assert made.config == config
    assert open_workspace(tmp_path / "deep" / "work") == made
    assert made.taxonomy.id == "edunet-3"
    assert made.catalogue_url == f"sqlite:///{tmp_path / 'deep' / 'work' / 'catalogue.db'}"


def test_one_that_is_there_is_left_as_it_is(tmp_path):
    create_workspace(tmp_path / "w", Config(taxonomy="edunet-3"))
    before = (tmp_path / "w" / "curate.toml").read_bytes()
    assert create_workspace(tmp_path / "w", Config(taxonomy="drn-lstm")).config.taxonomy == "edunet-3"
    assert (tmp_path / "w" / "curate.toml").read_bytes() == before


def test_an_unknown_taxonomy_makes_nothing(tmp_path):
    with pytest.raises(UnknownName, match="unknown taxonomy 'nope'; known: drn-lstm, edunet-3, learning-behaviours"):
        create_workspace(tmp_path / "w", Config(taxonomy="nope"))
    assert _list_files(tmp_path) == []


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(WorkspaceError, match="is not an empty folder"):
        create_workspace(tmp_path)
    with pytest.raises(WorkspaceError, match="is not an empty folder"):
        create_workspace(tmp_path / "holiday.jpg")
    assert _list_files(tmp_path) == ["holiday.jpg"]


def test_it_is_found_from_below_by_name_and_by_variable(tmp_path, monkeypatch):
    made = create_workspace(tmp_path / "w")
    other = create_workspace(tmp_path / "other")
    monkeypatch.delenv("CURATE_WORKSPACE", raising=False)
    monkeypatch.chdir(made.folder("exports"))
    assert find_workspace() == made
    assert find_workspace(other.root) == other
    monkeypatch.setenv("CURATE_WORKSPACE", str(other.root))
    assert find_workspace() == other
    assert find_workspace(made.root) == made


def test_where_there_is_none_the_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("CURATE_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match="make a workspace with `curate init`"):
        find_workspace()
    with pytest.raises(WorkspaceError, match=r"is not a workspace \(no curate.toml\)"):
        open_workspace(tmp_path / "gone")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("taxonomy = ", "expected TOML"),
        ("\x00", "expected TOML"),
        ("colour = 1", r"colour: expected a known and valid setting, got Extra inputs"),
        ("[ports]\nbackend = 80", r"ports\.backend: .*greater than or equal to 1024"),
        ("[preannotation]\nfps = 'fast'", r"preannotation\.fps"),
        ("[learning]\ntest_share = 1.0", r"learning\.test_share"),
        ("project = 'ab'", "project: .*at least 3 characters"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, text, match):
    (tmp_path / "curate.toml").write_text(text)
    with pytest.raises(FormatError, match=match) as caught:
        open_workspace(tmp_path)
    assert "\n" not in str(caught.value)


def test_every_setting_may_be_left_out(tmp_path):
    (tmp_path / "curate.toml").write_text("")
    assert open_workspace(tmp_path).config == Config()


def test_the_hash_follows_what_changes_results_only(tmp_path):
    workspace = create_workspace(tmp_path / "w")

    def hash_of(**changes):
        return evolve(workspace, config=workspace.config.model_copy(update=changes)).config_hash

    assert hash_of(ports=Ports(label_studio=10000, backend=10001, fiftyone=10002)) == workspace.config_hash
    assert hash_of(catalogue="postgresql+psycopg://host/db") == workspace.config_hash
    assert hash_of(taxonomy="edunet-3") != workspace.config_hash
    assert hash_of(learning=workspace.config.learning.model_copy(update={"seed": 1})) != workspace.config_hash


class TestInit:
    def test_it_makes_a_workspace_with_its_catalogue_once(self, tmp_path):
        for _ in range(2):
            done = CliRunner().invoke(init, [str(tmp_path / "w"), "--taxonomy", "edunet-3"])
            assert (done.exit_code, done.output) == (0, f"workspace {tmp_path / 'w'}: taxonomy edunet-3, 0 clips\n")
        assert _list_files(tmp_path / "w") == sorted(
            ["curate.toml", "catalogue.db", "arrays", "crops", "models", "exports", "logs", "servers"]
        )

    def test_an_unknown_taxonomy_is_one_line_exit_1_and_nothing_made(self, tmp_path):
        code = "from curation.cli import main; main()"
        command = [sys.executable, "-c", code, "init", str(tmp_path / "w"), "--taxonomy", "nope"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "curate: unknown taxonomy 'nope'; known: drn-lstm, edunet-3, learning-behaviours\n"
        assert _list_files(tmp_path) == []

    def test_json(self, tmp_path):
        import json

        done = CliRunner().invoke(init, [str(tmp_path / "w"), "--json"])
        assert json.loads(done.output) == {"workspace": str(tmp_path / "w"), "taxonomy": "learning-behaviours", "clips": 0}
