"""Close faces: truth of head and eyes, lids that close in the picture, small faces drawn as ever."""

import numpy as np
import pytest

from curation.render import RenderConfig
from curation.render.blinks import LENGTH, PAUSE, Blinks, sample_blinks
from curation.render.classroom import set_up
from curation.render.geometry import Camera, find_angles, rotate
from curation.render.paint import paint_frames
from curation.render.stage import observe, seed_for
from curation.render.truth import Truth, read_truth, write_truth

CLOSE = RenderConfig(seed=0, lessons=1, cameras=1, rows=1, columns=2, seconds=4.0, fps=12.0, size=(1280, 720), light="normal")


@pytest.fixture(scope="module")
def close():
    room, camera, lesson = set_up(CLOSE, 0, "front")
    times = np.arange(48) / 12
    truth, bodies = observe(lesson, room, camera, times, 12.0)
    return room, camera, lesson, truth, bodies


def test_angles_come_back_from_rotations():
    rng = np.random.default_rng(0)
    angles = rng.uniform(-80, 80, (50, 3))
    np.testing.assert_allclose(find_angles(rotate(*np.radians(angles).T)), angles, atol=1e-9)


def test_a_head_that_faces_the_camera_has_no_angles_wherever_it_is():
    camera = Camera(name="c", position=(0.3, 2.2, -1.0), target=(0.0, 1.0, 4.0), focal=900.0, size=(640, 360))
    points = np.array([[0.0, 1.0, 4.0], [2.0, 0.5, 6.0], [-3.0, 1.5, 2.0]])
    axes = camera.face_from(points)
    np.testing.assert_allclose(np.swapaxes(axes, 1, 2) @ axes, np.tile(np.eye(3), (3, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(axes), 1, atol=1e-12)
    px, _ = camera.project(points)
    left, _ = camera.project(points + 0.01 * axes[..., 0])
    up, _ = camera.project(points + 0.01 * axes[..., 1])
    assert (left[:, 0] > px[:, 0]).all()
    assert (up[:, 1] < px[:, 1]).all()


def test_truth_of_the_head_follows_the_nose(close):
    truth = close[3]
    nose, ears = truth.pose[:, :, 0, 0], truth.pose[:, :, [7, 8], 0].mean(axis=2)
    width = np.ptp(truth.pose[:, :, [7, 8], 0], axis=2)
    turned = np.abs(truth.head[..., 0]) > 10
    assert turned.any()
    assert (np.sign(nose - ears) == np.sign(truth.head[..., 0]))[turned].all()
    assert (width[np.abs(truth.head[..., 0]) < 15].min(initial=99)) > width[np.abs(truth.head[..., 0]) > 60].max(initial=0)


def test_a_close_camera_sees_larger_faces_from_their_own_height(close):
    from attrs import evolve

    from schemas.errors import InvalidField, UnknownName

    near = evolve(CLOSE, view="close")
    _, camera, _ = set_up(near, 0, "desk")
    assert camera.position[1] < 1.8 < close[1].position[1]
    room, camera, lesson = set_up(near, 0, "desk")
    truth, _ = observe(lesson, room, camera, np.arange(2) / 12, 12.0)
    assert np.isfinite(truth.eyes).all()
    with pytest.raises(UnknownName, match="view"):
        evolve(CLOSE, view="moon")
    with pytest.raises(InvalidField, match="cameras"):
        evolve(CLOSE, view="close", cameras=3)


def test_blinks_are_as_long_and_as_far_apart_as_they_should_be():
    blinks = sample_blinks(300.0, np.random.default_rng(3))
    assert 50 < len(blinks.start) < 130
    assert (blinks.length >= LENGTH[0]).all()
    assert (blinks.length <= LENGTH[1]).all()
    assert (np.diff(blinks.start) - blinks.length[:-1] >= PAUSE[0] - 1e-9).all()
    middles = blinks.start + blinks.length / 2
    assert blinks.open_at(middles).max() == 0
    assert blinks.open_at(blinks.start - 0.01).min() == 1
    assert Blinks(start=np.zeros(0), length=np.zeros(0)).open_at(np.arange(3.0)).tolist() == [1, 1, 1]


def test_eyes_are_known_of_close_faces_only(close):
    assert np.isfinite(close[3].eyes).all()
    far = RenderConfig(seed=0, lessons=1, cameras=1, rows=2, columns=3, seconds=1.0)
    room, camera, lesson = set_up(far, 0, "front")
    truth, _ = observe(lesson, room, camera, np.arange(3) / 12, 12.0)
    assert np.isnan(truth.eyes).all()
    assert np.isfinite(truth.head).all()


def test_closed_eyes_are_drawn_closed(close):
    from attrs import evolve

    room, camera, lesson, truth, bodies = close
    step = int(np.abs(truth.head[:, 1, 0]).argmin())
    one = [
        evolve(
            b,
            **{
                n: getattr(b, n)[step : step + 1]
                for n in ("points", "head", "head_turn", "torso_turn", "neck", "chest", "fists", "objects")
            },
        )
        for b in bodies
    ]
    still = evolve(truth, **{n: getattr(truth, n)[step : step + 1] for n in ("boxes", "pose", "behaviour", "head", "eyes")})
    pictures = []
    for opened in (1.0, 0.5, 0.0):
        given = evolve(still, eyes=np.full((1, 2), opened))
        pictures.append(next(paint_frames(lesson, room, camera, given, one, "normal", seed_for("light"))).astype(int))
    x, y = still.pose[0, 1, 2, :2].astype(int)
    eye = np.s_[y - 5 : y + 6, x - 9 : x + 10]
    opening = [np.abs(picture - pictures[2])[eye].mean() for picture in pictures]
    assert opening[0] > opening[1] > opening[2] == 0
    assert opening[0] > 5
    elsewhere = np.abs(pictures[0] - pictures[2]).sum(axis=2)
    assert (elsewhere > 0).mean() < 0.002


def test_truth_of_older_clips_has_neither_head_nor_eyes(tmp_path, close):
    truth = close[3]
    write_truth(tmp_path / "new.truth.npz", truth)
    again = read_truth(tmp_path / "new.truth.npz")
    np.testing.assert_array_equal(again.head, truth.head)
    np.testing.assert_array_equal(again.eyes, truth.eyes)
    np.savez(
        tmp_path / "old.truth.npz", boxes=truth.boxes, pose=truth.pose, behaviour=truth.behaviour, student=truth.student, fps=12.0
    )
    old = read_truth(tmp_path / "old.truth.npz")
    assert isinstance(old, Truth)
    assert np.isnan(old.head).all()
    assert np.isnan(old.eyes).all()
    assert old.eyes.shape == truth.behaviour.shape
