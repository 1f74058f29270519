"""Whoever sits still is not looked at again; whoever moves a little, or may have, is."""

import numpy as np
import pytest
from fixtures_people import as_poses, make_pose

from backends.people.box_tracker import ByteTracker
from backends.people.still import measure_movement
from backends.people.tracker import Tracker

RATE = 6


def draw_cloth(height, width, seed=0, contrast=1.0):
    """A picture with structure of all sizes, (height, width) float32."""
    import cv2

    rng = np.random.default_rng(seed)
    picture = sum(
        cv2.resize(rng.normal(0, 12, (height // step + 2, width // step + 2)), (width, height), interpolation=cv2.INTER_CUBIC)
        for step in (4, 9, 23)
    )
    return (110 + contrast * np.asarray(picture)).astype(np.float32)


def shift(picture, dx, dy):
    import cv2

    height, width = picture.shape
    return cv2.warpAffine(
        picture, np.array([[1, 0, dx], [0, 1, dy]], float), (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def as_image(picture):
    return np.repeat(np.clip(np.round(picture), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


class Looks:
    """A landmark network that finds everybody where they were asked for, and counts the looks at each."""

    def __init__(self, *poses, score=0.9):
        self.poses, self.score, self.asked = np.stack(poses), score, []

    def __call__(self, regions, covers):
        hips = self.poses[:, [23, 24], :2].mean(axis=1)
        rows = [int(np.linalg.norm(hips - region[:2], axis=1).argmin()) for region in regions]
        self.asked.append(sorted(rows))
        return as_poses(*self.poses[rows], score=self.score) if rows else as_poses()


def follow(images, looks, rate=RATE):
    """Follow everybody through the images, the first a detection; return of each later frame who was looked at, and the tracks."""
    tracker = Tracker(960, 540, lost_after=2)
    tracker.join(0, 0.0, as_poses(*looks.poses))
    for i, image in enumerate(images[1:], 1):
        tracker.carry(i, i / rate, looks, image)
    return looks.asked, tracker.finish(least_frames=2, least_confirmed=0.1)


@pytest.mark.parametrize("contrast", [1.0, 0.3])
@pytest.mark.parametrize(("dx", "dy"), [(0.2, 0.0), (0.0, 0.5), (0.6, -0.6)])
def test_movement_is_told_in_pixels_at_any_contrast(dx, dy, contrast):
    picture = draw_cloth(80, 60, contrast=contrast)
    moved = measure_movement(picture, shift(picture, dx, dy))
    assert 0.6 * np.hypot(dx, dy) < moved < 1.5 * np.hypot(dx, dy)


def test_the_patch_that_moves_most_counts_and_nothing_is_no_movement():
    picture = draw_cloth(80, 60)
    assert measure_movement(picture, picture) == 0
    now = picture.copy()
    now[50:62, 30:42] = shift(picture, 0.8, 0)[50:62, 30:42]
    assert measure_movement(picture, now) > 0.35


def test_what_is_no_movement_counts_as_much():
    picture, rng = draw_cloth(80, 60), np.random.default_rng(3)
    assert measure_movement(picture, picture + 12) > 1
    assert measure_movement(picture, (picture + rng.normal(0, 15, picture.shape)).astype(np.float32)) > 1
    flat = np.full((80, 60), 90, np.float32)
    assert measure_movement(flat, (flat + rng.normal(0, 1, flat.shape)).astype(np.float32)) > 1


def test_somebody_still_is_looked_at_three_times_then_once_in_more_than_half_a_second():
    image = as_image(draw_cloth(540, 960))
    asked, (track,) = follow([image] * 14, Looks(make_pose(x=300, y=200)))
    assert [bool(rows) for rows in asked] == [True] * 3 + [False] * 3 + [True] + [False] * 3 + [True] + [False] * 2
    assert track.frames.tolist() == list(range(14))
    assert not track.filled.any()
    assert (track.pose_px == track.pose_px[0]).all()
    np.testing.assert_allclose(track.scores, 0.9)


def test_frames_far_apart_are_all_looked_at():
    image = as_image(draw_cloth(540, 960))
    asked, _ = follow([image] * 8, Looks(make_pose(x=300, y=200)), rate=1)
    assert asked == [[0]] * 7


def test_a_hand_that_moves_by_two_pixels_of_the_network_is_looked_at_at_once():
    picture = draw_cloth(540, 960)
    looks = Looks(make_pose(x=300, y=200))
    step = 2 * as_poses(make_pose(x=300, y=200)).regions[0, 2] / 256
    now = picture.copy()
    now[300:324, 266:290] = shift(picture, step, 0)[300:324, 266:290]
    asked, _ = follow([as_image(picture)] * 5 + [as_image(now)] * 2, looks)
    assert [bool(rows) for rows in asked] == [True, True, True, False, True, False]


def test_slow_movement_adds_up_until_it_is_looked_at():
    picture = draw_cloth(540, 960)
    looks = Looks(make_pose(x=300, y=200))
    step = 0.45 * as_poses(make_pose(x=300, y=200)).regions[0, 2] / 256
    images = [as_image(picture)] * 3 + [as_image(shift(picture, step * i, 0)) for i in range(7)]
    asked, _ = follow(images, looks)
    assert [bool(rows) for rows in asked] == [True, True, True, False, False, True, False, False, True]


def test_a_noisy_camera_is_looked_at_in_every_frame():
    rng, picture = np.random.default_rng(1), draw_cloth(540, 960, contrast=0.4)
    images = [as_image(picture + rng.normal(0, 12, picture.shape)) for _ in range(9)]
    asked, _ = follow(images, Looks(make_pose(x=300, y=200)))
    assert asked == [[0]] * 8


def test_others_move_on_while_one_is_still():
    picture = draw_cloth(540, 960)
    images = [picture.copy() for _ in range(7)]
    for i, image in enumerate(images):
        image[100:400, 600:900] = shift(picture, 4 * i, 0)[100:400, 600:900]
    asked, tracks = follow([as_image(image) for image in images], Looks(make_pose(x=200, y=200), make_pose(x=750, y=200)))
    assert asked == [[0, 1]] * 3 + [[1]] * 3
    assert [len(track.frames) for track in tracks] == [7, 7]


def test_a_neighbour_who_begins_to_be_painted_over_or_is_elsewhere_brings_a_look():
    image = as_image(draw_cloth(540, 960))
    own, other = make_pose(x=300, y=200), make_pose(x=420, y=220)
    tracker, looks = Tracker(960, 540, lost_after=2), Looks(own, other)
    tracker.join(0, 0.0, as_poses(own))
    for i in range(1, 5):
        tracker.carry(i, i / RATE, looks, image)
    tracker.join(4, 4 / RATE, as_poses(own, other))
    tracker.carry(5, 5 / RATE, looks, image)
    assert looks.asked == [[0], [0], [0], [], [0, 1]]


def test_whoever_is_hardly_seen_is_looked_at_in_every_frame():
    image = as_image(draw_cloth(540, 960))
    asked, (track,) = follow([image] * 8, Looks(make_pose(x=300, y=200), score=0.4))
    assert asked == [[0]] * 7
    assert len(track.frames) == 8


def test_without_the_picture_everybody_is_looked_at_and_box_trackers_do_not_mind_it():
    looks = Looks(make_pose(x=300, y=200))
    assert follow([None] * 8, looks)[0] == [[0]] * 7
    ByteTracker(960, 540, lost_after=2).carry(0, 0.0, looks, as_image(draw_cloth(540, 960)))


def test_whose_last_frame_is_taken_back_is_looked_at():
    image = as_image(draw_cloth(540, 960))
    looks = Looks(make_pose(x=300, y=200))
    tracker = Tracker(960, 540, lost_after=2)
    tracker.join(0, 0.0, as_poses(*looks.poses))
    for i in range(1, 5):
        tracker.carry(i, i / RATE, looks, image)
    tracker._live[0].go_home()
    tracker.carry(5, 5 / RATE, looks, image)
    assert looks.asked == [[0], [0], [0], [], [0]]


@pytest.mark.parametrize("every", [1, 4])
def test_parts_taken_on_the_way_change_nothing(every):
    picture = draw_cloth(540, 960)
    images = [as_image(shift(picture, 1.2 * (i // 5), 0)) for i in range(20)]
    whole_asked, (whole,) = follow(images, Looks(make_pose(x=300, y=200)))
    looks, tracker, parts = Looks(make_pose(x=300, y=200)), Tracker(960, 540, lost_after=2), []
    tracker.join(0, 0.0, as_poses(*looks.poses))
    for i, image in enumerate(images[1:], 1):
        tracker.carry(i, i / RATE, looks, image)
        if i % every == 0:
            parts += tracker.settle(least_frames=2, least_confirmed=0.1)
    parts += tracker.finish(least_frames=2, least_confirmed=0.1)
    assert looks.asked == whole_asked
    assert len(parts) > 2
    np.testing.assert_array_equal(np.concatenate([part.frames for part in parts]), whole.frames)
    np.testing.assert_array_equal(np.concatenate([part.pose_px for part in parts]), whole.pose_px)
    np.testing.assert_array_equal(np.concatenate([part.scores for part in parts]), whole.scores)
