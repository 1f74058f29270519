"""`preannotate --engine ray`: the same output by hash as the local engine, on this machine and on a cluster that loses a node."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fixtures_media import CURATE, digest_workspace, run_curate

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def reference(tmp_path_factory, tiny_lessons, small_model):
    """Two good clips and one that was changed after it was added, preannotated by the local engine: digests and what was said."""
    folder = tmp_path_factory.mktemp("reference")
    media = folder / "media"
    media.mkdir()
    for path in tiny_lessons:
        for file in path.parent.glob(f"{path.stem}*"):
            shutil.copy(file, media)
    assert run_curate("init", folder / "local").returncode == 0
    assert run_curate("add", media, "-w", folder / "local").returncode == 0
    shutil.copytree(folder / "local", folder / "fresh")
    with (media / tiny_lessons[1].name).open("ab") as stream:
        stream.write(b"x")
    said = run_curate("preannotate", "-w", folder / "local", "--workers", "1", "--model", small_model, "--json")
    assert said.returncode == 1
    return folder / "fresh", digest_workspace(folder / "local"), json.loads(said.stdout)


def test_who_imported_ray_before_is_on_loopback_too():
    code = (
        "import ray\nfrom curation.engines.ray import join_cluster\n"
        "with join_cluster(1, None) as n: print(n, ray.util.get_node_ip_address())"
    )
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=without, timeout=120)
    assert done.stdout.split() == ["1", "127.0.0.1"]


def _list_session(session):
    """Return (name, addresses listened on) of the processes of a session that still live."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                places = [c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
                found.append((process.name(), places))
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def test_ray_on_this_machine_gives_the_local_engines_output(reference, tmp_path, small_model):
    fresh, expected, said_there = reference
    root = shutil.copytree(fresh, tmp_path / "ray")
    before = set(Path("/tmp").glob("curate-ray-*"))
    said = run_curate("preannotate", "-w", root, "--engine", "ray", "--workers", "2", "--model", small_model, "--json")
    assert said.returncode == 1, said.stderr
    assert "has changed since it was added; add it again" in said.stderr
    assert {**json.loads(said.stdout), "seconds": 0} == {**said_there, "seconds": 0}
    assert digest_workspace(root) == expected
    assert set(Path("/tmp").glob("curate-ray-*")) <= before


@pytest.mark.slow
def test_ray_listens_on_loopback_only_and_ctrl_c_leaves_nothing_running(reference, tmp_path, small_model):
    fresh, expected, _ = reference
    root = shutil.copytree(fresh, tmp_path / "ray")
    words = [CURATE, "preannotate", "-w", str(root), "--engine", "ray", "--workers", "1", "--model", str(small_model)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 120
    while not any(name.startswith("ray::_StageActor") for name, _ in _list_session(process.pid)):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "no actor was started"
        time.sleep(0.2)
    places = {place for _, found in _list_session(process.pid) for place in found}
    assert places
    assert places <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.rstrip().endswith("curate: interrupted; the same command again goes on from here")
    end = time.monotonic() + 30
    while _list_session(process.pid):
        assert time.monotonic() < end, _list_session(process.pid)
        time.sleep(0.2)
    assert run_curate("preannotate", "-w", root, "--workers", "1", "--model", small_model).returncode == 1
    assert digest_workspace(root) == expected


def test_an_address_is_for_ray_and_must_answer(reference, tmp_path):
    root = shutil.copytree(reference[0], tmp_path / "ray")
    said = run_curate("preannotate", "-w", root, "--address", "127.0.0.1:1")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == ("curate: address: expected none, since the engine 'local' runs on this machine, got 127.0.0.1:1\n")


@pytest.mark.slow
def test_a_killed_node_changes_nothing_and_leaves_standard_output_to_results(tmp_path, tiny_lessons, capfd, caplog):
    from curation.benchmarks.people_ray import Killer, open_cluster, preannotate_lessons

    caplog.set_level(logging.INFO, "curation.engines.ray")
    local, _ = preannotate_lessons(tmp_path / "local", tiny_lessons, engine="local")
    with open_cluster() as cluster:
        nodes = [cluster.add_node(), cluster.add_node()]
        kill = Killer(lambda: cluster.remove_node(nodes.pop()))
        digests, _ = preannotate_lessons(tmp_path / "killed", tiny_lessons, engine="ray", progress=kill)
        assert kill.done
        end = time.monotonic() + 60
        while "raylet" not in caplog.text:
            assert time.monotonic() < end, "Ray did not tell of the lost node"
            time.sleep(0.2)
    assert digests == local
    assert capfd.readouterr().out == ""
