"""What the networks' outputs are turned into."""

import numpy as np
import pytest

from backends.people.networks import _refine


def make_heat(row, column, *, sure=3.0):
    """Heatmaps (64, 64, 39) of logits with a symmetric bump on one cell, the same for every point."""
    y, x = np.mgrid[:64, :64]
    bump = sure - 4.0 * np.hypot(y - row, x - column)
    return np.repeat(bump[..., None], 39, axis=2).astype(np.float32)


def test_points_move_to_the_middle_of_their_bump():
    points = np.full((39, 2), (20.9 / 64, 31.2 / 64))
    np.testing.assert_allclose(_refine(points, make_heat(30, 21)) * 64, np.full((39, 2), (21, 30)), atol=0.02)


def test_only_the_cells_close_by_count():
    heat = make_heat(30, 21) + 0.0
    heat[50:, 50:] = 9.0
    points = np.full((39, 2), (21.5 / 64, 30.5 / 64))
    np.testing.assert_allclose(_refine(points, heat) * 64, np.full((39, 2), (21, 30)), atol=0.02)


@pytest.mark.parametrize(("place", "sure"), [((21.5, 30.5), -0.1), ((70.0, 30.5), 3.0), ((-2.0, 30.5), 3.0)])
def test_points_stay_where_the_heatmap_is_unsure_or_ends(place, sure):
    points = np.full((39, 2), np.array(place) / 64)
    assert (_refine(points, make_heat(30, 21, sure=sure)) == points).all()


def test_at_the_border_only_cells_of_the_heatmap_count():
    points = np.full((39, 2), (0.5 / 64, 0.5 / 64))
    heat = make_heat(0, 0)
    weights = 1 / (1 + np.exp(-heat[:4, :4, 0].astype(np.float64)))
    expected = (weights.sum(axis=0) @ np.arange(4)) / weights.sum()
    np.testing.assert_allclose(_refine(points, heat) * 64, np.full((39, 2), expected), atol=1e-4)
