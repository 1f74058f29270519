"""Benchmarks of following people: what they count, and that they run."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from backends.people.base import PersonTrack
from curation.benchmarks import compare_side_by_side
from curation.benchmarks.lessons import read_lesson
from curation.benchmarks.people import PARTS
from curation.benchmarks.people_speed import on_one_core
from curation.benchmarks.people_tracks import bench_tracks, count_per_student_minute
from curation.benchmarks.people_workers import _count_cpu_seconds
from curation.render.truth import read_truth


def test_switches_are_counted_by_the_minutes_that_students_are_seen(tiny_lessons):
    clip, truth = tiny_lessons[0], read_truth(tiny_lessons[0])
    frames = np.array([index for index, _, _ in read_lesson(clip)])
    there = np.flatnonzero(np.isfinite(truth.boxes[frames]).all(axis=(0, 2)))

    def follow(person, other):
        who = np.where(np.arange(len(frames)) < len(frames) // 2, person, other)
        rows = {"boxes_xyxy": truth.boxes[frames, who], "pose_px": truth.pose[frames, who]}
        return PersonTrack(number=int(person), frames=frames, scores=np.ones(len(frames)), **rows)

    assert count_per_student_minute([follow(p, p) for p in there], clip) == 0
    a, b = there[:2]
    swapped = [follow(a, b), follow(b, a), *(follow(p, p) for p in there[2:])]
    minutes = np.isfinite(truth.boxes[frames]).all(axis=2).sum() / len(frames) * len(truth.boxes) / truth.fps / 60
    assert count_per_student_minute(swapped, clip) == pytest.approx(2 / minutes)


def test_a_lesson_is_read_at_the_times_that_preannotation_samples(tiny_lessons):
    times = np.array([seconds for _, seconds, _ in read_lesson(tiny_lessons[0])])
    assert len(times) > 6
    np.testing.assert_allclose(np.diff(times), 1 / 6, atol=0.05)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_one_core_and_then_all_of_them_again():
    before = os.sched_getaffinity(0)
    with on_one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_computed_seconds_leave_out_waiting():
    seconds = compare_side_by_side({"wait": lambda: time.sleep(0.2)}, rounds=2, clock=time.process_time)
    assert max(seconds["wait"]) < 0.1


def test_parts_are_there():
    assert {"speed", "workers", "memory", "ray", "tracks"} <= set(PARTS)
    assert PARTS.load("tracks") is bench_tracks


@pytest.mark.slow
def test_tracks_are_measured(bundle_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = bench_tracks(rounds=1, students=(6,), seconds=4.0)
    assert set(result.data["trackers"]) == {"landmarks", "bytetrack", "oc-sort"}
    assert result.data["switches"]["6"][0] < 3
    assert "6 students" in result.line


def test_cpu_seconds_of_ended_children_count():
    before = _count_cpu_seconds()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    assert 0.25 < _count_cpu_seconds() - before < 2
