"""People in real photos and made-up videos, through the real networks."""

import numpy as np
import pytest

from backends.people import DETECTORS
from backends.people.base import PersonDetector
from backends.people.body import find_heads
from backends.people.people import PIPELINE, PeopleFinder
from backends.people.pose import PoseEstimator
from backends.people.tasks import open_task, to_task_image
from backends.people.tiles import TileDetector, plan_tiles
from schemas.errors import InvalidField, UnknownName

pytestmark = pytest.mark.usefixtures("bundle_folder")


@pytest.fixture(scope="module")
def detector(bundle_folder):
    with TileDetector() as detector:
        yield detector


@pytest.mark.parametrize("size", [(960, 540), (540, 960), (512, 512), (33, 500)])
@pytest.mark.parametrize("scale", [1.0, 0.5, 1 / 3])
def test_tiles_cover_the_frame_and_overlap(size, scale):
    tiles = plan_tiles(*size, scale, overlap=0.33)
    side = tiles[0, 2]
    assert side == scale * min(size)
    for axis in (0, 1):
        centres = np.unique(tiles[:, axis].round(6))
        assert centres[0] == pytest.approx(side / 2)
        assert centres[-1] == pytest.approx(size[axis] - side / 2)
        assert (np.diff(centres) <= side * 0.67 + 1e-6).all()


def test_one_person_in_the_photo_with_the_nose_in_the_face(detector, astronaut):
    found = detector.detect(astronaut)
    assert len(found) == 1
    assert found.scores[0] > 0.7
    nose, left_eye, right_eye, left_shoulder, right_shoulder = found.pose_px[0, [0, 2, 5, 11, 12], :2]
    assert np.hypot(*(nose - (222, 128))) < 15
    assert np.hypot(*(left_eye - (246, 103))) < 15
    assert np.hypot(*(right_eye - (204, 101))) < 15
    assert left_shoulder[0] > nose[0] > right_shoulder[0]
    assert min(left_shoulder[1], right_shoulder[1]) > nose[1]
    x1, y1, x2, y2 = found.boxes_xyxy[0]
    assert x1 < 150
    assert x2 > 290
    assert y1 < 60
    assert y2 > 420


def test_tasks_and_the_bare_networks_agree(detector, astronaut):
    task = open_task("PoseLandmarker", "pose")
    (landmarks,) = task.detect(to_task_image(astronaut)).pose_landmarks
    task.close()
    expected = np.array([(p.x, p.y) for p in landmarks]) * 512
    apart = np.linalg.norm(detector.detect(astronaut).pose_px[0, :13, :2] - expected[:13], axis=1)
    assert np.median(apart) < 12


def test_everybody_in_a_group_once(detector, group_photo):
    frame, noses = group_photo
    found = detector.detect(frame)
    assert len(found) == 4
    apart = np.linalg.norm(found.pose_px[:, None, 0, :2] - noses[None], axis=-1)
    assert sorted(apart.argmin(axis=1)) == [0, 1, 2, 3]
    assert apart.min(axis=1).max() < 15
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (40, 30, 3), (300, 20, 3), (240, 320, 3)])
def test_nobody_in_an_empty_image(detector, shape):
    image = np.random.default_rng(0).integers(100, 120, shape).astype(np.uint8)
    found = detector.detect(image)
    assert (len(found), found.pose_px.shape, found.boxes_xyxy.shape) == (0, (0, 33, 4), (0, 4))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 5), np.uint8), r"image: expected an array of shape \(any, any, 3\)"),
        (np.zeros((5, 5, 4), np.uint8), r"image: expected an array of shape"),
        (np.zeros((5, 5, 3), np.float32), r"image: expected 8 bits a channel"),
        (np.zeros((0, 5, 3), np.uint8), r"image: expected at least one pixel"),
    ],
)
def test_other_images_are_refused(detector, image, message):
    with pytest.raises(InvalidField, match=message):
        detector.detect(image)


def test_pose_of_a_given_box(astronaut):
    with PoseEstimator() as estimator:
        pose, scores = estimator.estimate(astronaut, np.array([[40, 10, 440, 512]]))
        assert pose.shape == (1, 33, 4)
        assert scores[0] > 0.7
        assert np.hypot(*(pose[0, 0, :2] - (222, 128))) < 15
        assert ((pose[..., 3] >= 0) & (pose[..., 3] <= 1)).all()
        empty = estimator.estimate(astronaut, np.zeros((0, 4)))
        assert (empty[0].shape, empty[1].shape) == ((0, 33, 4), (0,))
        with pytest.raises(InvalidField, match="finite boxes"):
            estimator.estimate(astronaut, np.array([[5, 5, 5, 9]]))


def test_registry_and_protocol(detector):
    assert isinstance(detector, PersonDetector)
    assert DETECTORS.load("tiles") is TileDetector
    with pytest.raises(UnknownName, match="unknown people detector 'yolo'; known: faces, mediapipe-object, onnx, ssd, tiles"):
        PeopleFinder(detector="yolo")


