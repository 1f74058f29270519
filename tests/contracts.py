"""What every entry of a registry must do, whatever it is; a new entry is covered by being there."""

from __future__ import annotations

import numpy as np

__all__ = ["check_detector", "check_hand_branch", "check_model", "check_scorer", "check_strategy", "check_tracker"]


def check_model(make, sequences, folder):
    """A model: fit → probabilities that sum to 1, the same for the same seed, and the same again after save → load."""
    model = make().fit(sequences, seed=3)
    probs = model.predict_proba(sequences.pose)
    assert model.classes == sequences.classes
    assert probs.shape == (len(sequences), len(model.classes))
    assert probs.dtype == np.float64
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-9)
    assert probs.min() >= 0
    again = make().fit(sequences, seed=3)
    np.testing.assert_array_equal(again.predict_proba(sequences.pose), probs)
    features = model.embed(sequences.pose)
    assert features.shape[0] == len(sequences)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    model.save(folder, {"taxonomy": "learning-behaviours", "axis": "behaviour"})
    loaded = type(model).load(folder)
    assert loaded.classes == model.classes
    np.testing.assert_allclose(loaded.predict_proba(sequences.pose), probs, atol=1e-6)


def check_hand_branch(make, pictures, label, folder):
    """A hand branch: probabilities that sum to 1, the same for the same seed, and the same again after save → load."""
    model = make().fit(pictures, label, seed=3)
    probs = model.predict_proba(pictures)
    assert probs.shape == (len(pictures), len(model.classes))
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_array_equal(make().fit(pictures, label, seed=3).predict_proba(pictures), probs)
    model.save(folder, {})
    loaded = type(model).load(folder)
    np.testing.assert_allclose(loaded.predict_proba(pictures), probs, atol=1e-6)
    np.testing.assert_allclose(loaded.weigh_evidence(pictures), model.weigh_evidence(pictures), atol=1e-6)


