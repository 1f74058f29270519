"""The model `default` and its parts: bones from the data, augmentation, summaries, trees as tensors, calibration, files."""

import numpy as np
import pytest
import torch

from backends.behaviour import load_model
from backends.behaviour.augment import augment_strongly
from backends.behaviour.bones import find_parents, spread_over_bones
from backends.behaviour.default import Default
from backends.behaviour.forest import choose_pairs, count_summaries, grow_forest, summarise
from backends.behaviour.graph import PoseGraph
from backends.behaviour.graph_stack import GraphStack
from backends.behaviour.start import START
from backends.training import TrainingPlan
from schemas.errors import InvalidField, ModelError

SHORT = TrainingPlan(schedule="one-cycle", epochs=4, lr=4e-3, val_share=0.2)


@pytest.fixture(scope="module")
def motions(sequence_factory):
    return sequence_factory(96, n_groups=6, n_frames=8, seed=3)


@pytest.fixture(scope="module")
def trained(motions):
    return Default(plan=SHORT).fit(motions)


def swing_arm(n_frames=200):
    """(1, T, 4, 2): a shoulder, an elbow and a wrist that turn freely, and a far point that goes its own way; bones of length 1."""
    rng = np.random.default_rng(0)
    angles = np.cumsum(rng.normal(0, 0.3, (n_frames, 2)), axis=0)
    bones = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    elbow = bones[:, 0]
    points = [np.zeros((n_frames, 2)), elbow, elbow + bones[:, 1], 5 + np.cumsum(rng.normal(0, 0.2, (n_frames, 2)), axis=0)]
    return np.stack(points, axis=1)[None]


def test_bones_are_found_where_distances_stay():
    parents = find_parents(swing_arm()[:, :, :3])
    pairs = {frozenset((child, int(parent))) for child, parent in enumerate(parents) if child != parent}
    assert pairs == {frozenset((0, 1)), frozenset((1, 2))}


def test_known_edges_come_first_and_every_point_hangs_on_one_root():
    pose = swing_arm()
    pose[0, :50, 1] = np.nan
    parents = find_parents(pose, np.array([[0, 3], [3, 2]]))
    pairs = {frozenset((child, int(parent))) for child, parent in enumerate(parents) if child != parent}
    assert {frozenset((0, 3)), frozenset((3, 2))} <= pairs
    assert len(pairs) == 3
    assert (parents == np.arange(4)).sum() == 1


def test_the_adjacency_is_the_normalised_tree():
    spread = spread_over_bones(np.array([0, 0, 1]))
    expected = np.array([[1 / 2, 1 / 6**0.5, 0], [1 / 6**0.5, 1 / 3, 1 / 6**0.5], [0, 1 / 6**0.5, 1 / 2]])
    np.testing.assert_allclose(spread, expected, atol=1e-6)


def test_augmentation_keeps_what_is_unseen_unseen_and_turns_about_the_vertical():
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(64, 10, 6, 4)
    batch[..., -1] = 1
    batch[:, :, 2] = 0
    out = augment_strongly(batch, generator, n_dims=3, turn=0.6, mirror=(1, 0, 2, 3, 4, 5))
    assert out.shape == batch.shape
    assert (out[:, :, 2] == 0).all()
    assert set(out[..., -1].unique().tolist()) == {0.0, 1.0}
    heights = torch.zeros(512, 1, 1, 4)
    heights[..., 2], heights[..., 3] = 10.0, 1.0
    turned = augment_strongly(heights, generator, n_dims=3, turn=0.6)
    angle = torch.atan2(turned[..., 0], turned[..., 2])[turned[..., -1] > 0]
    assert 0.45 < float(angle.abs().max()) < 0.75
    straight = augment_strongly(heights, generator, n_dims=3)
    assert float(straight[..., 0].abs().max()) < 0.3


def test_summaries_are_of_seen_frames_only():
    features = torch.zeros(1, 4, 2, 3)
    features[0, :, 0] = torch.tensor([[0.0, 1, 1], [2.0, 1, 1], [4.0, 1, 1], [99.0, 99, 0]])
    features[0, :, 1] = torch.tensor([[1.0, 1, 1]] * 4)
    out = summarise(features, torch.tensor([[0, 1]]), 2)[0]
    n = 2 * 2
    mean, spread, low, high, change, drift = (out[i * n : (i + 1) * n] for i in range(6))
    assert mean.tolist() == [2, 1, 1, 1]
    assert spread[0] == pytest.approx((8 / 3) ** 0.5)
    assert (low[0], high[0]) == (0, 4)
    assert change[0] == pytest.approx(4 / 3)
    assert drift[0] == 0
    assert out[6 * n : 6 * n + 8].tolist() == pytest.approx([1, 0, (8 / 3) ** 0.5, 0, -1, 0, 3, 0])
    shown = out[6 * n + 8 :].reshape(8, 2, 2)
    assert shown[:, 0, 0].tolist() == [0, 0, 2, 2, 4, 4, 0, 0]
    assert (shown[:, 1] == 1).all()


@pytest.mark.parametrize(("n_frames", "shown"), [(1, [0] * 8), (8, range(8)), (15, range(0, 15, 2)), (36, range(0, 36, 5))])
def test_eight_frames_are_shown_from_the_first_to_the_last(n_frames, shown):
    features = torch.ones(1, n_frames, 1, 3)
    features[0, :, 0, 0] = torch.arange(n_frames)
    out = summarise(features, torch.zeros(0, 2, dtype=torch.long), 2)
    assert out[0, 6 * 2 :].reshape(8, 2)[:, 0].tolist() == list(shown)


