"""`curate bench models`: the split, the table and the figures that are missed."""

import numpy as np
import pytest

from curation.benchmarks.models import (
    SCRATCH,
    Run,
    bench_models,
    count_parameters,
    describe_models,
    measure_latency,
    measure_model,
    split_lessons,
)
from curation.benchmarks.models_crossval import CrossRun, cut_keypoints, describe_crossval
from curation.render import simulate_poses
from schemas.vocabulary import JOINTS_13


def run(f1, **other):
    facts = {"random_f1": 0.95, "ece": 0.02, "n_params": 10, "latency_ms": 1.0, "train_s": 1.0} | other
    return Run(f1=f1, **facts)


def test_lessons_never_stand_on_both_sides_but_in_the_random_column():
    group = np.repeat([f"lesson-{i}" for i in range(18)], 10)
    grouped, leaky = (split_lessons(group, seed=3, random=random) for random in (False, True))
    assert grouped.sum() == leaky.sum() == 60
    assert not set(group[grouped]) & set(group[~grouped])
    assert len(set(group[leaky])) > 10


def test_a_model_is_measured_by_group_and_at_random(sequence_factory):
    from backends.behaviour import MODELS

    data = sequence_factory(160, n_groups=8, n_frames=6, seed=4)
    found = measure_model(MODELS.load("logreg"), data, seed=0)
    assert 0.4 < found.f1 <= 1
    assert 0.4 < found.random_f1 <= 1
    assert 0 <= found.ece < 0.5
    assert found.train_s > 0
    model = MODELS.load("logreg")().fit(data)
    assert count_parameters(model) == sum(array.size for array in model._arrays.values()) == found.n_params
    assert 0 < measure_latency(model, data.pose[:1], times=3) < 1000


def test_the_table_names_what_is_missed():
    found = {
        "lstm": [run(0.80), run(0.82)], "resnet1d": [run(0.85), run(0.85)], "drn-lstm": [run(0.84), run(0.84)],
        "default": [run(0.86, latency_ms=6.0), run(0.88, latency_ms=6.0)],
    }  # fmt: skip
    result = describe_models(found, [run(0.9, random_f1=np.nan)])
    assert result.missed == (
        "drn-lstm 0.840 is not above resnet1d 0.850",
        "default 0.870 is not 0.03 above resnet1d 0.850",
        "default takes 6.0 ms a tubelet, wanted 5",
        "cnn-lstm reaches 0.900 on three classes, wanted 0.95",
    )
    assert result.line == "models on rendered lessons, 2 rounds: best default with macro-F1 0.870"
    assert "0.810 ± 0.127" in result.rows[1]
    assert result.data["three"][0]["random_f1"] is None


def test_the_same_model_without_its_start_is_no_rival_and_the_table_says_what_differs():
    result = describe_models({"tcn": [run(0.90)], "default": [run(0.95)], SCRATCH: [run(0.94)]}, [])
    assert result.missed == ()
    assert "default, scratch" in result.rows[3]
    assert "trained on other rendered lessons" in result.rows[-1]
    assert "other rendered lessons" not in "".join(describe_models({"tcn": [run(0.90)]}, []).rows)


@pytest.mark.parametrize("values", [[0.5], [np.nan, 0.5]])
def test_one_round_or_no_random_column_has_no_interval(values):
    row = describe_models({"lstm": [run(0.7, random_f1=v) for v in values]}, []).rows[1]
    assert ("0.500" in row) == (len(values) == 1)


def test_hands_are_cut_from_drawn_lessons_for_every_sequence():
    from curation.benchmarks.models_cascade import _draw

    drawn = _draw(5, n_lessons=1, seconds=4.0)
    n = len(drawn["label"])
    assert 8 <= n <= 12
    assert drawn["pose"].shape == (n, 12, 33, 4)
    assert drawn["pictures"].shape == (n, 4, 48, 48, 3)
    assert drawn["pictures"].std(axis=(2, 3, 4)).min() > 3


def test_the_cascades_table_says_what_is_missed():
    from curation.benchmarks.models_cascade import CascadeRun, describe_cascade

    runs = [CascadeRun(told=told, phone=0.8, writing=0.7, hand=0.9, f1=0.8) for told in (0.95, 0.89)]
    result = describe_cascade(runs)
    assert result.missed == ("the cascade tells phone from writing in 0.890 of one round, wanted 0.9",)
    assert result.line == "cascade on rendered lessons, 2 rounds: tells phone from writing in 0.920, least 0.890"
    assert describe_cascade(runs[:1]).missed == ()
    assert len(result.rows) == 2


