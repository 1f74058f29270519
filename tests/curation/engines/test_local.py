"""The local engine: what workers print, and that they end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from curation.engines.base import Advanced
from curation.engines.local import LocalEngine


def test_what_workers_print_goes_to_the_log(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "curate_loud_stage.py").write_text(
        textwrap.dedent("""
        from contextlib import contextmanager
        from curation.engines.base import Step
        @contextmanager
        def loud():
            print("hello from the worker", flush=True)
            yield lambda task: [Step(part=task)]
        """)
    )
    log = tmp_path / "worker.log"
    events = list(LocalEngine(workers=1, log=log).run([1], "curate_loud_stage:loud"))
    assert [event.part for event in events if isinstance(event, Advanced)] == [1]
    assert log.read_text() == "hello from the worker\n"


def test_the_worker_that_was_prepared_does_the_work(tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_STAGE_PREPARED", str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "stages"))
    engine = LocalEngine(workers=1)
    engine.prepare("engine_stage:square")
    engine.prepare("engine_stage:square")
    _wait_for(lambda: list(tmp_path.glob("prepared-*")))
    assert not list(tmp_path.glob("pid-*"))
    list(engine.run([1], "engine_stage:square", options={"folder": str(tmp_path)}))
    (prepared,), (worked,) = tmp_path.glob("prepared-*"), tmp_path.glob("pid-*")
    assert prepared.name.removeprefix("prepared-") == worked.name.removeprefix("pid-")


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGKILL"])
def test_workers_end_with_their_parent(tmp_path, signal_name):
    folder = tmp_path / "work"
    folder.mkdir()
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
        sys.path.append({str(Path(__file__).parent / "stages")!r})
        from curation.engines.local import LocalEngine
        if __name__ == "__main__":
            list(LocalEngine(workers=2).run([60.0, 60.0], "engine_stage:square", options={{"folder": {str(folder)!r}}}))
        """)
    )
    parent = subprocess.Popen([sys.executable, script], stderr=subprocess.PIPE, start_new_session=True)
    _wait_for(lambda: len(list(folder.glob("seen-*"))) == 2)
    pids = [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]
    if signal_name == "SIGINT":
        os.killpg(parent.pid, signal.SIGINT)
    else:
        parent.kill()
    error = parent.communicate(timeout=20)[1].decode()
    assert error.count("Traceback") == (1 if signal_name == "SIGINT" else 0), error
    _wait_for(lambda: not any(_lives(pid) for pid in pids))


def _wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
