"""Scores of a workspace: who is scored, by whom, and that scoring twice adds nothing."""

import json

import pytest
from click.testing import CliRunner

from curation.cli import cli
from curation.scoring.kinds import KINDS
from curation.scoring.workspace import list_scorable, score_workspace
from curation.split import make_split
from schemas.errors import NotEnoughData, UnknownName


def test_labels_are_scored_once_and_the_same_again_adds_nothing(make_school):
    workspace, catalogue, arrays = make_school(4).all
    seen = []
    result = score_workspace(workspace, catalogue, arrays, progress=lambda done, total: seen.append((done, total)))
    labels = {label.tubelet_id: label.span.value for label in catalogue.current_labels("behaviour")}
    assert {s.tubelet_id: s.label for s in result.scores} == labels
    assert result.new == len(labels)
    assert all(s.out_of_sample for s in result.scores)
    assert [s.value for s in result.scores] == sorted((s.value for s in result.scores), reverse=True)
    assert seen[-1][0] == seen[-1][1]
    assert all(0 <= s.wrong <= 1 and s.kind in KINDS and s.reason for s in result.scores)
    digest = catalogue.digest()
    again = score_workspace(workspace, catalogue, arrays)
    assert (again.new, again.run, again.scores) == (0, result.run, result.scores)
    assert catalogue.digest() == digest
    words = ["score", "--workspace", str(workspace.root), "--json"]
    said = CliRunner().invoke(cli, words)
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout.splitlines()[-1])["run"] == result.run


def test_test_lessons_are_not_scored(make_school):
    workspace, catalogue, _ = make_school(6).all
    make_split(workspace, catalogue)
    contexts = catalogue.describe_tubelets()
    from curation.split import read_split

    test = set(read_split(catalogue).lessons("test"))
    assert test
    scorable = {contexts[label.tubelet_id].lesson for label in list_scorable(catalogue, "behaviour")}
    assert scorable == {c.lesson for c in contexts.values()} - test


def test_what_cannot_be_scored_is_said(make_school):
    workspace, catalogue, arrays = make_school(2).all
    with pytest.raises(NotEnoughData, match="labels on axis posture to score"):
        score_workspace(workspace, catalogue, arrays, axis="posture")
    with pytest.raises(UnknownName, match="unknown axis 'mood'"):
        score_workspace(workspace, catalogue, arrays, axis="mood")
    with pytest.raises(UnknownName, match="unknown scoring method"):
        score_workspace(workspace, catalogue, arrays, method="x")
