"""Fixtures shared by all tests, each kept in a module of its own."""

import os
from pathlib import Path

import pytest

pytest_plugins = [path.stem for path in sorted(Path(__file__).parent.glob("fixtures_*.py"))]


@pytest.fixture(autouse=True)
def ordinary_priority():
    """No test leaves the process at real-time priority, which every server and browser started after it would inherit."""
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail("the test left its process at real-time priority; see curation.benchmarks.people_fuzz.keep_priority")