def test_the_table_of_slimming_says_what_is_missed():
    from curation.benchmarks.models_compress import SlimRun, describe_compress

    def slim(name, slim_f1, gone=0.86, time_gone=0.5, wanted=0.85):
        facts = {"name": name, "wanted": wanted, "whole_f1": 0.9, "slim_f1": slim_f1, "gone": gone, "time_gone": time_gone}
        return SlimRun(**facts, n_params=1234)

    found = [slim("drn-lstm", 0.9), slim("hand branch", 0.88), slim("drn-lstm", 0.896, time_gone=0.4)]
    result = describe_compress(
        found, [slim("drn-lstm", 0.85, gone=0.951, wanted=0.95), slim("drn-lstm", 0.9, gone=0.7, wanted=0.7)]
    )
    assert result.missed == (
        "drn-lstm: 45.0% of the time gone, wanted 47.4%",
        "hand branch: 2.0 points lost, wanted at most 0.5",
    )
    assert result.rows[0] == (
        "drn-lstm: 86.0% of the parameters (1,234 left) and 45.0% of the time gone, macro-F1 0.900 → 0.898; "
        "each round lost 0.0, 0.4"
    )
    assert [row[:18] for row in result.rows[2:]] == ["curve: drn-lstm: 7", "curve: drn-lstm: 9"]
    assert result.data["hand branch"][0]["slim_f1"] == 0.88


def test_networks_are_timed_in_turns():
    import torch

    from curation.benchmarks.models_compress import time_networks

    large, small = torch.nn.Linear(800, 800), torch.nn.Linear(800, 8)
    before, after = time_networks(large, small, torch.randn(256, 800), times=5)
    assert 0 < after < before


def cross(data, model, f1, **other):
    facts = {"seed": 0, "n": 100, "accuracy": f1, "seconds": 9.0} | other
    return CrossRun(data=data, model=model, f1=f1, **facts)


def test_crossval_names_the_file_on_which_default_is_below_trees_and_who_takes_too_long():
    runs = [
        cross("drawn", "default", 0.92), cross("drawn", "default", 0.96, seed=1), cross("drawn", "extra-trees", 0.80),
        cross("rows", "default", 0.98, seconds=500.0), cross("rows", "extra-trees", 1.0),
    ]  # fmt: skip
    result = describe_crossval(runs)
    assert result.missed == (
        "rows: default takes 500 s, wanted 480",
        "rows: default 0.9800 is below extra-trees 1.0000",
    )
    assert "default is 6.0 points of macro-F1 above extra-trees on average, -2.0 at least" in result.line
    assert "0.940 (0.920 to 0.960)" in result.rows[0]
    near = [cross("drawn", "default", 0.94), cross("drawn", "extra-trees", 0.90)]
    assert describe_crossval(near).missed == ("default is 4.0 points above extra-trees on average, wanted 5",)


def test_keypoints_are_cut_from_sequences(sequence_factory):
    data = simulate_poses(seed=1, lessons=2, seconds=12.0)
    cut = cut_keypoints(data, JOINTS_13, n_dims=2, most=40, seed=0)
    assert cut.pose.shape == (40, data.pose.shape[1], 13, 2)
    assert cut.skeleton is None
    nodes = [0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    whole = {row.tobytes() for row in data.pose[:, :, nodes, :2]}
    assert {row.tobytes() for row in cut.pose} <= whole


def test_crossval_runs_both_models_on_the_same_folds(sequence_factory, monkeypatch):
    data = sequence_factory(40, n_groups=5, n_frames=4, seed=2)
    monkeypatch.setattr("curation.benchmarks.models_crossval._list_files", lambda seed: {"rows": data})
    result = bench_models(rounds=1, parts=["crossval", "logreg", "extra-trees"])
    assert [row.split()[1] for row in result.rows] == ["logreg", "extra-trees"]
    assert "default" not in result.line
    assert all(0.3 < run["f1"] <= 1 and run["n"] == 40 for run in result.data["runs"])
