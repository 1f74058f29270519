"""Who moves like whom: neighbours are of other students, near-duplicates are found, nobody seen is like nobody."""

import numpy as np
import pytest

from curation.review.neighbours import K, describe_motion, embed_motion, find_neighbours, find_twins


def make_poses(n=30, t=12, seed=0):
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 15, (n, 1, 33, 4)) + rng.normal(0, 4, (n, t, 33, 4)).cumsum(axis=1)
    pose[:, :, 11, :2], pose[:, :, 12, :2] = (40, 0), (-40, 0)
    pose[..., 3] = 1
    return pose.astype(np.float32)


def test_motion_is_the_same_nearer_and_elsewhere():
    pose = make_poses()
    moved = pose.copy()
    moved[..., :3] = pose[..., :3] * 2.5
    moved[..., :2] += (300, 120)
    assert describe_motion(moved) == pytest.approx(describe_motion(pose), abs=1e-3)
    assert not describe_motion(np.full((1, 12, 33, 4), np.nan, np.float32)).any()


def test_neighbours_are_the_nearest_of_other_students():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(60, 5)).astype(np.float32)
    students = np.array([f"s{i % 7}" for i in range(60)])
    found = find_neighbours(points, students)
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    for n in range(60):
        foreign = [int(i) for i in np.argsort(distance[n], kind="stable") if students[i] != students[n]]
        assert found.others[n].tolist() == foreign[:K]
        assert n not in found.nearest[n]


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_labels_have_few_neighbours(n):
    points = embed_motion(np.random.default_rng(0).normal(size=(n, 40)).astype(np.float32))
    assert points.shape[0] == n
    assert points.shape[1] >= 2
    found = find_neighbours(points, np.array([f"s{i}" for i in range(n)], np.str_))
    assert found.others.shape == (n, K)
    assert ((found.others >= 0).sum(axis=1) == max(n - 1, 0)).all()


def test_equal_points_do_not_name_themselves():
    found = find_neighbours(np.zeros((80, 2), np.float32), np.array([f"s{i}" for i in range(80)]))
    assert not (found.nearest == np.arange(80)[:, None]).any()
    assert not (found.others == np.arange(80)[:, None]).any()


def test_near_duplicates_with_another_label_are_found_and_others_are_not():
    pose = make_poses()
    pose[7] = pose[3] + 0.2
    pose[9] = pose[4]
    pose[20] = pose[21] = np.nan
    features = describe_motion(pose)
    labels = np.array(["write"] * 30)
    labels[7] = labels[21] = "phone"
    near = find_neighbours(embed_motion(features), np.array([f"s{i}" for i in range(30)]))
    twins = find_twins(features, near.nearest, labels)
    assert {n: int(twin) for n, twin in enumerate(twins) if twin >= 0} == {3: 7, 7: 3}
