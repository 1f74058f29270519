"""Normalisation: invariance, unseen points, and sides."""

import numpy as np
import pytest

from backends.behaviour.normalise import (
    UPPER_BODY,
    add_velocities,
    check_poses,
    list_nodes,
    mirror_nodes,
    normalise_poses,
    resample_frames,
)
from schemas.errors import InvalidField
from schemas.vocabulary import BLAZEPOSE_33


def test_centre_is_mid_shoulder_and_unit_is_shoulder_width():
    pose = np.zeros((1, 1, 33, 2), np.float32)
    pose[0, 0, 11], pose[0, 0, 12] = (300, 200), (200, 200)
    pose[0, 0, 23], pose[0, 0, 24] = (280, 300), (220, 300)
    out = normalise_poses(pose)
    np.testing.assert_allclose(out[0, 0, 11], (0.5, 0, 1), atol=1e-6)
    np.testing.assert_allclose(out[0, 0, 24], (-0.3, 1, 1), atol=1e-6)


def test_a_person_from_the_side_is_measured_by_the_torso():
    pose = np.zeros((1, 1, 33, 2), np.float32)
    pose[0, 0, 11], pose[0, 0, 12] = (251, 200), (249, 200)
    pose[0, 0, 23], pose[0, 0, 24] = (250, 350), (250, 350)
    np.testing.assert_allclose(normalise_poses(pose)[0, 0, 23], (0, 1.5, 1), atol=1e-5)


@pytest.mark.parametrize("n_nodes", [13, 17, 33])
def test_scale_and_place_drop_out(n_nodes, sequence_factory):
    pose = sequence_factory(8, n_groups=2, n_nodes=n_nodes, n_channels=4).pose
    other = pose.copy()
    other[..., :3] *= 2.5
    other[..., :2] += (70, 900)
    np.testing.assert_allclose(normalise_poses(other), normalise_poses(pose), atol=2e-4)


def test_unseen_points_are_zero_and_marked():
    pose = np.full((2, 3, 17, 3), np.nan, np.float32)
    pose[0, :, :5] = np.random.default_rng(0).uniform(0, 9, (3, 5, 3))
    pose[0, 1, 2, 0] = np.nan
    out = normalise_poses(pose)
    assert np.isfinite(out).all()
    assert (out[1] == 0).all()
    assert (out[0, 1, 2] == 0).all()
    assert out[0, :, :, -1].sum() == 14


def test_points_all_in_one_place_do_not_divide_by_zero():
    assert np.isfinite(normalise_poses(np.full((1, 2, 33, 4), 5, np.float32))).all()


def test_velocities_need_both_frames():
    features = np.zeros((1, 3, 1, 3), np.float32)
    features[0, :, 0, 0], features[0, :, 0, 2] = (1, 4, 9), (1, 1, 0)
    assert add_velocities(features)[0, :, 0, 3].tolist() == [0, 3, 0]


def test_resampling_takes_the_nearest_frames():
    features = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1)
    assert resample_frames(features, 3).ravel().tolist() == [0, 2, 4]
    assert resample_frames(features[:, :1], 3).ravel().tolist() == [0, 0, 0]


def test_upper_body_is_landmarks_1_to_24_and_mirrors_left_to_right():
    assert tuple(range(1, 25)) == UPPER_BODY
    assert list_nodes(17) == list(range(17))
    names = [BLAZEPOSE_33.nodes[i] for i in list_nodes(33)]
    mirrored = [names[i] for i in mirror_nodes(24)]
    assert mirrored[names.index("left_wrist")] == "right_wrist"
    assert mirrored[names.index("mouth_right")] == "mouth_left"
    assert sorted(mirrored) == sorted(names)
    assert mirror_nodes(5) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(("shape", "message"), [((2, 3, 4), "shape"), ((1, 0, 3, 2), "T, V >= 1"), ((1, 1, 3, 5), "C = 2, 3 or 4")])
def test_wrong_shapes_are_named(shape, message):
    with pytest.raises(InvalidField, match=message):
        check_poses(np.zeros(shape))
