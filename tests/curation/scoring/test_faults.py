"""Which keypoint or box cannot be right: injected ones are named, with their moment, and nobody else is accused."""

import numpy as np
import pytest
from attrs import evolve

from curation.render.simulate import simulate_poses
from curation.scoring.bodies import FAINT, measure_usual
from curation.scoring.culprits import Graph, blame_keypoints
from curation.scoring.faults import Watched, find_faults, name_keypoints
from schemas.errors import InvalidField
from schemas.scores import Fault, describe_faults
from schemas.vocabulary import BLAZEPOSE_33

NODES, EDGES = BLAZEPOSE_33.nodes, np.array(BLAZEPOSE_33.edges)
WRIST, ELBOW = NODES.index("left_wrist"), NODES.index("left_elbow")


def simulate(seed, noise, fps=6.0):
    return simulate_poses(seed=seed, lessons=5, seconds=8.0, window=2.0, fps=fps, noise=noise)


@pytest.fixture(scope="module")
def clean():
    """120 windows of rendered poses without an estimator's errors."""
    return simulate(201, 0.0)


@pytest.fixture(scope="module")
def noisy():
    """The same kind as an estimator would give them, and the truth."""
    return simulate(202, 1.0), simulate(202, 0.0)


def measure_torso(pose):
    return float(np.nanmedian(np.linalg.norm(pose[:, [11, 12], :2].mean(axis=1) - pose[:, [23, 24], :2].mean(axis=1), axis=-1)))


def find_seen(pose, node):
    """Return the windows in which a keypoint is in sight throughout."""
    return np.flatnonzero((np.nan_to_num(pose[:, :, node, 3]) >= FAINT).all(axis=1))