def pan(photo, n, step):
    """A video in which the photo moves to the right by `step` px a frame."""
    for i in range(n):
        frame = np.full((540, 760, 3), 150, np.uint8)
        frame[14:526, 40 + i * step : 552 + i * step] = photo
        yield i, i / 10, frame


def test_a_moving_person_is_one_track_that_follows(astronaut):
    with PeopleFinder() as finder:
        (track,) = finder.process(pan(astronaut, 12, 8))
        (again,) = finder.process(pan(astronaut, 12, 8))
    assert track.frames.tolist() == list(range(12))
    noses = track.pose_px[:, 0, :2]
    assert np.abs(noses - np.stack([262 + 8 * np.arange(12), np.full(12, 142)], axis=1)).max() < 18
    assert (track.boxes_xyxy[:, 2:] > track.boxes_xyxy[:, :2]).all()
    np.testing.assert_array_equal(track.pose_px, again.pose_px)
    assert PIPELINE.startswith("blazepose-tiles/")


def test_still_image_empty_video_and_nobody(astronaut):
    with PeopleFinder() as finder:
        (track,) = finder.process([(0, 0.0, astronaut)])
        assert track.frames.tolist() == [0]
        assert finder.process([]) == []
        assert finder.process((i, i / 5, np.full((120, 160, 3), 90, np.uint8)) for i in range(4)) == []


def test_who_is_hidden_for_a_moment_is_filled_and_marked(astronaut):
    frames = [(i, i / 5, np.full_like(astronaut, 120) if i in (4, 5, 6) else astronaut) for i in range(10)]
    with PeopleFinder() as finder:
        (track,) = finder.process(frames)
    assert track.frames.tolist() == list(range(10))
    assert np.flatnonzero(track.filled).tolist() == [4, 5, 6]
    assert (track.scores[track.filled] == 0).all()
    assert (track.pose_px[track.filled][..., 3] == 0).all()
    before, after = track.pose_px[3, :, :2], track.pose_px[7, :, :2]
    for row, share in ((4, 0.25), (5, 0.5), (6, 0.75)):
        np.testing.assert_allclose(track.pose_px[row, :, :2], before + share * (after - before), atol=1e-3)
    assert np.linalg.norm(after[0] - before[0]) < 0.1 * find_heads(track.pose_px[3:4])[0, 2]


def test_who_comes_in_is_found_soon_though_the_room_was_still(astronaut):
    import cv2

    empty = np.full((400, 600, 3), 150, np.uint8)
    busy = empty.copy()
    busy[100:400, 200:500] = cv2.resize(astronaut, (300, 300), interpolation=cv2.INTER_AREA)
    with PeopleFinder(detect_every=4, detect_rarest=600) as finder:
        (track,) = finder.process((i, i / 3, empty if i < 9 else busy) for i in range(18))
    assert track.frames.tolist() == [14, 15, 16, 17]


def test_who_is_found_by_a_later_look_is_followed_back_to_where_they_were_first_in_sight(astronaut):
    empty = np.full_like(astronaut, 120)
    with PeopleFinder() as finder:
        (track,) = finder.process((i, i / 6, empty if i < 2 else astronaut) for i in range(12))
        (whole,) = finder.process((i, i / 6, astronaut) for i in range(12))
    assert track.frames.tolist() == list(range(2, 12))
    assert not track.filled.any()
    assert np.abs(track.pose_px[0, :13, :2] - whole.pose_px[2, :13, :2]).max() < 15


def test_parts_are_given_out_once_two_looks_agree(astronaut):
    with PeopleFinder() as finder:
        following = finder.follow()
        taken = []
        for i in range(12):
            following.look(i, i / 6, astronaut)
            taken += [(i, part.frames.tolist()) for part in following.take()]
    assert taken[0] == (6, [0, 1, 2, 3])
    assert [frame for _, frames in taken for frame in frames] == list(range(9))


@pytest.mark.parametrize("tracker", ["bytetrack", "oc-sort"])
def test_box_trackers_follow_detections_of_every_frame(astronaut, tracker):
    with PeopleFinder(tracker=tracker, detect_every=600) as finder:
        (track,) = finder.process(pan(astronaut, 5, 8))
    assert track.frames.tolist()[-4:] == [1, 2, 3, 4]
    assert np.abs(np.diff(track.pose_px[:, 0, 0]) - 8).max() < 8


def test_an_unknown_tracker_is_refused():
    with pytest.raises(UnknownName, match="unknown people tracker 'sort'; known: bytetrack, landmarks, oc-sort"):
        PeopleFinder(tracker="sort")


def test_who_leaves_is_absent_from_then_on(astronaut):
    frames = [(i, i / 5, astronaut if i < 6 else np.full_like(astronaut, 120)) for i in range(12)]
    with PeopleFinder() as finder:
        (track,) = finder.process(frames)
    assert track.frames.tolist() == [0, 1, 2, 3, 4, 5]
