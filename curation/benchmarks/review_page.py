"""How soon the review's page can be used: a real Chromium, driven by Playwright (in the `dev` extra), in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curation.config import Workspace, open_workspace
from schemas.errors import ServerError

__all__ = ["find_free_port", "main", "run_app"]

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--mute-audio", "--disable-extensions",
)  # fmt: skip
_READY = (
    "() => document.querySelector(\"[data-cy='fo-grid'] [data-cy='looker']\")"
    " && document.querySelector(\"[data-cy='cr-clip']\")?.readyState >= 2"
)
_START_SECONDS = 180


def find_free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_app(workspace: Workspace, port: int) -> Iterator[str]:
    """Run the review's app in a process of its own; yield its address once it answers.

    Raises:
        ServerError: if it does not.
    """
    from curation.review.app import is_running

    command = [sys.executable, "-m", "curation.review.app", "--workspace", str(workspace.root), "--port", str(port), "--no-browser"]
    log = workspace.folder("logs") / "bench.log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not is_running(workspace, port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerError("FiftyOne", f"127.0.0.1:{port}", f"did not start; see {log}")
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def time_page(address: str, rounds: int) -> dict[str, Any]:
    """Return ``first`` (an empty cache) and ``again`` (a list): seconds until grid and clip can be judged.

    The browser has a profile of its own, as a curator's has: it keeps the app's files from the first visit on, and their compiled
    form from the second one on, which is not counted.
    """
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CURATE_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    seconds = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="curate-browser-") as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium, args=list(_FLAGS), viewport={"width": 1600, "height": 1000}
        )
        try:
            for _ in range(rounds + 2):
                page = context.new_page()
                start = time.perf_counter()
                page.goto(address, wait_until="commit")
                page.wait_for_function(_READY, timeout=120_000)
                seconds.append(time.perf_counter() - start)
                page.close()
        finally:
            context.close()
    return {"first": seconds[0], "again": seconds[2:]}


def main() -> int:
    """Time the page of the workspace and port named on the command line; print the seconds as JSON."""
    from curation.review.app import find_page
    from curation.review.dataset import name_dataset

    workspace, port, rounds = open_workspace(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    page = find_page(name_dataset(workspace, workspace.taxonomy.primary.id), port)
    sys.stdout.write(json.dumps(time_page(page, rounds)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