def move(pose, row, moment, node, lengths, angle):
    """Move a keypoint by so many torsos at one moment."""
    pose[row, moment, node, :2] += lengths * measure_torso(pose[row]) * np.array([np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize(("seed", "fps"), [(201, 3.0), (203, 6.0), (204, 12.0), (205, 25.0)])
def test_nobody_is_accused_where_the_poses_are_right(seed, fps):
    sequences = simulate(seed, 0.0, fps)
    assert len(sequences) >= 100
    assert find_faults(Watched(pose=sequences.pose), EDGES) == [()] * len(sequences)


def test_an_impossible_wrist_is_named_with_its_moment_and_no_other(clean):
    rows = find_seen(clean.pose, WRIST)[::5]
    assert len(rows) > 10
    pose = clean.pose.copy()
    moments = {int(row): 1 + n % 10 for n, row in enumerate(rows)}
    for n, (row, moment) in enumerate(moments.items()):
        move(pose, row, moment, WRIST, 2.0, n)
    seconds = np.tile(np.arange(12) / 6 + 10, (len(pose), 1))
    found = find_faults(Watched(pose=pose, seconds=seconds), EDGES)
    for row, faults in enumerate(found):
        if row not in moments:
            assert faults == ()
            continue
        assert {fault.part for fault in faults} == {"left_wrist"}
        worst = faults[0]
        assert (worst.frame, worst.first, worst.last) == (moments[row],) * 3
        assert worst.second == pytest.approx(10 + moments[row] / 6, abs=1e-3)
        assert worst.beside in ("left_elbow", "left_index", "left_thumb")
        assert worst.times > 1.5


@pytest.mark.parametrize("part", ["nose", "left_shoulder", "right_elbow", "right_thumb", "left_index"])
def test_any_keypoint_far_off_is_the_one_that_is_named(clean, part):
    node = NODES.index(part)
    rows = find_seen(clean.pose, node)[::4]
    pose = clean.pose.copy()
    for n, row in enumerate(rows):
        move(pose, row, 5, node, 2.0, 2 * n)
    found = find_faults(Watched(pose=pose), EDGES)
    told = [{(fault.part, fault.frame) for fault in found[row]} for row in rows]
    assert np.mean([one == {(part, 5)} for one in told]) >= 0.95
    assert not any(found[row] for row in set(range(len(pose))) - set(rows.tolist()))


def test_a_keypoint_that_is_wrong_all_the_time_is_one_fault(clean):
    row = find_seen(clean.pose, WRIST)[0]
    pose = clean.pose.copy()
    pose[row, :, WRIST, :2] += 3 * measure_torso(pose[row])
    (fault,) = find_faults(Watched(pose=pose), EDGES)[row]
    assert (fault.part, fault.kind, fault.first, fault.last) == ("left_wrist", "stretched", 0, 11)


def test_of_a_noisy_estimator_those_accused_are_wrong_and_an_injected_one_stands_out(noisy):
    sequences, truth = noisy
    found = find_faults(Watched(pose=sequences.pose), EDGES)
    rows = {name: row for row, name in enumerate(truth.id.tolist())}
    off = []
    for row, faults in enumerate(found):
        right = truth.pose[rows[sequences.id[row]]]
        for fault in faults:
            ends = [NODES.index(name) for name in (fault.part, fault.beside) if name]
            error = np.linalg.norm(sequences.pose[row, fault.frame, ends, :2] - right[fault.frame, ends, :2], axis=-1)
            off.append(error.max() / measure_torso(right))
    every = np.linalg.norm(sequences.pose[..., :2] - truth.pose[[rows[i] for i in sequences.id]][..., :2], axis=-1)
    every[sequences.pose[..., 3] < FAINT] = np.nan
    torso = np.array([measure_torso(truth.pose[rows[i]]) for i in sequences.id])[:, None, None]
    assert np.mean(np.array(off) > 0.25) >= 0.95
    assert np.nanmean(every / torso > 0.25) < 0.25  # most of all keypoints are not
    assert np.mean([bool(faults) for faults in found]) < 0.25


def test_size_and_place_of_a_person_do_not_matter(clean):
    row = find_seen(clean.pose, WRIST)[3]
    pose = clean.pose.copy()
    move(pose, row, 4, WRIST, 2.0, 1.0)
    before = find_faults(Watched(pose=pose), EDGES)
    near = pose.astype(np.float64)
    near[row, ..., :2] = near[row, ..., :2] * 7 + 300
    assert find_faults(Watched(pose=near), EDGES) == before


def test_a_faint_keypoint_is_a_guess_and_not_accused(clean):
    row = find_seen(clean.pose, WRIST)[0]
    pose = clean.pose.copy()
    move(pose, row, 4, WRIST, 3.0, 0.5)
    pose[row, 4, WRIST, 3] = FAINT - 0.01
    assert find_faults(Watched(pose=pose), EDGES)[row] == ()


def test_a_skeleton_that_leaps_is_told_as_one(clean):
    row = find_seen(clean.pose, WRIST)[0]
    pose = clean.pose.copy()
    pose[row, 6, :, :2] += 4 * measure_torso(pose[row])
    (fault,) = find_faults(Watched(pose=pose), EDGES)[row]
    assert (fault.part, fault.kind, fault.frame, fault.beside) == ("skeleton", "leaps", 6, None)


def draw_boxes(pose):
    low, high = np.nanmin(pose[..., :2], axis=2), np.nanmax(pose[..., :2], axis=2)
    return np.concatenate([low - 5, high + 5], axis=-1)


def test_a_box_that_misses_its_pose_and_one_that_is_far_too_large(clean):
    boxes = draw_boxes(clean.pose)
    boxes[2, 3:6] += 10_000
    size = boxes[5, :, 2:] - boxes[5, :, :2]
    boxes[5] += np.concatenate([-3 * size, 3 * size], axis=-1)
    frames = np.tile(np.arange(100, 124, 2), (len(boxes), 1))
    found = find_faults(Watched(pose=clean.pose, boxes=boxes, frames=frames), EDGES)
    assert [row for row, faults in enumerate(found) if faults] == [2, 5]
    assert found[2] == (Fault(part="box", kind="outside", times=1.0, frame=106, first=106, last=110),)
    (loose,) = found[5]
    assert (loose.part, loose.kind, loose.first, loose.last) == ("box", "loose", 100, 122)
    assert loose.times > 10


def test_other_skeletons_count_their_keypoints():
    rng = np.random.default_rng(0)
    square = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], float)
    pose = square + rng.normal(0, 1, (12, 5, 4, 2)) + 300
    pose[2, 1, 3] += (-250, 250)
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]])
    found = find_faults(Watched(pose=pose), edges)
    assert [(row, f.part, f.frame) for row, faults in enumerate(found) for f in faults] == [(2, "keypoint 3", 1)]
    assert found[2][0].beside == "keypoint 2"
    assert name_keypoints(33) == NODES


