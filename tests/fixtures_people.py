"""Photos with people, and the bundles that the tests of people need."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def astronaut():
    """A photo of one person, (512, 512, 3): nose near (222, 128), eyes near (204, 101) and (246, 103)."""
    skimage_data = pytest.importorskip("skimage.data")
    return skimage_data.astronaut()


@pytest.fixture(scope="session")
def group_photo(astronaut):
    """The astronaut four times in one frame of 960 x 540, with the places of the noses (4, 2) px."""
    import cv2

    frame = np.full((540, 960, 3), 150, np.uint8)
    noses = []
    for left, top, side in ((30, 20, 220), (360, 10, 240), (700, 40, 200), (200, 290, 250)):
        frame[top : top + side, left : left + side] = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_AREA)
        noses.append((left + 222 * side / 512, top + 128 * side / 512))
    return frame, np.array(noses)


@pytest.fixture(scope="session")
def bundle_folder():
    """The folder of the pulled bundles; tests that need them are skipped with a reason where they cannot be had."""
    from backends.people.bundles import find_folder, pull_bundles
    from schemas.errors import ModelError

    try:
        pull_bundles()
    except ModelError as error:
        pytest.skip(f"no bundles: {error}")
    return find_folder()


@pytest.fixture(scope="session")
def object_boxes(bundle_folder):
    """The network of the detector ``ssd``; tests that need it are skipped with a reason where it cannot be had."""
    from backends.people.bundles import find_bundle, pull_bundles
    from schemas.errors import ModelError

    try:
        pull_bundles(extras=["object-boxes"])
    except ModelError as error:
        pytest.skip(f"no object detector: {error}")
    return find_bundle("object-boxes")


def make_pose(x=200.0, y=100.0, head=40.0, *, stands=False):
    """A frontal body: head around (x, y), shoulders one head below, hips three, knees and ankles far below if it stands."""
    pose = np.zeros((33, 4), np.float32)
    pose[:, 3] = 1
    pose[:11, :2] = (x, y)
    pose[0, :2] = (x, y + 0.1 * head)
    pose[1:7, 1], pose[9:11, 1] = y, y + head / 3.2
    pose[7, 0], pose[8, 0] = x + 0.3 * head, x - 0.3 * head
    for left, dx, dy in ((11, 0.8, 1), (13, 1.0, 2), (15, 0.6, 2.8), (17, 0.6, 3), (19, 0.5, 3), (21, 0.5, 3), (23, 0.5, 3.2)):
        pose[left, :2], pose[left + 1, :2] = (x + dx * head, y + dy * head), (x - dx * head, y + dy * head)
    lower = ((25, 5.2), (27, 7.2), (29, 7.4), (31, 7.5)) if stands else ((25, 3.4), (27, 4.5), (29, 4.6), (31, 4.6))
    for left, dy in lower:
        pose[left, :2], pose[left + 1, :2] = (x + 0.5 * head, y + dy * head), (x - 0.5 * head, y + dy * head)
    return pose


def as_poses(*poses, score=0.9):
    """Return bodies (33, 4) as the landmark network gives them, with the regions that they point to."""
    from backends.people.pose import Poses

    stack = np.stack(poses) if poses else np.zeros((0, 33, 4), np.float32)
    hips = stack[:, [23, 24], :2].mean(axis=1)
    size = 8.5 * np.ptp(stack[:, [1, 9], 1], axis=1) * 3.2
    regions = np.column_stack([hips, size, np.zeros(len(stack))]).astype(np.float64)
    return Poses(pose_px=stack, scores=np.full(len(stack), score, np.float32), regions=regions)
