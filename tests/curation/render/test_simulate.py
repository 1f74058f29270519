import numpy as np
import pytest

from curation.render import simulate_poses
from curation.render.behaviours import BEHAVIOURS


@pytest.fixture(scope="module")
def sequences():
    return simulate_poses(seed=1, lessons=8, seconds=40.0)


def test_shapes_labels_and_groups(sequences):
    assert sequences.pose.shape[1:] == (12, 33, 4)
    assert 850 < len(sequences) <= 8 * 6 * 20
    assert set(sequences.classes) == set(BEHAVIOURS)
    assert len(set(sequences.group.tolist())) == 8
    assert len(set(sequences.id.tolist())) == len(sequences)
    assert sequences.fps == 6.0
    seen = sequences.pose[..., 3]
    assert np.nanmin(seen) >= 0
    assert np.nanmax(seen) <= 1


def test_belongs_to_the_seed():
    one, again, other = (simulate_poses(seed=seed, lessons=1, seconds=6.0) for seed in (1, 1, 2))
    assert np.array_equal(one.pose, again.pose, equal_nan=True)
    assert one.label.tolist() == again.label.tolist()
    assert one.pose.shape != other.pose.shape or not np.array_equal(one.pose, other.pose, equal_nan=True)


def test_noise_is_a_small_part_of_the_torso_for_what_is_seen_and_none_at_zero():
    exact, noisy = (simulate_poses(seed=3, lessons=2, seconds=20.0, noise=noise) for noise in (0.0, 1.0))
    keep = np.isin(exact.id, noisy.id)
    true, said = exact.pose[keep], noisy.pose[np.argsort(noisy.id)[np.searchsorted(np.sort(noisy.id), exact.id[keep])]]
    assert set(np.unique(true[..., 3])) == {0.0, 1.0}
    torso = np.linalg.norm(true[:, :, [11, 12], :2].mean(axis=2) - true[:, :, [23, 24], :2].mean(axis=2), axis=-1)
    off = np.linalg.norm(true[..., :2] - said[..., :2], axis=-1) / torso[..., None]
    joints = [0, 11, 12, 13, 14, 15, 16]
    seen = (true[..., joints, 3] > 0.5) & np.isfinite(off[..., joints])
    assert 0.8 < (off[..., joints][seen] < 0.2).mean() < 0.97
    assert np.nanmedian(off[..., joints][seen]) < 0.12


def test_behaviours_can_be_told_on_unseen_lessons_but_not_perfectly(sequences):
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import f1_score

    def describe(pose):
        filled = np.where(np.isnan(pose), np.nanmean(pose, axis=1, keepdims=True), pose)[:, :, :25, :2].astype(float)
        chest = filled[:, :, 11:13].mean(axis=(1, 2), keepdims=True)
        wide = np.linalg.norm(filled[:, :, 11] - filled[:, :, 12], axis=-1).mean(axis=1)[:, None, None, None]
        shaped = (filled - chest) / wide
        return np.concatenate([shaped.mean(1).reshape(len(pose), -1), shaped.std(1).reshape(len(pose), -1)], axis=1)

    test = np.isin(sequences.group, ["lesson-07", "lesson-08"])
    features = describe(sequences.pose)
    model = ExtraTreesClassifier(100, random_state=0).fit(features[~test], sequences.label[~test])
    said = model.predict(features[test])
    assert 0.6 < f1_score(sequences.label[test], said, average="macro") < 0.995


def test_bad_numbers_are_named():
    from schemas.errors import InvalidField

    with pytest.raises(InvalidField, match=r"render.lessons"):
        simulate_poses(lessons=0)
