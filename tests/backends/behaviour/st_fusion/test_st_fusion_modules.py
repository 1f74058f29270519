"""The modules of seed C, each alone, against its equations."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from backends.behaviour.st_fusion.fusion import Cfam, Cfdam, ChannelAttention, CrossFusion, PositionAttention
from backends.behaviour.st_fusion.hardwired import HardWired, convert_to_grey, count_maps
from backends.behaviour.st_fusion.pyramid import PyramidPool, pool_bins
from backends.behaviour.st_fusion.rgb import AttentionLstm, Cnn3d
from backends.behaviour.st_fusion.so3 import BLAZEPOSE_PARTS, Parts, choose_parts, compute_pair_rotations


def make_texture(n_frames=7, size=(40, 60), step=(0.0, 0.0)):
    """A smooth pattern that moves by `step` = (x, y) px a frame, (1, T, H, W)."""
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    frames = []
    for t in range(n_frames):
        at_x, at_y = x - t * step[0], y - t * step[1]
        frames.append(np.sin(at_x / 3.1) + np.cos(at_y / 3.7) + np.sin((at_x + 2 * at_y) / 6.3))
    return torch.tensor(np.array(frames)[None] / 8 + 0.5, dtype=torch.float32)


def test_of_seven_frames_the_hard_wired_layer_makes_33_maps():
    maps = HardWired()(make_texture(step=(0.4, 0.2)))
    assert count_maps(7) == 33
    assert maps.shape == (1, 5, 7, 40, 60)
    filled = (maps.abs().amax(dim=(3, 4)) > 0).sum()
    assert int(filled) == 33


@pytest.mark.parametrize("step", [(0.0, 0.0), (0.5, 0.0), (0.0, -0.5), (0.4, 0.3)])
def test_flow_is_the_movement_in_px_a_frame(step):
    flow = HardWired()(make_texture(step=step))[0, 3:, 1:, 6:-6, 6:-6]
    assert flow[0].median().item() == pytest.approx(step[0], abs=0.08)
    assert flow[1].median().item() == pytest.approx(step[1], abs=0.08)


def test_gradients_are_central_differences_of_the_standardised_grey():
    clip = make_texture(n_frames=2)
    grey, across, down = HardWired()(clip)[0, :3, 0]
    np.testing.assert_allclose(across[:, 1:-1], (grey[:, 2:] - grey[:, :-2]) / 2, atol=1e-5)
    np.testing.assert_allclose(down[1:-1], (grey[2:] - grey[:-2]) / 2, atol=1e-5)


def test_brightness_and_contrast_do_not_reach_the_network():
    clip = make_texture(step=(0.3, 0.1))
    np.testing.assert_allclose(HardWired()(0.4 * clip + 0.05), HardWired()(clip), atol=1e-4)


def test_grey_is_weighted_as_eyes_do():
    clips = torch.tensor([[[[[255, 0, 0], [0, 255, 0], [255, 255, 255]]]]], dtype=torch.uint8)
    np.testing.assert_allclose(convert_to_grey(clips)[0, 0, 0], [0.299, 0.587, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("n_frames", "height", "width"),
    [(1, 1, 1), (2, 3, 2), (5, 4, 4), (8, 7, 5), (3, 8, 8), (9, 10, 15), (12, 12, 12), (6, 33, 17), (16, 5, 40), (7, 60, 40)],
)
def test_pyramid_pooling_gives_one_length_for_any_size(n_frames, height, width):
    maps = torch.randn(2, 3, n_frames, height, width)
    pool = PyramidPool()
    assert pool.n_bins == 21
    assert pool(maps).shape == (2, 63)
    for bins in ((1, 4, 4), (1, 2, 2), (1, 1, 1)):
        np.testing.assert_array_equal(pool_bins(maps, bins), torch.nn.functional.adaptive_max_pool3d(maps, bins))
    assert pool.pool_grid(maps).shape == (2, 9, 4, 4)
    np.testing.assert_array_equal(pool.pool_grid(maps)[:, 6:, 1, 2], maps.amax(dim=(2, 3, 4)))


def test_pyramid_pooling_takes_cubes_of_the_size_that_the_seed_gives():
    maps = torch.randn(1, 2, 6, 12, 8)
    pooled = PyramidPool(space=(4,), time=(2,))(maps).view(1, 2, 2, 4, 4)
    np.testing.assert_array_equal(pooled[0, 1, 1, 2, 3], maps[0, 1, 3:6, 6:9, 6:8].amax())
    np.testing.assert_array_equal(pooled, torch.nn.functional.max_pool3d(maps, (3, 3, 2)))


@pytest.mark.parametrize(("size", "left"), [((40, 60), (10, 15)), ((8, 8), (2, 2)), ((33, 17), (9, 5))])
def test_the_3d_network_keeps_time_and_quarters_space(size, left):
    assert Cnn3d().eval()(torch.randn(2, 5, 7, *size)).shape == (2, 48, 7, *left)


def test_attention_sums_the_states_before_by_their_softmax():
    torch.manual_seed(0)
    layer, states = AttentionLstm(3, 4, 5), torch.randn(2, 6, 4)
    looked = layer.attend(states)
    np.testing.assert_array_equal(looked[:, 0].detach(), 0)
    h, w = states[1].numpy(), layer.w_s.weight.detach().numpy()
    for tau in range(1, 6):
        score = np.array([h[tau] @ (w @ h[k]) for k in range(tau)])
        mu = np.exp(score - score.max())
        mu /= mu.sum()
        np.testing.assert_allclose(looked[1, tau].detach(), mu @ h[:tau], atol=1e-5)


def test_attention_lstm_gives_a_softmax_of_state_and_what_it_looked_at():
    torch.manual_seed(1)
    layer, frames = AttentionLstm(3, 4, 5), torch.randn(2, 6, 3)
    out = layer(frames)
    states, _ = layer.lstm(frames)
    wanted = torch.softmax(layer.w_out(torch.cat([layer.attend(states), states], dim=2)), dim=2)
    np.testing.assert_allclose(out.detach(), wanted.detach(), atol=1e-6)
    np.testing.assert_allclose(out.sum(dim=2).detach(), 1, atol=1e-5)
    cut = layer(frames[:, :4])
    np.testing.assert_allclose(cut.detach(), out[:, :4].detach(), atol=1e-5)


def make_body(seed=0, n_frames=5):
    rng = np.random.default_rng(seed)
    points = torch.tensor(rng.normal(size=(n_frames, 33, 3)), dtype=torch.float64)
    return points, torch.ones(n_frames, 33, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(5))
def test_so3_features_do_not_change_when_the_body_turns_or_moves(seed):
    points, seen = make_body(seed)
    before = compute_pair_rotations(points, seen, BLAZEPOSE_PARTS)
    turn = torch.tensor(Rotation.random(random_state=seed).as_matrix())
    moved = 2.5 * points @ turn.T + torch.tensor([3.0, -20.0, 7.0])
    assert before.shape == (5, 132, 3)
    assert before.abs().max() > 1
    np.testing.assert_allclose(compute_pair_rotations(moved, seen, BLAZEPOSE_PARTS), before, atol=1e-9)


def test_so3_features_are_axis_times_angle_of_each_ordered_pair():
    points, seen = make_body(3, n_frames=1)
    logs = compute_pair_rotations(points, seen, BLAZEPOSE_PARTS)[0].numpy()
    ends = points[0].numpy()
    e = np.array([ends[b] - ends[a] for a, b in BLAZEPOSE_PARTS.pairs])
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    side = e[1] - (e[1] @ e[0]) * e[0]
    side /= np.linalg.norm(side)
    local = e @ np.stack([side, e[0], np.cross(side, e[0])], axis=1)
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    for (m, eta), log in zip(pairs, logs, strict=True):
        axis = np.cross(local[m], local[eta])
        theta = np.arccos(np.clip(local[m] @ local[eta], -1, 1))
        np.testing.assert_allclose(log, axis / np.linalg.norm(axis) * theta, atol=1e-9)
        np.testing.assert_allclose(Rotation.from_rotvec(log).apply(local[m]), local[eta], atol=1e-9)
        np.testing.assert_allclose(logs[pairs.index((eta, m))], -log, atol=1e-9)


def test_so3_of_parts_in_one_line_and_of_unseen_ones():
    points = torch.tensor([[[0.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 3, 0], [0, 2, 0]]])
    parts = Parts(pairs=((0, 1), (1, 2), (3, 4)))
    logs = compute_pair_rotations(points, torch.ones(1, 5), parts)[0]
    assert logs[1].norm().item() == pytest.approx(np.pi, abs=1e-5)
    np.testing.assert_allclose(Rotation.from_rotvec(logs[1]).apply([0, 1, 0]), [0, -1, 0], atol=1e-5)
    hidden = torch.tensor([[1.0, 1, 1, 1, 0]])
    half = compute_pair_rotations(points, hidden, parts)[0]
    np.testing.assert_array_equal(half[[1, 3, 4, 5]], 0)
    np.testing.assert_array_equal(half[0], logs[0])
    frameless = compute_pair_rotations(points, torch.tensor([[0.0, 1, 1, 1, 1]]), parts)
    np.testing.assert_array_equal(frameless, 0)


def test_parts_of_other_skeletons():
    assert choose_parts(33) is BLAZEPOSE_PARTS
    assert choose_parts(4, [[0, 1], [2, 2], [1, 3]]).pairs == ((0, 1), (1, 3))
    assert choose_parts(3).pairs == ((0, 1), (1, 2))
    assert len(choose_parts(40).pairs) == 16
    assert choose_parts(1).n_features == 0


@pytest.mark.parametrize("make", [ChannelAttention, lambda: PositionAttention(16)])
def test_attention_with_gamma_zero_is_the_identity_and_with_another_is_not(make):
    torch.manual_seed(2)
    layer, maps = make(), torch.randn(3, 16, 4, 4)
    assert layer.gamma.item() == 0
    np.testing.assert_array_equal(layer(maps).detach(), maps)
    torch.nn.init.constant_(layer.gamma, 0.5)
    assert (layer(maps) - maps).abs().max() > 0.05


def test_channel_attention_is_the_softmax_of_the_gram_matrix():
    layer, maps = ChannelAttention(), 0.3 * torch.randn(1, 6, 4, 5)
    torch.nn.init.constant_(layer.gamma, 0.7)
    f = maps[0].reshape(6, 20).numpy()
    rho = f @ f.T
    o = np.exp(rho - rho.max(axis=1, keepdims=True))
    o /= o.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer(maps)[0].detach().reshape(6, 20), 0.7 * (o @ f) + f, atol=1e-5)


def test_position_attention_does_not_care_where_the_positions_are():
    torch.manual_seed(3)
    layer, maps = PositionAttention(16), torch.randn(2, 16, 4, 4)
    torch.nn.init.constant_(layer.gamma, 1.0)
    order = torch.randperm(16)
    shuffled = maps.flatten(2)[:, :, order].view(maps.shape)
    np.testing.assert_allclose(layer(shuffled).flatten(2).detach(), layer(maps).flatten(2)[:, :, order].detach(), atol=1e-5)


def test_both_fusions_start_as_their_convolutions_and_stand_side_by_side():
    torch.manual_seed(4)
    maps = torch.randn(3, 12, 4, 4)
    cfam, cfdam = Cfam(12, 8).eval(), Cfdam(12, 8).eval()
    np.testing.assert_allclose(cfam(maps).detach(), cfam.leave(cfam.enter(maps)).detach(), atol=1e-6)
    np.testing.assert_allclose(cfdam(maps).detach(), cfdam.leave(cfdam.enter(maps)).detach(), atol=1e-6)
    both = CrossFusion(12, 8).eval()
    np.testing.assert_array_equal(both(maps).detach(), torch.cat([both.cfam(maps), both.cfdam(maps)], dim=1).detach())
    assert both(maps).shape == (3, 16, 4, 4)
