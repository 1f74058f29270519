"""`kill -9` in the middle of `export`: the same command again gives the bytes and the record of an uninterrupted run."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time

import numpy as np
from fixtures_media import CURATE, digest_workspace, hash_tree, run_curate

SEED = 20261


def _words(root, out):
    return ["export", out, "--name", "set", "--format", "sequences", "--format", "coco", "--no-pictures", "-w", root]


def test_killed_at_any_moment_and_run_again(make_school, tmp_path):
    school = make_school(8, windows=12)
    school.catalogue.close()
    root = school.workspace.root
    cut = tmp_path / "cut" / root.name
    shutil.copytree(root, cut)
    began = time.monotonic()
    assert run_curate(*_words(root, root / "exports" / "set")).returncode == 0
    seconds = time.monotonic() - began
    codes = []
    for share in np.sort(np.random.default_rng(SEED).uniform(0.2, 1.0, 4)):
        process = subprocess.Popen([str(CURATE), *map(str, _words(cut, cut / "exports" / "set"))], stdout=subprocess.DEVNULL)
        try:
            process.wait(share * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        codes.append(process.wait(30))
    assert -signal.SIGKILL in codes
    again = run_curate(*_words(cut, cut / "exports" / "set"))
    assert again.returncode == 0, again.stderr
    assert hash_tree(cut / "exports") == hash_tree(root / "exports")
    assert digest_workspace(cut) == digest_workspace(root)
    assert run_curate(*_words(cut, cut / "exports" / "set")).returncode == 0
    assert digest_workspace(cut) == digest_workspace(root)
