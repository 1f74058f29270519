"""What every engine must do, over all entries of the registry: order, back-pressure, tasks that fail, workers that die."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from curation.engines import ENGINES
from curation.engines.base import Advanced, Begun, Ended
from schemas.errors import CurationError, UnknownName


@pytest.fixture(scope="module")
def small_ray():
    """Ray on this machine with two cores; an engine uses it as long as it is there."""
    from curation.engines.ray import join_cluster

    with join_cluster(2, None):
        yield


@pytest.fixture(params=list(ENGINES))
def run(request, tmp_path):
    """The engine: ``run(tasks, workers=2, name="square", **options)`` gives what happens."""
    if request.param == "ray":
        request.getfixturevalue("small_ray")

    def start(tasks, *, workers=2, name="square", prepared=None, **options):
        engine = ENGINES.load(request.param)(workers=workers)
        if prepared:
            engine.prepare(f"engine_stage:{prepared}")
        return engine.run(tasks, f"engine_stage:{name}", options={"folder": str(tmp_path), **options})

    return start


def _follow(events):
    """Return task → [what happened, in words], and check that every task begins first and ends last, once."""
    told = {}
    for event in events:
        match event:
            case Begun(index=index):
                told.setdefault(index, []).append("begun")
            case Advanced(index=index, units=units, part=part):
                told[index].append((units, part[1] if isinstance(part, tuple) else part if part is None else part[0].item()))
            case Ended(index=index, error=error):
                told[index].append(error or "done")
    assert all(words[0] == "begun" for words in told.values())
    return told


def test_parts_come_in_order_and_one_stage_serves_many(run, tmp_path):
    told = _follow(run([0.2, 3, 1, 2, 0]))
    assert told == {
        0: ["begun", (2, None), (3, 0.2), "done"],
        1: ["begun", (2, None), (3, 3), (0, 0.0), (0, 1.0), (0, 2.0), "done"],
        2: ["begun", (2, None), (3, 1), (0, 0.0), "done"],
        3: ["begun", (2, None), (3, 2), (0, 0.0), (0, 1.0), "done"],
        4: ["begun", (2, None), (3, 0), "done"],
    }
    opened, closed = (len(list(tmp_path.glob(f"{what}-*"))) for what in ("pid", "closed"))
    assert 1 <= opened == closed <= 2  # on a busy machine one worker may be done with all before the other is ready


@pytest.mark.parametrize("prepared", ["square", "dies"])
def test_an_engine_that_is_prepared_works_as_any_other(run, tmp_path, prepared):
    assert _follow(run([1, 0], prepared=prepared)) == {
        0: ["begun", (2, None), (3, 1), (0, 0.0), "done"],
        1: ["begun", (2, None), (3, 0), "done"],
    }


def test_no_tasks_start_no_process(run, tmp_path):
    assert list(run([])) == []
    assert not list(tmp_path.iterdir())


def test_a_failing_task_is_set_aside_with_one_line_and_the_others_go_on(run):
    told = _follow(run([1, "poison", "bug", 0], workers=1))
    assert [words[-1] for words in told.values()] == ["done", "clip.mp4: has a hole", "KeyError: 'x'", "done"]
    assert told[1] == ["begun", "clip.mp4: has a hole"]


def test_a_task_that_kills_its_worker_is_begun_twice_and_then_set_aside(run, tmp_path):
    told = _follow(run([0, "killer", 1], workers=1))
    assert told[0][-1] == told[2][-1] == "done"
    assert told[1][:-1] == ["begun", "begun"]
    assert told[1][-1].startswith("its worker process ")
    assert told[1][-1].endswith(", 2 times")
    assert len(list(tmp_path.glob("seen-killer-*"))) == 2


def test_a_task_whose_worker_is_lost_begins_anew_with_its_first_part(run):
    told = _follow(run(["once", "halfway", 1]))
    assert told[0] == ["begun", "begun", (2, None), (3, "once"), "done"]
    again = ["begun", (2, None), (3, "halfway")]
    assert told[1] == [*again, *again, "clip.mp4: ends here"]
    assert told[2][-1] == "done"


def test_a_worker_is_at_most_one_step_ahead_of_a_slow_reader(run, tmp_path):
    events = run([20], workers=1)
    while not isinstance(next(events), Advanced):
        pass
    for taken in range(3, 8):
        next(events)
        time.sleep(0.3)
        assert len(list(tmp_path.glob("part-*"))) <= taken - 1
    events.close()


def test_the_next_task_is_worked_on_while_the_end_of_the_last_is_dealt_with(run, tmp_path):
    events = run([1, 7], workers=1)
    while not isinstance(next(events), Ended):
        pass
    start = time.monotonic()
    while not list(tmp_path.glob("seen-7-*")):
        assert time.monotonic() - start < 15
        time.sleep(0.05)
    assert next(events) == Begun(index=1)
    events.close()


def test_a_stage_that_cannot_be_set_up_is_one_clear_error(run):
    with pytest.raises(CurationError, match=r"^models: are not there$"):
        list(run([1], fail=True))
    with pytest.raises(CurationError, match=r"^worker processes cannot start: its worker process "):
        list(run([1], name="dies"))
    with pytest.raises(CurationError, match=r"AttributeError: .*no_such_stage"):
        list(run([1], name="no_such_stage"))


def test_closing_the_events_ends_the_processes(run, tmp_path):
    events = run([1, 30.0, 30.0, 30.0])
    while not isinstance(next(events), Ended):
        pass
    pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    assert pids
    start = time.monotonic()
    events.close()
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() - start < 15
        time.sleep(0.05)


def test_workers_use_one_thread_each(run):
    assert _follow(run(["environment:OMP_NUM_THREADS"]))[0][2] == (3, "1")


def test_large_parts_arrive_as_they_were_sent(run):
    parts = [event.part for event in run([2]) if isinstance(event, Advanced) and isinstance(event.part, np.ndarray)]
    np.testing.assert_array_equal(parts, np.repeat([[0], [1]], 100_000, axis=1).astype(np.float32))


def test_an_unknown_engine():
    with pytest.raises(UnknownName, match="unknown engine 'moon'; known: local, ray"):
        ENGINES.load("moon")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("name", list(ENGINES))
def test_tasks_that_are_fewer_than_cores_share_them_on_this_machine(name):
    engine = ENGINES.load(name)(workers=4)
    assert [engine.count_threads(n) for n in (1, 2, 3, 4, 9)] == ([4, 2, 1, 1, 1] if name == "local" else [1] * 5)
