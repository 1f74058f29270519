"""Regions: the way to a crop and back is exact, rotation included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.people.regions import crop_region, narrow_regions, region_from_points, regions_from_boxes, to_frame, turn_upright


def test_region_from_points_turns_the_body_upright():
    regions = region_from_points(np.array([[100.0, 200.0], [0.0, 0.0]]), np.array([[100.0, 120.0], [30.0, 0.0]]))
    np.testing.assert_allclose(regions[0], [100, 200, 200, 0], atol=1e-9)
    np.testing.assert_allclose(regions[1], [0, 0, 75, np.pi / 2], atol=1e-9)


def test_corners_of_an_upright_region_come_back_to_the_frame():
    region = np.array([50.0, 40.0, 20.0, 0.0])
    np.testing.assert_allclose(to_frame([[0, 0], [256, 256], [128, 128]], region, 256), [[40, 30], [60, 50], [50, 40]], atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 0.5, -1.2, np.pi])
def test_a_spot_in_the_frame_is_found_in_the_crop_and_comes_back(angle):
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[80:83, 150:153] = 255
    region = np.array([140.0, 90.0, 64.0, angle])
    crop = crop_region(frame, region, 128)[..., 0].astype(float)
    rows, columns = np.mgrid[:128, :128] + 0.5
    middle = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
    np.testing.assert_allclose(to_frame(middle, region, 128), [151.5, 81.5], atol=0.05)


def test_outside_of_the_frame_is_black():
    crop = crop_region(np.full((10, 10, 3), 200, np.uint8), np.array([0.0, 0.0, 20.0, 0.0]), 20)
    assert crop[:9, :9].max() == 0
    assert crop[11:, 11:].min() == 200


def test_boxes_give_a_whole_and_an_upper_body():
    whole, upper = regions_from_boxes(np.array([[10.0, 20.0, 50.0, 120.0]]))
    np.testing.assert_allclose(whole, [[30, 70, 125, 0]])
    np.testing.assert_allclose(upper, [[30, 130, 300, 0]])


def test_narrow_regions_move_to_the_shoulders():
    np.testing.assert_allclose(narrow_regions(np.array([[0.0, 100.0, 50.0, 0.3]]), np.array([[0.0, 0.0]])), [[0, 60, 40, 0.3]])


def test_turned_vectors_agree_with_turned_points():
    region = np.array([50.0, 40.0, 64.0, 0.7])
    frame = to_frame([[32, 32], [42, 32], [32, 37]], region, 64)
    turned = turn_upright(np.array([[10.0, 0, 3], [0, 5, -2]]), region)
    np.testing.assert_allclose(turned, np.column_stack([frame[1:] - frame[0], [3, -2]]), atol=1e-9)


@given(
    st.floats(60, 240), st.floats(60, 140), st.floats(-np.pi, np.pi), st.floats(50, 220), st.sampled_from([64, 192, 256]),
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_spot_in_any_region_comes_back_to_a_tenth_of_a_pixel(x, y, angle, size, side, off):
    region = np.array([x, y, size, angle])
    spot = np.array([x, y]) + size * np.array(off)
    rows, columns = np.mgrid[:200, :300] + 0.5
    light = 250 * np.exp(-((columns - spot[0]) ** 2 + (rows - spot[1]) ** 2) / (2 * 4.0**2))
    crop = crop_region(np.repeat(np.rint(light)[..., None], 3, axis=2).astype(np.uint8), region, side)[..., 0].astype(float)
    inside = (spot > 14).all() and spot[0] < 286 and spot[1] < 186
    within = np.abs(np.array(off)).max() * size + 14 * 1.5 < size / 2
    if inside and within:
        rows, columns = np.mgrid[:side, :side] + 0.5
        middle = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
        assert np.linalg.norm(to_frame(middle, region, side) - spot) < 0.1
