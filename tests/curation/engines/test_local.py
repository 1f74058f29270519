"""The local engine: order, back-pressure, tasks that fail, processes that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from curation.engines import ENGINES
from curation.engines.base import Outcome
from curation.engines.local import LocalEngine
from schemas.errors import CurationError, UnknownName

STAGE = """
import os, signal, time
from contextlib import contextmanager
from pathlib import Path
from schemas.errors import MediaError

@contextmanager
def square(folder, fail=False):
    folder = Path(folder)
    (folder / f"pid-{os.getpid()}").touch()
    if fail:
        raise MediaError("models", "are not there")
    def work(task, tick):
        (folder / f"seen-{task}-{time.time_ns()}").touch()
        if task == "poison":
            raise MediaError("clip.mp4", "has\\na hole")
        if task == "bug":
            raise KeyError("x")
        if task == "killer" or (task == "once" and len(list(folder.glob("seen-once-*"))) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(task, float):
            time.sleep(task)
        if isinstance(task, str):
            return task
        tick(2); tick(3)
        return task * task
    yield work
    (folder / f"closed-{os.getpid()}").touch()

@contextmanager
def dies(folder):
    os._exit(3)
    yield
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "curate_test_stage.py").write_text(STAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def _run(folder, tasks, *, workers=2, name="square", **options):
    return list(LocalEngine(workers=workers).run(tasks, f"curate_test_stage:{name}", options={"folder": str(folder), **options}))


def test_the_registry_knows_the_local_engine():
    assert ENGINES.load("local") is LocalEngine
    with pytest.raises(UnknownName, match="unknown engine 'moon'; known: local"):
        ENGINES.load("moon")


def test_outcomes_come_in_the_order_of_the_tasks_and_one_stage_serves_many(folder):
    tasks = [0.4, 1, 2, 3, 4, 5]
    outcomes = _run(folder, tasks)
    assert [o.index for o in outcomes] == list(range(6))
    assert [o.value for o in outcomes[1:]] == [1, 4, 9, 16, 25]
    assert len(list(folder.glob("pid-*"))) == 2
    assert len(list(folder.glob("closed-*"))) == 2


def test_no_tasks_start_no_process(folder):
    assert _run(folder, []) == []
    assert not list(folder.iterdir())


def test_a_failing_task_is_set_aside_with_one_line_and_the_others_go_on(folder):
    outcomes = _run(folder, [2, "poison", "bug", 3], workers=1)
    assert outcomes == [
        Outcome(index=0, value=4),
        Outcome(index=1, error="clip.mp4: has a hole"),
        Outcome(index=2, error="KeyError: 'x'"),
        Outcome(index=3, value=9),
    ]


def test_a_task_that_kills_its_process_is_tried_twice_and_then_set_aside(folder):
    outcomes = _run(folder, [2, "killer", 3], workers=1)
    assert [o.value for o in outcomes] == [4, None, 9]
    assert outcomes[1].error == "its worker process was ended by SIGKILL (out of memory?), 2 times"
    assert len(list(folder.glob("seen-killer-*"))) == 2


def test_a_process_killed_from_outside_costs_only_its_try(folder):
    outcomes = _run(folder, ["once", 5])
    assert outcomes == [Outcome(index=0, value="once"), Outcome(index=1, value=25)]
    assert len(list(folder.glob("seen-once-*"))) == 2


def test_ticks_say_which_task_they_belong_to(folder):
    ticks = []
    engine = LocalEngine(workers=1)
    list(engine.run([7, 8], "curate_test_stage:square", options={"folder": str(folder)}, on_tick=lambda *tick: ticks.append(tick)))
    assert ticks == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_work_goes_only_a_little_ahead_of_the_reader(folder):
    outcomes = LocalEngine(workers=1).run(list(range(20)), "curate_test_stage:square", options={"folder": str(folder)})
    next(outcomes)
    time.sleep(0.5)
    assert len(list(folder.glob("seen-*"))) <= 3
    outcomes.close()


def test_a_slow_first_task_holds_the_others_back(folder):
    outcomes = LocalEngine(workers=2).run([1.0, *range(20)], "curate_test_stage:square", options={"folder": str(folder)})
    assert next(outcomes).value == 1.0
    assert len(list(folder.glob("seen-*"))) <= 4
    outcomes.close()


def test_a_stage_that_cannot_be_set_up_is_one_clear_error(folder):
    with pytest.raises(CurationError, match=r"^models: are not there$"):
        _run(folder, [1], fail=True)
    with pytest.raises(CurationError, match="worker processes cannot start: its worker process ended with exit code 3"):
        _run(folder, [1], name="dies")
    with pytest.raises(CurationError, match="ModuleNotFoundError: No module named 'no_such_stage'"):
        list(LocalEngine(workers=1).run([1], "no_such_stage:x"))


def test_closing_the_outcomes_ends_the_processes(folder):
    outcomes = LocalEngine(workers=2).run([1, 30.0, 30.0, 30.0], "curate_test_stage:square", options={"folder": str(folder)})
    next(outcomes)
    pids = [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]
    assert pids
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 5
    assert not any(_lives(pid) for pid in pids)


def test_what_workers_print_goes_to_the_log(folder):
    (folder.parent / "curate_loud_stage.py").write_text(
        textwrap.dedent("""
        from contextlib import contextmanager
        @contextmanager
        def loud():
            print("hello from the worker", flush=True)
            yield lambda task, tick: task
        """)
    )
    log = folder / "worker.log"
    assert [o.value for o in LocalEngine(workers=1, log=log).run([1], "curate_loud_stage:loud")] == [1]
    assert log.read_text() == "hello from the worker\n"


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGKILL"])
def test_workers_end_with_their_parent(folder, signal_name):
    script = folder / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(folder.parent)!r})
        from curation.engines.local import LocalEngine
        if __name__ == "__main__":
            list(LocalEngine(workers=2).run([60.0, 60.0], "curate_test_stage:square", options={{"folder": {str(folder)!r}}}))
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
