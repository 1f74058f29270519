"""The app as a process: starts, answers on loopback only, runs the operators over HTTP, ends cleanly; and the commands."""

import json
import os
import socket
import subprocess
import sys

import httpx
import psutil
import pytest

from curation.cli import cli
from curation.config import create_workspace
from curation.review.app import is_running
from curation.review.mongo import read_mongod
from curation.review.simulated import SimulatedCurator, execute_operator
from schemas.errors import InvalidField, ServerError, UnknownName

pytestmark = pytest.mark.integration
AXIS = "behaviour"


def run_curate(*arguments):
    """The command line in a process of its own: (exit code, stdout lines, stderr)."""
    done = subprocess.run(
        [sys.executable, "-c", "from curation.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=180,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_it_listens_on_loopback_only_and_sends_the_page_nowhere_else(review_app):
    port = int(review_app.url.rsplit(":", 1)[1])
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port}
    assert listening == {"127.0.0.1"}
    answer = httpx.get(f"{review_app.url}/fiftyone")
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert httpx.get(f"{review_app.url}/fiftyone", headers={"host": "evil.example"}).status_code == 400
    assert (
        "access-control-allow-origin"
        not in httpx.get(f"{review_app.url}/fiftyone", headers={"origin": "http://evil.example"}).headers
    )


def test_the_simulated_curator_works_through_the_top_of_the_list(review_app):
    curator = SimulatedCurator(review_app.url, review_app.dataset)
    scores = review_app.list_scores()
    seen = curator.look(100)
    assert [tile.tubelet_id for tile in seen] == [score.tubelet_id for score in scores]
    assert [tile.loss for tile in seen] == pytest.approx([score.loss for score in scores])
    asked = []

    def decide_on(tubelet, label):
        asked.append((tubelet, label))
        return (("drop", None), ("relabel", "sleep"), ("keep", None))[len(asked) % 3]

    assert curator.review_top(5, decide_on) == {"drop": 1, "relabel": 2, "keep": 2}
    assert asked == [(score.tubelet_id, score.label) for score in scores[:5]]
    verdicts = {v.tubelet_id: v for v in review_app.list_verdicts()}
    assert [verdicts[s.tubelet_id].kind for s in scores[:5]] == ["relabel", "keep", "drop", "relabel", "keep"]
    assert {v.curator for v in verdicts.values()} == {"simulated"}
    shown = {tile.tubelet_id: (tile.label, tile.verdict) for tile in curator.look(5)}
    assert shown[scores[0].tubelet_id] == ("sleep", "relabelled")
    assert shown[scores[2].tubelet_id] == (scores[2].label, "dropped")


def test_undo_over_http_of_the_chosen_and_of_the_newest(review_app):
    curator = SimulatedCurator(review_app.url, review_app.dataset)
    tiles = curator.look(18)[10:13]
    ids = [tile.sample_id for tile in tiles]
    execute_operator(review_app.url, review_app.dataset, "drop", ids[:2], {"curator": "cy"})
    done = execute_operator(review_app.url, review_app.dataset, "undo", ids[:1], {"curator": "di"})
    assert done["tubelets"] == [tiles[0].tubelet_id]
    execute_operator(review_app.url, review_app.dataset, "keep", ids[2:], {"curator": "cy"})
    assert execute_operator(review_app.url, review_app.dataset, "undo", [])["tubelets"] == [tiles[2].tubelet_id]
    assert [tile.verdict for tile in curator.look(18)[10:13]] == [None, "dropped", None]


@pytest.mark.parametrize(
    ("name", "samples", "params", "error", "match"),
    [
        ("drop", [], {}, InvalidField, "Select the labels to drop first"),
        ("keep", ["0123456789abcdef01234567"], {}, InvalidField, "unknown sample"),
        ("relabel", None, {"value": "dance"}, ServerError, "FiftyOne at http"),
        ("burn", None, {}, ServerError, "FiftyOne at http"),
    ],
)
def test_a_refused_click_says_why_and_writes_nothing(review_app, name, samples, params, error, match):
    before = review_app.list_verdicts()
    last = [SimulatedCurator(review_app.url, review_app.dataset).look(18)[-1].sample_id]
    with pytest.raises(error, match=match):
        execute_operator(review_app.url, review_app.dataset, name, last if samples is None else samples, params)
    assert review_app.list_verdicts() == before


def test_the_simulated_curator_says_what_is_missing(review_app):
    with pytest.raises(UnknownName, match="unknown dataset 'nothing'"):
        SimulatedCurator(review_app.url, "nothing").look(1)
    with pytest.raises(UnknownName, match=r"unknown view 'nothing'; known: .*most-suspect-first"):
        SimulatedCurator(review_app.url, review_app.dataset, view="nothing").look(1)
    with pytest.raises(ServerError, match=r"FiftyOne at http://127\.0\.0\.1:1: /graphql: .*refused"):
        SimulatedCurator("http://127.0.0.1:1", review_app.dataset).look(1)


def test_commands_beside_a_running_app(review_app):
    root, port = review_app.workspace.root, review_app.url.rsplit(":", 1)[1]
    curator = SimulatedCurator(review_app.url, review_app.dataset)
    while any(tile.verdict for tile in curator.look(18)):
        execute_operator(review_app.url, review_app.dataset, "undo", [])
    ids = [tile.sample_id for tile in curator.look(4)]
    execute_operator(review_app.url, review_app.dataset, "drop", ids[:2])
    execute_operator(review_app.url, review_app.dataset, "relabel", ids[2:], {"value": "sleep"})

    code, lines, _ = run_curate("review", "apply", "-w", root, "--json")
    counts = json.loads(lines[-1])
    assert code == 0
    assert {k: counts[k] for k in ("labels", "usable", "dropped", "relabelled", "kept", "waiting")} == {
        "labels": 18, "usable": 16, "dropped": 2, "relabelled": 2, "kept": 0, "waiting": 14,
    }  # fmt: skip
    assert sum(change["labels"] for change in counts["changes"] if change["to"] == "sleep") == 2

    assert run_curate("review", "undo", "-w", root)[1] == ["took back 1 decision on 2 labels; `curate review open` shows it"]
    code, lines, _ = run_curate("review", "open", "-w", root, "--port", port, "--no-browser", "--json")
    opened = json.loads(lines[-1])
    assert (code, opened["samples"], opened["running"], opened["problems"]) == (0, 18, True, {})
    assert opened["page"] == f"{review_app.url}/datasets/school-behaviour?view=most-suspect-first&workspace=review"
    assert [tile.verdict for tile in curator.look(4)] == ["dropped", "dropped", None, None]


def test_another_app_on_the_port_is_one_line(review_app):
    port = review_app.url.rsplit(":", 1)[1]
    done = subprocess.run(
        [sys.executable, "-m", "curation.review.app", "--workspace", review_app.workspace.root, "--port", port, "--no-browser"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"curate: FiftyOne at {review_app.url}: the port is in use (Address already in use)"]


def test_is_running_tells_this_workspaces_app_from_others(review_app, tmp_path):
    port = int(review_app.url.rsplit(":", 1)[1])
    assert is_running(review_app.workspace, port) is True
    with pytest.raises(ServerError, match="in use by something else"):
        is_running(create_workspace(tmp_path / "other"), port)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    assert is_running(review_app.workspace, free) is False


def test_an_empty_workspace_still_has_a_page_and_ends_cleanly(tmp_path, start_review_app):
    workspace = create_workspace(tmp_path / "Empty Room")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with start_review_app(workspace, port) as url:
        assert SimulatedCurator(url, "empty-room-behaviour").look(5) == []
        assert read_mongod(workspace.root / "servers") is not None
    assert read_mongod(workspace.root / "servers") is None
    assert (workspace.root / "servers" / "fiftyone" / "plugins" / "curate-review" / "fiftyone.yml").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "match"),
    [
        (["review", "undo"], 1, "decisions to take back: need at least 1, have 0"),
        (["review", "undo", "--last", "0"], 2, "Invalid value for '--last'"),
        (["review", "open", "--axis", "mood", "--no-browser"], 1, "unknown axis 'mood'"),
        (["review", "apply", "--axis", "mood"], 1, "unknown axis 'mood'"),
    ],
)
def test_a_wrong_command_is_one_line(tmp_path, arguments, code, match):
    from curation.store import Catalogue

    workspace = create_workspace(tmp_path / "w")
    Catalogue.open(workspace.catalogue_url).close()
    got, _, stderr = run_curate(*arguments, "-w", workspace.root)
    assert got == code
    assert match in stderr
    assert "Traceback" not in stderr


def test_help_needs_no_fiftyone():
    from click.testing import CliRunner

    assert "suspect labels" in CliRunner().invoke(cli, ["review", "--help"]).output
    code = "import sys, curation.cli.review, curation.review.actions, curation.review.simulated; print('fiftyone' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True)
    assert done.stdout.strip() == "False"
