"""`kill -9` in the middle of `add` and `preannotate`: the same command again ends as an uninterrupted run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from fixtures_media import CURATE, digest_workspace, run_curate

SEED = 20260


@pytest.fixture(scope="module")
def reference(tmp_path_factory, tiny_lessons, small_model):
    """The digest of a workspace filled without interruption, and the seconds that its `preannotate` took."""
    root = tmp_path_factory.mktemp("reference") / "work"
    _start(root, tiny_lessons)
    began = time.monotonic()
    result = run_curate("preannotate", "-w", root, "--workers", "2", "--model", small_model)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("3 clips: 6 people, 12 tubelets, 12 proposals in ")
    return digest_workspace(root), time.monotonic() - began


def _start(root, media):
    assert run_curate("init", root).returncode == 0
    assert run_curate("add", *media, "-w", root).returncode == 0


def _run_for(seconds, *words):
    """Start the command, send SIGKILL to it alone after `seconds`, and return its exit code."""
    process = subprocess.Popen(
        [CURATE, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    code = process.wait(30)
    _wait_until_gone(process.pid)
    return code


def _wait_until_gone(session):
    """Wait until no process of that session lives: workers follow their parent without being told."""
    end = time.monotonic() + 30
    while any(_session_of(entry) == session for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        assert time.monotonic() < end, "a worker outlived the command"
        time.sleep(0.1)


def _session_of(entry):
    try:
        state, _, _, session = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:4]
    except OSError:
        return None
    return int(session) if state != "Z" else None


def test_killed_at_any_moment_and_run_again(tmp_path, reference, tiny_lessons, small_model):
    expected, seconds = reference
    root = tmp_path / "work"
    _start(root, tiny_lessons)
    words = ("preannotate", "-w", root, "--workers", "2", "--model", small_model)
    shares = np.sort(np.random.default_rng(SEED).uniform(0.15, 0.85, 3))
    codes = [_run_for(share * seconds, *words) for share in shares]
    assert -signal.SIGKILL in codes
    assert run_curate(*words, "--resume").returncode == 0
    assert digest_workspace(root) == expected
    last = run_curate(*words)
    assert last.stdout.startswith("0 clips (3 done before): 0 people")
    assert digest_workspace(root) == expected


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(tmp_path, reference, tiny_lessons, small_model):
    expected, seconds = reference
    root = tmp_path / "work"
    _start(root, tiny_lessons)
    words = [CURATE, "preannotate", "-w", str(root), "--workers", "1", "--model", str(small_model)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    worker = _wait_for_worker(process.pid)
    time.sleep(min(4.0, 0.3 * seconds))
    os.kill(worker, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert stdout.startswith("3 clips: 6 people")
    assert digest_workspace(root) == expected


def _wait_for_worker(parent):
    """Return the id of the process in which `parent` has the models: the child that uses the most memory."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        children = (Path("/proc") / str(parent) / "task" / str(parent) / "children").read_text().split()
        workers = [pid for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
        if workers:
            return int(workers[0])
        time.sleep(0.05)
    raise TimeoutError("no worker was started")


@pytest.mark.slow
def test_ctrl_c_says_one_line_and_leaves_nothing_behind(tmp_path, reference, tiny_lessons, small_model):
    expected, _ = reference
    root = tmp_path / "work"
    _start(root, tiny_lessons)
    words = [CURATE, "preannotate", "-w", str(root), "--workers", "2", "--model", str(small_model)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    _wait_for_worker(process.pid)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.rstrip().endswith("curate: interrupted; the same command again goes on from here")
    assert "Traceback" not in stderr
    _wait_until_gone(process.pid)
    assert run_curate(*words[1:]).returncode == 0
    assert digest_workspace(root) == expected


def test_add_killed_and_run_again(tmp_path, tiny_lessons, numbered_video):
    media = tmp_path / "media"
    media.mkdir()
    for number in range(12):
        data = numbered_video.read_bytes()
        (media / f"{number:02d}.mp4").write_bytes(data + bytes([0, 0, 0, 9]) + b"free" + bytes([number]))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run_curate("init", whole).returncode == run_curate("init", cut).returncode == 0
    began = time.monotonic()
    assert run_curate("add", media, "-w", whole).returncode == 0
    seconds = time.monotonic() - began
    for share in np.sort(np.random.default_rng(SEED).uniform(0.3, 0.95, 3)):
        _run_for(share * seconds, "add", media, "-w", cut)
    assert run_curate("add", media, "-w", cut).returncode == 0
    assert digest_workspace(cut) == digest_workspace(whole)
    shutil.rmtree(media)