@pytest.mark.parametrize("shape", [(1, 1, 33, 4), (2, 2, 33, 2), (3, 5, 4, 3)])
def test_nothing_seen_no_bones_and_short_windows_are_no_fault_and_no_warning(shape, recwarn):
    rng = np.random.default_rng(0)
    edges = EDGES if shape[2] == 33 else np.zeros((0, 2), np.int64)
    for pose in (np.full(shape, np.nan), rng.random(shape)):
        assert len(find_faults(Watched(pose=pose, boxes=np.full((*shape[:2], 4), np.nan)), edges)) == shape[0]
    assert find_faults(Watched(pose=np.full(shape, np.nan)), edges) == [()] * shape[0]
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_shapes_are_checked():
    with pytest.raises(InvalidField, match="pose"):
        find_faults(Watched(pose=np.zeros((3, 33, 2))), EDGES)
    with pytest.raises(InvalidField, match="edges"):
        find_faults(Watched(pose=np.zeros((1, 3, 33, 2))), np.zeros(4))


def test_many_windows_are_sampled_and_found_alike(clean):
    many = np.concatenate([clean.pose] * 25)
    row = find_seen(clean.pose, WRIST)[2]
    move(many, row, 4, WRIST, 2.0, 0.0)
    whole = measure_usual(clean.pose, EDGES)
    sampled = measure_usual(many, EDGES).length
    known = np.isfinite(sampled)
    assert known.sum() >= len(EDGES) - 6  # the legs
    np.testing.assert_allclose(sampled[known], whole.length[known], rtol=0.2)
    found = find_faults(Watched(pose=many), EDGES)
    assert [i for i, faults in enumerate(found) if faults] == [row]


CHAIN = np.array([[0, 1], [1, 2], [2, 3], [2, 4]])
"""Shoulder 0, elbow 1, wrist 2 with fingers 3 and 4."""


def blame(stretched, leaping=()):
    stretch, leap = np.zeros(len(CHAIN)), np.zeros(5)
    stretch[list(stretched)] = 2.0
    leap[list(leaping)] = 5.0
    return set(blame_keypoints(stretch, leap, Graph.of(CHAIN, 5)))


def test_a_fault_tells_the_longest_bone(clean):
    row = next(row for row in find_seen(clean.pose, WRIST) if row in find_seen(clean.pose, ELBOW))
    pose = clean.pose.copy()
    pose[row, 4, WRIST, :2] += 5 * measure_torso(pose[row])
    fault = find_faults(Watched(pose=pose), EDGES)[row][0]
    assert (fault.part, fault.beside, fault.times > 4) == ("left_wrist", "left_elbow", True)


def test_the_fewest_keypoints_are_blamed():
    assert blame([]) == set()
    assert blame([1, 2, 3]) == {2}  # the wrist, not its fingers
    assert blame([2]) == {3}  # one finger: all of its bones, a third of the wrist's
    assert blame([0, 1]) == {1}
    assert blame([0]) == {0}  # the end of the chain
    assert blame([0], leaping=[1]) == {1}  # whoever leaps
    assert blame([0, 2, 3]) == {0, 2}


def test_a_fault_in_words():
    fault = Fault(part="left_wrist", kind="stretched", times=2.41, beside="left_elbow", frame=8, first=7, last=9, second=12.8)
    assert fault.describe(12.0) == "left_wrist at 0.8 s: 2.4 x its usual distance from left_elbow"
    assert evolve(fault, second=None).describe() == "left_wrist in frame 8: 2.4 x its usual distance from left_elbow"
    leap = evolve(fault, kind="leaps", beside=None, times=12.0)
    assert leap.describe(12.0) == "left_wrist at 0.8 s: leaps away and back 12 x as far as usual"
    box = evolve(fault, part="box", kind="outside", beside=None, times=0.62)
    assert box.describe(12.0) == "box at 0.8 s: misses 62 % of the keypoints"
    assert evolve(box, kind="loose", times=14.2).describe(12.0) == "box at 0.8 s: 14 x as large as its keypoints need"
    assert describe_faults([]) == ""
    assert describe_faults([fault, leap, box], since=12.0, most=1).endswith("left_elbow; 2 more")
    with pytest.raises(InvalidField, match=r"fault\.kind"):
        evolve(fault, kind="odd")
    with pytest.raises(InvalidField, match=r"fault\.last"):
        evolve(fault, last=3)
