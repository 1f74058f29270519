"""`curate bench`: what was wanted and not reached is said; parts are chosen by name."""

import json

import pytest
from fixtures_media import run_curate

from curation.benchmarks import compare_side_by_side, describe_spread
from curation.benchmarks.loop import describe_loops
from curation.benchmarks.rank import bench_rank


def _shown(precision, before, after):
    return {
        "person_recall": 0.98,
        "review": {"precision": precision, "k": 50},
        "f1": {"before": [before - 0.01, before + 0.01], "after": [after], "next": [0.9]},
        "seconds": {"a": 60.0, "b": 30.0},
    }


def test_loops_that_hold_and_that_do_not():
    result = describe_loops({0: _shown(0.8, 0.7, 0.8), 1: _shown(0.6, 0.8, 0.75), 2: _shown(0.7, 0.8, 0.8)})
    assert result.rows[0] == (
        "seed 0: people 0.980; wrong among the k = 50 most suspect 0.800; "
        "macro-F1 0.700 before, 0.800 after curation, 0.900 later; 1.5 min"
    )
    assert [line.split(":")[0] for line in result.missed] == ["seed 1", "seed 1", "seed 2"]
    assert "P@k 0.700 (0.600 to 0.800)" in result.line
    assert "gained by curation 0.000 (-0.050 to 0.100)" in result.line


def test_sides_alternate_and_the_spread_is_told():
    order = []
    seconds = compare_side_by_side({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3)
    assert order == ["a", "b"] * 3
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert describe_spread([3.0, 1.0, 2.0], 1) == "2.0 (1.0 to 3.0)"


def test_the_ranking_is_timed_beside_its_peer():
    pytest.importorskip("cleanlab")
    done = run_curate("bench", "rank", "--part", "probabilities", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["n"] == 1_000_000
    assert set(told["medians"]) == {"curate rank", "cleanlab find_label_issues", "cleanlab quality scores"}
    assert 100 < told["peak_mib"] < 1024


def test_the_ranking_with_features_is_timed_in_processes_of_their_own():
    result = bench_rank(rounds=2, n=3_000, parts=["features"])
    told = result.data["features"]
    assert len(told["seconds"]) == 2
    assert min(told["seconds"]) > 0
    assert told["peak_mib"] > 50
    assert "with 128 features" in result.line


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["bench", "people", "--part", "nothing"], 1, "part of `bench people`"),
        (["bench", "rank", "--part", "nothing"], 1, "part of `bench rank`"),
        (["bench", "review", "--part", "x"], 2, "has no parts"),
        (["bench", "everything"], 2, "'everything' is not one of"),
    ],
)
def test_unknown_names_are_one_line(words, code, line):
    done = run_curate(*words)
    assert done.returncode == code
    assert line in done.stderr
