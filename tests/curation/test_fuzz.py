"""Damaged files: each is added or set aside with a reason, whatever is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest

from curation.benchmarks.people_fuzz import MUTATIONS, make_seeds, mutate_file, run_fuzz
from curation.media import probe_media


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return run_fuzz(tmp_path_factory.mktemp("fuzz"), n_files=40, seed=11)


def test_every_damaged_file_is_added_or_set_aside_with_a_reason(fuzzed):
    count, kinds = fuzzed
    assert count.unaccounted == []
    assert sorted([*count.added, *(name for name, _ in count.aside)]) == sorted(kinds)
    assert len(kinds) == 40
    assert set(kinds.values()) == set(MUTATIONS)
    for _, reason in count.aside:
        assert reason.strip()
        assert "\n" not in reason
        assert "Traceback" not in reason
    assert len(count.added) >= 5
    assert len(count.aside) >= 5


def test_what_was_added_keeps_its_promise(fuzzed):
    count, _ = fuzzed
    assert count.unreadable == []
    assert count.lost_frames > 0


def test_the_seeds_are_whole_and_damage_is_repeatable(tmp_path):
    paths = make_seeds(tmp_path)
    assert len(paths) >= 18
    for path in paths:
        info = probe_media(path)
        assert info.problem is None
        assert info.n_frames == (1 if info.is_image else 48)
    seeds = [path.read_bytes() for path in paths]
    for number in range(16):
        kind, data = mutate_file(number, seeds, seed=3)
        assert kind == list(MUTATIONS)[number % 8]
        assert mutate_file(number, seeds, seed=3) == (kind, data)
        assert data != seeds[number // 8]
    assert mutate_file(0, seeds, seed=4)[1] != mutate_file(0, seeds, seed=3)[1]


@pytest.mark.slow
def test_five_hundred_files():
    from curation.benchmarks.people_fuzz import bench_fuzz

    result = bench_fuzz(rounds=1, seed=int(np.random.default_rng(5).integers(1000)))
    assert result.missed == ()
    assert result.data["files"] == 500
    assert result.data["added"] + result.data["aside"] == 500
