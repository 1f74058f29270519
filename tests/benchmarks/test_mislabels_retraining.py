"""The retraining part of `curate bench mislabels`: its curves on data told by hand, and what it says of them."""

import numpy as np
import pytest
from click.testing import CliRunner

from curation.benchmarks import mislabels_retraining
from curation.benchmarks.mislabels_data import LabelledData
from curation.benchmarks.mislabels_peers import PEERS
from curation.benchmarks.mislabels_retraining import SHARES, Curve, compute_area, draw_curves, summarise_curves
from curation.cli import cli

RISING = (0.5, 0.55, 0.6, 0.7, 0.75, 0.8)


def make_curve(lift=0.0, **changes):
    f1 = {"default": tuple(np.add(RISING, lift)), "random": RISING, **dict.fromkeys(PEERS, tuple(np.add(RISING, 0.01)))}
    fields = {"noise": "symmetric 20 %", "cured_by": "removing", "seed": 0}
    return Curve(**(fields | changes), f1=f1)


def test_area_is_the_mean_height_over_the_share_reviewed():
    assert compute_area([0.7] * len(SHARES)) == pytest.approx(0.7)
    assert compute_area(SHARES) == pytest.approx(0.2)


def test_what_is_below_random_or_the_best_peer_is_missed():
    def say(lift):
        curves = [make_curve(lift, cured_by=way, seed=seed) for way in ("removing", "relabelling") for seed in (0, 1)]
        return summarise_curves(curves)

    good, middling, bad = say(0.02), say(0.005), say(-0.01)
    assert good.missed == ()
    assert len(middling.missed) == 2
    assert "retraining, removing, symmetric 20 %: area 0.6800, self-confidence 0.6850" in middling.missed
    assert len(bad.missed) == 4
    assert "removing what is wrong among the first 20 % raises macro-F1 from 0.520 to 0.720" in good.line
    assert any(row.startswith("  random") and "20% 0.700" in row for row in good.rows)
    assert good.data["areas"][0]["default"] == pytest.approx(0.695, abs=1e-4)


def test_curves_are_drawn_as_png(tmp_path):
    curves = [
        make_curve(cured_by=way, seed=seed, noise=noise) for way in ("removing", "relabelling") for seed in (0, 1) for noise in "ab"
    ]
    draw_curves(curves, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_finding_wrong_labels_helps_and_looking_elsewhere_does_not():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    features = (2.5 * np.eye(3, 5)[truth] + rng.normal(size=(400, 5))).astype(np.float32)
    parts = [
        LabelledData(features=features[rows], truth=truth[rows], groups=np.arange(200), judge="extra-trees")
        for rows in (slice(0, 200), slice(200, 400))
    ]
    labels = np.where(rng.random(200) < 0.4, (parts[0].truth + 1) % 3, parts[0].truth)
    trainer = mislabels_retraining._Trainer(taught=parts[0], unseen=parts[1], known={})
    wrong_first = np.argsort(labels == parts[0].truth, kind="stable")
    for way in ("removing", "relabelling"):
        found = mislabels_retraining._follow(trainer, labels, [wrong_first], way)
        nothing = mislabels_retraining._follow(trainer, labels, [wrong_first[::-1]], way)
        assert found[-1] > found[0] + 0.05
        assert nothing == (found[0],) * len(SHARES)
        assert compute_area(found) > compute_area(nothing)


def test_a_benchmark_without_curves_takes_no_out():
    result = CliRunner().invoke(cli, ["bench", "rank", "--out", "curves.png"])
    assert result.exit_code == 2
    assert "bench rank draws nothing" in result.output
