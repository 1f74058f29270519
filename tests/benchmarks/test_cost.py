"""The cost model: its formula, and that the document says what the formula gives."""

import re
from pathlib import Path

import pytest

from curation.benchmarks.cost import Rates, estimate_cost
from schemas.errors import InvalidField

DOCUMENT = (Path(__file__).parents[2] / "docs" / "cost-model.md").read_text("utf-8")
NAMES = ("look", "detection", "frame", "row", "row_bytes", "tubelet_bytes")


def read_rates():
    return Rates(**{name: float(re.search(rf"\| `{name}` \| ([\d.]+)", DOCUMENT).group(1)) for name in NAMES})


def test_every_term_is_what_it_says():
    rates = Rates(look=0.02, detection=2.0, frame=0.01, row=0.001, row_bytes=1000, tubelet_bytes=500)
    cost = estimate_cost(rates, minutes=10, cameras=6, students=5, fps=2, video_fps=25, detect_every=4)
    assert cost.looks == pytest.approx(3600 * 2 * 5 * 0.02 / 3600)
    assert cost.detections == pytest.approx(900 * 2 / 3600)
    assert cost.decoding == pytest.approx(3600 * 25 * 0.01 / 3600)
    assert cost.recording == pytest.approx(36_000 * 0.001 / 3600)
    assert cost.gigabytes == pytest.approx((36_000 * 1000 + 1800 * 5 * 500) / 1e9)
    assert cost.core_hours == pytest.approx(0.2 + 0.5 + 0.25 + 0.01)
    with pytest.raises(InvalidField, match="detect_every"):
        estimate_cost(rates, minutes=10, cameras=1, students=5, detect_every=0)


@pytest.mark.parametrize(("row", "settings"), [(0, {}), (1, {"fps": 3.0}), (2, {"fps": 3.0, "video_fps": 12.5})])
def test_the_document_says_what_the_formula_gives(row, settings):
    lines = [line for line in DOCUMENT.splitlines() if re.match(r"\| \d samples", line)]
    told = [float(cell) for cell in lines[row].strip("| ").split("|")[1:]]
    cost = estimate_cost(read_rates(), minutes=6000, cameras=7, students=30, **settings)
    computed = [cost.looks, cost.detections, cost.decoding, cost.recording, cost.core_hours, cost.gigabytes]
    assert told == pytest.approx(computed, abs=0.51)
