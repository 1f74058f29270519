"""Head angles: exact on a turned model of a face, plausible on a photo, mirrored with the picture."""

import numpy as np
import pytest

from backends.people.face import FaceEstimator, FaceMesh, regions_from_poses
from backends.people.head import _PAIRS, compute_head_angles, compute_pose_yaw
from backends.people.tiles import TileDetector
from curation.render.geometry import rotate
from schemas.errors import InvalidField


def make_face(yaw, pitch, roll):
    """478 points of a symmetric face, hairline above the chin, turned by angles in degrees, in px of a picture."""
    rng = np.random.default_rng(0)
    face = np.zeros((478, 3))
    half = np.column_stack([rng.uniform(-40, -5, 12), rng.uniform(-50, 50, 12), rng.uniform(-30, 30, 12)])
    face[_PAIRS[0]], face[_PAIRS[1]] = half, half * [-1, 1, 1]
    face[10], face[152] = (0, 60, 0), (0, -60, 0)
    turn = rotate(*np.radians([yaw, pitch, roll]))
    return (face @ turn.T) * [1, -1, 1] + [300, 200, 0]


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (-50, 0, 0), (0, 40, 0), (0, -25, 0), (0, 0, 35), (40, -20, 15), (-35, 30, -60)]
)
def test_angles_of_a_turned_face_come_back(angles):
    np.testing.assert_allclose(compute_head_angles(make_face(*angles)[None])[0], angles, atol=1e-9)


@pytest.mark.parametrize("yaw", [0, 20, -45, 80, -100])
def test_yaw_of_a_pose_is_that_of_nose_and_ears(yaw):
    head = np.zeros((33, 3))
    head[0], head[7], head[8] = (0, -10, -75), (50, 0, 0), (-50, 0, 0)
    pose = np.zeros((2, 33, 4))
    pose[0, :, :3] = 3 * (head @ rotate(*np.radians([yaw, 0.0, 0.0])).T) * [1, -1, 1] + [200, 100, 0]
    pose[1] = np.nan
    found = compute_pose_yaw(pose)
    assert found[0] == pytest.approx(yaw, abs=1e-6)
    assert np.isnan(found[1])


def test_faces_not_seen_have_no_angles_and_other_shapes_are_refused():
    faces = np.stack([make_face(10, 0, 0), np.full((478, 3), np.nan)])
    angles = compute_head_angles(faces)
    assert angles[0, 0] == pytest.approx(10)
    assert np.isnan(angles[1]).all()
    with pytest.raises(InvalidField, match="points_px"):
        compute_head_angles(np.zeros((478, 3)))
    assert compute_head_angles(np.zeros((0, 478, 3))).shape == (0, 3)


@pytest.mark.usefixtures("bundle_folder")
def test_the_astronaut_looks_almost_into_the_camera_and_its_mirror_image_the_other_way(astronaut):
    with FaceEstimator() as estimator:
        angles = []
        for image in (astronaut, np.ascontiguousarray(astronaut[:, ::-1])):
            points, _ = estimator.estimate(image, estimator.detect(image)[0])
            angles.append(compute_head_angles(points)[0])
    assert np.abs(angles[0][0]) < 20
    assert np.abs(angles[0][1]) < 15
    np.testing.assert_allclose(angles[1], angles[0] * [-1, 1, -1], atol=4)
    assert np.abs(angles[0][2]) < 20


@pytest.mark.usefixtures("bundle_folder")
def test_a_turned_picture_turns_points_and_looks(astronaut):
    turned = np.ascontiguousarray(np.rot90(astronaut, -1))
    with TileDetector() as detector, FaceMesh() as mesh:
        pose = detector.detect(astronaut).pose_px[:1]
        there = pose.copy()
        there[..., 0], there[..., 1] = 512 - pose[..., 1], pose[..., 0]
        upright = mesh.estimate_regions(astronaut, regions_from_poses(pose))[0]
        sideways = mesh.estimate_regions(turned, regions_from_poses(there))[0]
    back = np.stack([sideways[0, :, 1], 512 - sideways[0, :, 0]], axis=1)
    assert np.abs(back - upright[0, :, :2]).max() < 0.5
    x, y = _look(compute_head_angles(upright)[0])
    np.testing.assert_allclose(_look(compute_head_angles(sideways)[0]), (-y, x), atol=0.02)


def _look(angles):
    """Return where a head looks, in the picture: right and down."""
    yaw, pitch = np.radians(angles[:2])
    return np.sin(yaw) * np.cos(pitch), np.sin(pitch)