@pytest.mark.parametrize(("n_nodes", "n_features", "n_dims"), [(1, 3, 2), (5, 4, 3), (25, 5, 3)])
def test_as_many_summaries_as_are_counted(n_nodes, n_features, n_dims):
    features = torch.ones(2, 3, n_nodes, n_features)
    out = summarise(features, torch.from_numpy(choose_pairs(n_nodes)), n_dims)
    assert out.shape == (2, count_summaries(n_nodes, n_features, n_dims))


@pytest.mark.parametrize("n_frames", [1, 7, 24])
def test_networks_side_by_side_answer_as_each_alone(n_frames):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(1)
    members = [PoseGraph(parents=[0, 0, 1, 1, 2], n_features=5, n_dims=3, n_classes=4) for _ in range(3)]
    for member in members:
        for tensor in member.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(0.2 + torch.rand(tensor.shape, generator=generator) * (1 if tensor.dim() == 1 else 0.1))
        member.eval()
    features = torch.randn(6, n_frames, 5, 5, generator=generator)
    features[..., -1] = (torch.rand(6, n_frames, 5, generator=generator) > 0.2).float()
    stack = GraphStack(members)
    with torch.no_grad():
        embedded = torch.stack([member.embed(features) for member in members])
        probs = torch.stack([torch.softmax(member(features), dim=1) for member in members]).mean(dim=0)
        torch.testing.assert_close(stack.embed(features), embedded, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(stack.ask(features), probs, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(stack.ask(features[:1]), stack.ask(features)[:1], atol=1e-6, rtol=0)


def test_trees_that_point_outside_are_refused():
    rng = np.random.default_rng(0)
    forest, _ = grow_forest(rng.normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2, n_classes=2, n_trees=3, seed=0)
    good = {name: tensor.clone() for name, tensor in forest.state_dict().items()}
    for name, value in (("right", len(forest.left)), ("feature", 3), ("roots", -1)):
        state = {**good, name: torch.full_like(good[name], value)}
        with pytest.raises(ValueError, match=f"{name} points outside the trees"):
            forest.load_state_dict(state)


def test_pairs_of_any_number_of_points():
    assert choose_pairs(1).shape == (0, 2)
    assert choose_pairs(5).shape == (10, 2)
    assert len(choose_pairs(33)) == 120


def test_trees_as_tensors_answer_as_scikit_learns_do():
    from sklearn.ensemble import ExtraTreesClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 9)).astype(np.float32)
    y = np.where(x[:, 0] > 0, 2, np.where(x[:, 1] > 0, 0, 3))
    forest, size = grow_forest(x, y, n_classes=5, n_trees=20, seed=1)
    peer = ExtraTreesClassifier(20, min_samples_leaf=2, random_state=1).fit(x, y)
    said = forest(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(said[:, [0, 2, 3]], peer.predict_proba(x), atol=1e-5)
    assert (said[:, [1, 4]] == 0).all()
    assert size["n_trees"] == 20


def test_saved_and_loaded_it_says_the_same_alone_and_in_a_batch(trained, motions, tmp_path):
    trained.save(tmp_path, {})
    loaded = load_model(tmp_path)
    many = np.concatenate([motions.pose] * 3)[:256]
    probs = trained.predict_proba(many)
    np.testing.assert_allclose(loaded.predict_proba(many), probs, atol=1e-6)
    alone = np.concatenate([loaded.predict_proba(pose[None]) for pose in many[:20]])
    np.testing.assert_allclose(alone, probs[:20], atol=1e-6)


def test_a_tampered_card_is_one_clear_line(trained, tmp_path):
    import json

    trained.save(tmp_path, {})
    card = json.loads((tmp_path / "card.json").read_text())
    card["config"]["parents"][0] = 99
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="do not fit a default as its card describes it"):
        load_model(tmp_path)


def test_a_sequence_of_one_frame_and_a_track_never_seen(trained, motions):
    assert np.isfinite(trained.predict_proba(motions.pose[:3, :1])).all()
    empty = np.full_like(motions.pose[:2], np.nan)
    np.testing.assert_allclose(trained.predict_proba(empty), 1 / 8)
    with pytest.raises(InvalidField, match="pose"):
        trained.predict_proba(motions.pose[:, :, :13])


@pytest.mark.parametrize(("start", "n_epochs"), [(None, 8), (START, 12)], ids=["scratch", "start"])
def test_progress_counts_through_all_networks(motions, start, n_epochs):
    seen = []
    Default(plan=SHORT, start=start).fit(
        motions, progress=lambda r: seen.append((r.epoch, r.n_epochs, r.model.predict_proba(motions.pose[:1]).shape))
    )
    assert [epoch for epoch, _, _ in seen] == list(range(1, n_epochs + 1))
    assert {(n, shape) for _, n, shape in seen} == {(n_epochs, (1, 8))}


def test_sides_are_not_swapped_where_the_classes_name_them(motions):
    model = Default(plan=SHORT)
    model.classes = ("raise left hand", "raise right hand")
    model._configure(motions.pose)
    assert model._find_mirror() is None
    model.classes = ("write", "uplefted")
    assert model._find_mirror() is not None
