"""Keypoints of COCO and Penn Action told by number and limbs; `default` reads them as the landmarks that they are."""

import json

import numpy as np
import pytest

from backends.behaviour import load_model
from backends.behaviour.bones import compare_bones
from backends.behaviour.default import Default
from backends.behaviour.layout import find_layout, place_landmarks
from backends.behaviour.reading import PoseInput
from backends.behaviour.start import START
from backends.onnx_export import export_onnx
from backends.onnx_models import OnnxModel
from backends.training import TrainingPlan
from backends.weights import read_card
from curation.benchmarks.models_crossval import cut_keypoints
from curation.render import simulate_poses
from schemas.errors import ModelError
from schemas.sequences import SequenceSet
from schemas.vocabulary import BLAZEPOSE_33, COCO_17, JOINTS_13

SHORT = TrainingPlan(schedule="one-cycle", epochs=3, lr=4e-3, decay=0.02, val_share=0.2)
COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)


@pytest.fixture(scope="module")
def lessons():
    return simulate_poses(seed=83, lessons=8, seconds=20.0)


def cut(lessons, skeleton, n_dims=2, most=1400):
    return cut_keypoints(lessons, skeleton, n_dims=n_dims, most=most, seed=0)


@pytest.mark.parametrize(("skeleton", "expected"), [(COCO_17, COCO), (JOINTS_13, (0, *COCO[5:]))])
@pytest.mark.parametrize("most", [30, 300])
@pytest.mark.parametrize("n_dims", [2, 3])
def test_keypoints_in_their_order_are_told_by_the_limbs_of_the_data(lessons, skeleton, expected, most, n_dims):
    assert find_layout(cut(lessons, skeleton, n_dims, most).pose) == expected


@pytest.mark.parametrize("skeleton", [COCO_17, JOINTS_13])
def test_keypoints_in_another_order_are_not(lessons, skeleton):
    pose = cut(lessons, skeleton).pose
    orders = [np.random.default_rng(seed).permutation(len(skeleton.nodes)) for seed in range(20)]
    assert [find_layout(pose[:, :, order]) for order in orders] == [None] * 20


def test_human36m_has_17_keypoints_too_and_is_no_coco(lessons):
    names = (None, "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", None, None, "nose", None,
             "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist")  # fmt: skip
    hips, shoulders, nose = (lessons.pose[:, :, list(at), :2].mean(axis=2) for at in ((23, 24), (11, 12), (0,)))
    between = iter([hips, (hips + shoulders) / 2, shoulders, 2 * nose - shoulders])
    points = [next(between) if name is None else lessons.pose[:, :, BLAZEPOSE_33.nodes.index(name), :2] for name in names]
    assert find_layout(np.stack(points, axis=2)) is None


def test_limbs_that_are_stated_decide(lessons):
    pose = cut(lessons, COCO_17).pose
    edges = np.array(COCO_17.edges, np.int64)
    shuffled = pose[:, :, np.random.default_rng(0).permutation(17)]
    assert find_layout(shuffled, edges[:, ::-1]) == COCO
    assert find_layout(pose, np.array([[0, 16]])) is None
    assert find_layout(pose, np.zeros((0, 2), np.int64)) == COCO
    assert find_layout(lessons.pose) is None
    assert find_layout(np.full((3, 4, 17, 2), np.nan, np.float32)) is None


def test_legs_below_a_desk_hide_nothing_else(lessons):
    pose = cut(lessons, COCO_17).pose.copy()
    pose[:, :, 13:] = np.nan
    assert find_layout(pose) == COCO


def test_bones_are_compared_with_the_best_tree():
    pose = np.cumsum(np.ones((1, 5, 4, 2)), axis=2)
    chain, star = np.array([[0, 1], [1, 2], [2, 3]]), np.array([[0, 1], [0, 2], [0, 3]])
    assert compare_bones(pose, chain) == pytest.approx(1.0)
    assert compare_bones(pose, star) == pytest.approx((1 + 2 + 3) / 3)
    assert compare_bones(pose, chain[:2]) > 100
    assert compare_bones(np.full((1, 5, 4, 2), np.nan), chain) == float("inf")


def test_landmarks_are_placed_and_the_others_unseen(lessons):
    pose = cut(lessons, JOINTS_13, 3, 5).pose
    placed = place_landmarks(pose, (0, *COCO[5:]))
    assert placed.shape == (*pose.shape[:2], 33, 3)
    np.testing.assert_array_equal(placed[:, :, [0, *COCO[5:]]], pose)
    assert np.isnan(placed[:, :, 1:11]).all()


def test_it_answers_as_for_the_landmarks_themselves(lessons, tmp_path):
    data = cut(lessons, COCO_17, most=120)
    whole = SequenceSet(pose=place_landmarks(data.pose, COCO), label=data.label, group=data.group)
    model, same = (Default(plan=SHORT).fit(one) for one in (data, whole))
    np.testing.assert_allclose(model.predict_proba(data.pose), same.predict_proba(whole.pose), atol=1e-6)
    export_onnx(model, tmp_path, n_frames=data.pose.shape[1])
    for loaded in (load_model(tmp_path), OnnxModel.load(tmp_path)):
        np.testing.assert_allclose(loaded.predict_proba(data.pose), model.predict_proba(data.pose), atol=1e-6)
    card = read_card(tmp_path).config
    assert (card["layout"], card["start"]) == (list(COCO), read_card(START).version)


def test_limbs_that_are_stated_are_the_bones(lessons):
    data = cut(lessons, COCO_17, most=120)
    told = SequenceSet(pose=data.pose, label=data.label, group=data.group, skeleton=np.array(COCO_17.edges, np.int64))
    model = Default(plan=SHORT, start=None).fit(told)
    nodes = model._config["nodes"]
    limbs = {frozenset((COCO[a], COCO[b])) for a, b in COCO_17.edges}
    bones = {frozenset((nodes[at], nodes[parent])) for at, parent in enumerate(model._config["parents"]) if at != parent}
    assert len(bones) == 16
    assert bones <= limbs


def test_few_labels_on_cocos_keypoints_profit_from_the_start(lessons):
    data = cut(lessons, COCO_17)
    known = np.isin(data.group, np.unique(data.group)[:3])
    few = np.isin(np.arange(len(data)), np.random.default_rng(0).permutation(np.flatnonzero(known))[:60])
    begun, scratch = (
        Default(**start).fit(data.take(few), classes=data.classes).predict_proba(data.pose[~known]).argmax(axis=1)
        for start in ({}, {"start": None})
    )
    right = [(np.array(data.classes)[said] == data.label[~known]).mean() for said in (begun, scratch)]
    assert right[0] > right[1] + 0.1


@pytest.mark.parametrize("layout", [[0, 1, 2], [0] * 17, [*range(16), 33], [*range(16), -1]])
def test_a_card_with_another_layout_is_one_clear_line(lessons, tmp_path, layout):
    data = cut(lessons, COCO_17, most=60)
    Default(plan=SHORT, start=None).fit(data).save(tmp_path, {})
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps({**card, "config": {**card["config"], "layout": layout}}))
    with pytest.raises(ModelError, match="do not fit a default as its card describes it"):
        load_model(tmp_path)


def test_without_a_layout_a_card_reads_as_before():
    read = PoseInput.of({"n_nodes": 17, "n_channels": 2, "nodes": [0, 16], "depth": False})
    assert (read.layout, read.n_placed) == (None, 17)
    with pytest.raises(ValueError, match="reads keypoints"):
        PoseInput.of({"n_nodes": 17, "n_channels": 2, "nodes": [17]})
