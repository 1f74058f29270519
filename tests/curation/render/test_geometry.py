import numpy as np
import pytest

from curation.render.geometry import Camera, Desk, find_hidden, rotate, solve_elbow, unit


def test_rotations_turn_bend_and_tilt_the_way_the_names_say():
    ahead, up = np.array([0.0, 0, -1]), np.array([0.0, 1, 0])
    zero, angle = np.zeros(1), np.full(1, np.pi / 2)
    assert rotate(angle, zero, zero)[0] @ ahead == pytest.approx([1, 0, 0])  # own left is +x
    assert rotate(zero, angle, zero)[0] @ ahead == pytest.approx([0, -1, 0])  # bent forward, looking down
    assert rotate(zero, angle, zero)[0] @ up == pytest.approx([0, 0, -1])
    assert rotate(zero, zero, angle)[0] @ up == pytest.approx([-1, 0, 0])  # tilted to the own right


def test_rotations_keep_lengths_and_angles():
    turns = rotate(*np.random.default_rng(0).uniform(-2, 2, (3, 50)))
    assert turns @ np.swapaxes(turns, 1, 2) == pytest.approx(np.broadcast_to(np.eye(3), (50, 3, 3)), abs=1e-12)
    assert np.linalg.det(turns) == pytest.approx(np.ones(50))


def test_elbow_keeps_bone_lengths_and_reaches_the_target():
    rng = np.random.default_rng(1)
    shoulder = rng.normal(0, 0.1, (40, 3))
    target = shoulder + unit(rng.normal(0, 1, (40, 3))) * rng.uniform(0.1, 0.5, (40, 1))
    elbow, wrist = solve_elbow(shoulder, target, np.tile([0.3, -1.0, 0.2], (40, 1)), 0.28, 0.25)
    assert wrist == pytest.approx(target, abs=1e-9)
    assert np.linalg.norm(elbow - shoulder, axis=1) == pytest.approx(np.full(40, 0.28))
    assert np.linalg.norm(wrist - elbow, axis=1) == pytest.approx(np.full(40, 0.25))


def test_a_target_out_of_reach_is_approached_on_its_line():
    _, wrist = solve_elbow(np.zeros((1, 3)), np.array([[3.0, 0, 0]]), np.array([[0.0, -1, 0]]), 0.28, 0.25)
    assert wrist[0] == pytest.approx([0.526, 0, 0])


def test_camera_projects_as_a_pinhole():
    camera = Camera(name="c", position=(0, 1, 0), target=(0, 1, 5), focal=500, size=(640, 360))
    px, depth = camera.project(np.array([[0, 1, 5], [1, 1, 5], [0, 2, 5.0]]))
    assert px == pytest.approx(np.array([[320, 180], [420, 180], [320, 80.0]]))
    assert depth == pytest.approx([5, 5, 5])


def test_desk_hides_what_is_under_its_top_and_behind_its_panel():
    camera = Camera(name="c", position=(0, 2, 0), target=(0, 1, 4), focal=500, size=(640, 360))
    desk = Desk(x1=-0.5, x2=0.5, z1=3.3, z2=3.8, top=0.72, floor=0)
    points = np.array([[0, 0.9, 4], [0, 0.4, 3.9], [0, 0.3, 3.6], [0, 0.75, 3.6], [2.0, 0.4, 3.9]])
    assert find_hidden(points, camera, desk).tolist() == [False, True, True, False, False]
