"""Covers: others are painted over, and the network takes the person that is wanted."""

import av
import numpy as np
import pytest
from fixtures_people import make_pose

from backends.people.body import find_heads
from backends.people.covers import Cover, cover_people, hide_others
from backends.people.pose import PoseEstimator
from backends.people.regions import to_crop, to_frame

REGION = np.array([300.0, 200.0, 400.0, 0.0])


def cover_one(pose, others, heads=None):
    return cover_people(find_heads(pose[None]), REGION[None], np.array(others).reshape(-1, 33, 4), heads)[0]


def contains(cover, point):
    import cv2

    x, y = (float(v) for v in point)
    hulls = [cv2.convexHull(polygon.astype(np.float32)) for polygon in cover.polygons]
    return any(cv2.pointPolygonTest(hull, (x, y), measureDist=False) >= 0 for hull in hulls)


def test_way_into_a_turned_crop_is_the_way_back_of_the_way_out():
    region, points = np.array([120.0, 80.0, 90.0, 0.4]), np.array([[0.0, 0.0], [100, 30], [256, 7]])
    np.testing.assert_allclose(to_crop(to_frame(points, region, 256), region, 256), points, atol=1e-9)


def test_whoever_is_in_front_is_covered_head_and_trunk_whoever_is_behind_by_the_head_alone():
    own, front, behind = make_pose(x=300, y=200), make_pose(x=330, y=300), make_pose(x=270, y=120)
    cover = cover_one(own, [front, behind])
    for pose, trunk_too in ((front, True), (behind, False)):
        assert contains(cover, find_heads(pose[None])[0, :2])
        assert contains(cover, 0.7 * pose[11:13, :2].mean(axis=0) + 0.3 * pose[23:25, :2].mean(axis=0)) == trunk_too
    assert not contains(cover, own[0, :2])


def test_own_head_and_people_far_away_are_left():
    own, same, far = make_pose(x=300, y=200), make_pose(x=302, y=201), make_pose(x=1500, y=220)
    assert cover_one(own, [same, far]).polygons == ()
    assert len(cover_one(own, [], np.array([[360.0, 150.0, 30.0]])).polygons) == 1
    assert cover_people(np.zeros((0, 3)), np.zeros((0, 4)), np.zeros((0, 33, 4))) == []


def test_covers_are_painted_in_px_of_the_crop_and_the_own_head_is_not():
    crop = np.full((100, 100, 3), 7, np.uint8)
    square = np.array([[200.0, 100.0], [300, 100], [300, 300], [200, 300]])
    own = np.array([200.0, 200.0, 40.0])
    covered = hide_others(crop, REGION, Cover(polygons=(square,), own=own))
    assert (crop == 7).all()
    assert covered[30, 35, 0] == covered[70, 45, 0] != 7
    assert covered[50, 27, 0] == covered[50, 33, 0] == 7
    assert covered[50, 60, 0] == covered[10, 35, 0] == 7


@pytest.mark.usefixtures("bundle_folder")
def test_covered_neighbours_leave_the_network_the_person_it_is_asked_for(tmp_path):
    from curation.render.classroom import render_classroom

    (clip,) = render_classroom(tmp_path, seed=17, lessons=1, cameras=1, rows=5, columns=6, seconds=0.5, fps=2.0, size=(1280, 720))
    with av.open(str(clip)) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    with np.load(clip.with_suffix(".truth.npz"), allow_pickle=False) as truth:
        poses = truth["pose"][0]
    heads, noses = find_heads(poses), poses[:, 0, :2]
    regions = np.column_stack([noses + heads[:, 2:] * [0, 2.5], 8.5 * heads[:, 2], np.zeros(len(poses))])
    with PoseEstimator() as estimator:
        bare = estimator.estimate_regions(image, regions)
        covered = estimator.estimate_regions(image, regions, cover_people(heads, regions, poses))
    right = [(np.linalg.norm(p.pose_px[:, 0, :2] - noses, axis=1) < heads[:, 2]).mean() for p in (bare, covered)]
    assert right[1] >= 0.95 > right[0]
