"""The parts of `bench vision` that take no training, and what the others are given."""

import numpy as np
import pytest

from curation.benchmarks import vision_lessons
from curation.benchmarks.vision import PARTS, bench_vision
from curation.benchmarks.vision_faces import compute_separation
from schemas.errors import UnknownName


def test_tired_students_and_looks_aside_are_told():
    result = bench_vision(rounds=1, parts=["fatigue"])
    assert result.missed == ()
    assert result.data["fatigue"]["tired"][0] >= 0.9
    assert result.rows[0] == "-- fatigue"
    with pytest.raises(UnknownName, match="part of `bench vision`"):
        bench_vision(rounds=1, parts=["smell"])
    assert all(callable(PARTS.load(name)) for name in PARTS)


def test_lessons_are_drawn_once_and_low_light_is_darker_with_the_same_poses(tmp_path, monkeypatch):
    monkeypatch.setattr(vision_lessons, "CACHE", tmp_path)
    options = {"seed": 5, "lessons": 1, "seconds": 4.0, "size": 24}
    lit, dim = (vision_lessons.draw_lessons(light=light, **options) for light in ("normal", "dim"))
    assert lit.crops.shape == (len(lit), 4, 24, 24, 3)
    assert len(lit) >= 8
    np.testing.assert_array_equal(lit.pose, dim.pose)
    assert lit.id.tolist() == dim.id.tolist()
    assert dim.crops.mean() < 0.7 * lit.crops.mean()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    np.testing.assert_array_equal(vision_lessons.draw_lessons(light="dim", **options).crops, dim.crops)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written


def test_separation_is_how_often_one_person_is_nearer():
    same = np.array([True, True, False, False])
    assert compute_separation(np.array([0.1, 0.2, 0.5, 0.9]), same) == 1
    assert compute_separation(np.array([0.1, 0.6, 0.5, 0.9]), same) == 0.75


def test_an_engine_that_does_not_run_here_has_no_time():
    from curation.benchmarks.vision_faces import _time

    def fail():
        raise RuntimeError("no compiler")

    assert _time(fail) is None
    assert _time(lambda: sum(range(20_000))) > 0