def check_scorer(score_samples, evidence):
    """A scoring method: values in [0, 1], and a label that all evidence contradicts is more suspect than one it supports."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    probs = np.full((120, 3), 0.05)
    probs[np.arange(120), labels] = 0.9
    wrong = rng.permutation(120)[:12]
    given = labels.copy()
    given[wrong] = (labels[wrong] + 1) % 3
    features = rng.normal(0, 0.3, (120, 3)) + np.eye(3)[labels] * 4
    margins = np.where(np.isin(np.arange(120), wrong), -2.0, 2.0) + rng.normal(0, 0.1, 120)
    suspect = np.where(margins < 0, 0.9, 0.1)
    values = score_samples(
        given,
        probs,
        evidence(
            features=features,
            margins=margins,
            seen_margins=margins,
            votes=np.stack([labels, labels], axis=1),
            proposed=labels,
            edits=suspect,
            surprise=suspect,
            geometry=suspect,
        ),
    )
    assert values.shape == (120,)
    assert values.min() >= 0
    assert values.max() <= 1
    right = np.setdiff1d(np.arange(120), wrong)
    assert values[wrong].min() > values[right].max()


def check_strategy(select):
    """A strategy: k different unlabelled indices, all that are left if fewer, the same for the same generator, inputs unchanged."""
    rng = np.random.default_rng(1)
    probs, features = rng.dirichlet(np.ones(4), 60), rng.normal(size=(60, 5))
    labelled = np.zeros(60, bool)
    labelled[:20] = True
    before = probs.copy()
    chosen = select(probs, 10, features=features, labelled=labelled, rng=np.random.default_rng(7))
    assert len(chosen) == len(set(chosen.tolist())) == 10
    assert not labelled[chosen].any()
    again = select(probs, 10, features=features, labelled=labelled, rng=np.random.default_rng(7))
    assert chosen.tolist() == again.tolist()
    everything = select(probs, 1000, features=features, labelled=labelled, rng=np.random.default_rng(7))
    assert sorted(everything.tolist()) == list(range(20, 60))
    assert len(select(probs, 0, features=features, labelled=labelled, rng=np.random.default_rng(7))) == 0
    np.testing.assert_array_equal(probs, before)


def check_tracker(make):
    """A tracker: one track per person though detections change order, a short gap filled and marked, parts that make the whole."""
    whole = _track_two(make, settle=False)
    for track, (start, step) in zip(sorted(whole.values(), key=lambda t: t.pose_px[0, 0, 0]), ((200, 4), (700, -4)), strict=True):
        assert track.frames.tolist() == list(range(int(track.frames[0]), 30))
        assert track.frames[0] <= 1
        hidden = np.isin(track.frames, (12, 13, 14)) & (start == 700)
        assert track.filled.tolist() == hidden.tolist()
        np.testing.assert_allclose(track.pose_px[:, 0, 0], start + step * track.frames, atol=1e-3)
        assert (track.pose_px[:, :, 3].max(axis=1) == ~hidden).all()
        assert ((track.scores > 0) == ~hidden).all()
    parts = _track_two(make, settle=True)
    for number, track in whole.items():
        for name in ("frames", "boxes_xyxy", "pose_px", "world_m", "scores", "filled"):
            np.testing.assert_array_equal(getattr(parts[number], name), getattr(track, name))


def _track_two(make, *, settle):
    """Two people who walk towards each other for 30 frames; one is hidden in three of them. Track number → track."""
    from attrs import evolve
    from fixtures_people import as_poses, make_pose

    tracker, parts = make(960, 540, lost_after=1.0), []
    for i in range(30):
        people = [make_pose(x=200 + 4 * i), make_pose(x=700 - 4 * i)][: 1 if i in (12, 13, 14) else 2]

        def look(regions, _, people=people):
            away = make_pose(x=480, y=400)
            near = [min(people, key=lambda p: abs(p[23:25, 0].mean() - x)) for x in regions[:, 0]]
            return as_poses(*(p if abs(p[23:25, 0].mean() - x) < 60 else away for p, x in zip(near, regions[:, 0], strict=True)))

        tracker.carry(i, i / 10, look)
        tracker.join(i, i / 10, as_poses(*people[:: 1 if i % 2 else -1]))
        assert tracker.find_covered().shape[1:] == (4,)
        parts += tracker.settle(least_frames=3, least_confirmed=0.4) if settle else []
    parts += tracker.finish(least_frames=3, least_confirmed=0.4)
    names = ("frames", "boxes_xyxy", "pose_px", "world_m", "scores", "filled")
    numbers = {part.number for part in parts}
    together = {n: {a: np.concatenate([getattr(p, a) for p in parts if p.number == n]) for a in names} for n in numbers}
    return {n: evolve(next(p for p in parts if p.number == n), **together[n]) for n in numbers}


def check_detector(make, photo, *, nose):
    """A people detector: one person in the photo, nose in place, the same twice; nobody in an empty image; closed by `with`.

    Who is known is found as they were given, and only if they are there.
    """
    from backends.people.pose import Poses

    with make() as detector:
        found = detector.detect(photo)
        again = detector.detect(photo)
        moved = [found.pose_px + np.float32([2, 2, 0, 0]), found.pose_px + np.float32([3000, 0, 0, 0])]
        known = Poses(
            pose_px=np.concatenate(moved),
            scores=np.float32([0.9, 0.9]),
            regions=found.regions[[0, 0]] + [[2, 2, 0, 0], [3000, 0, 0, 0]],
        )
        followed = detector.detect(photo, known)
        there = detector.detect(photo, area=(0, 0, *photo.shape[1::-1]))
        empty = detector.detect(np.full((120, 160, 3), 90, np.uint8))
    assert len(found) == 1
    assert np.hypot(*(found.pose_px[0, 0, :2] - nose)) < 15
    assert found.boxes_xyxy.shape == (1, 4)
    assert found.regions.shape == (1, 4)
    height, width = photo.shape[:2]
    assert (found.boxes_xyxy >= 0).all()
    assert (found.boxes_xyxy <= (width, height, width, height)).all()
    assert (found.boxes_xyxy[:, 2:] > found.boxes_xyxy[:, :2]).all()
    assert 0 < found.scores[0] <= 1
    np.testing.assert_array_equal(found.pose_px, again.pose_px)
    np.testing.assert_array_equal(found.pose_px, there.pose_px)
    np.testing.assert_array_equal(followed.pose_px, moved[0])
    assert 0 < followed.scores[0] <= 1
    assert (len(empty), empty.pose_px.shape) == (0, (0, 33, 4))
