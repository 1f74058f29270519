"""Parametric motions: seated figures of 33 points doing one of eight things, each group with a build, place and manner of its
own."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.sequences import SequenceSet

CLASSES = ("attend", "look-aside", "phone", "raise-hand", "sleep", "stand", "turn-page", "write")


def base_pose():
    """(33, 3) seated figure, shoulder width about 1, y down."""
    pose = np.zeros((33, 3))
    pose[0] = (0, -0.75, -0.4)
    for i, x in zip((1, 2, 3), (0.06, 0.1, 0.14), strict=True):
        pose[i], pose[i + 3] = (x, -0.85, -0.35), (-x, -0.85, -0.35)
    pose[7], pose[8], pose[9], pose[10] = (0.2, -0.8, 0), (-0.2, -0.8, 0), (0.07, -0.62, -0.35), (-0.07, -0.62, -0.35)
    for side, s in ((0, 1), (1, -1)):
        pose[11 + side], pose[13 + side], pose[15 + side] = (0.5 * s, 0, 0), (0.62 * s, 0.65, -0.1), (0.35 * s, 1.0, -0.5)
        for k in (17, 19, 21):
            pose[k + side] = (0.28 * s, 1.05, -0.55)
        pose[23 + side], pose[25 + side], pose[27 + side] = (0.3 * s, 1.4, 0), (0.35 * s, 1.6, -0.9), (0.35 * s, 2.4, -0.8)
        pose[29 + side], pose[31 + side] = (0.35 * s, 2.5, -0.7), (0.35 * s, 2.55, -1.0)
    return pose


def move_pose(pose, name, t, manner):
    """Bend one frame (33, 3) at time t in seconds to a behaviour."""
    head, arm = slice(0, 11), [13, 15, 17, 19, 21]
    if manner["left"]:
        arm = [i + 1 for i in arm]
    if name in ("write", "turn-page", "phone"):
        pose[head, 1] += 0.18
        pose[head, 2] -= 0.15
    wave = np.sin(2 * np.pi * (manner["rate"] * t + manner["phase"]))
    if name == "write":
        pose[arm[1:], 0] += 0.12 * np.sin(2 * np.pi * (1.7 * t + manner["phase"]))
    elif name == "turn-page":
        pose[arm[1:], 0] += -0.35 * max(wave, 0)
        pose[arm[1:], 1] -= 0.2 * max(wave, 0)
    elif name == "phone":
        pose[[15, 17, 19, 21], 0] -= 0.22
        pose[[16, 18, 20, 22], 0] += 0.22
        pose[15:23, 1] -= 0.25
    elif name == "raise-hand":
        pose[arm[0], 1] -= 0.7
        pose[arm[1:], 1] -= 2.1 + 0.05 * wave
    elif name == "look-aside":
        pose[head, 0] += (0.12 * wave) - 0.5 * wave * pose[head, 2]
    elif name == "sleep":
        pose[head, 1] += 0.75
        pose[[11, 12], 1] += 0.25
    elif name == "stand":
        pose[:23, 1] -= 0.35
        pose[23:25, 1] -= 0.2
        pose[13:23, 1] += 0.15
    return pose


def make_sequences(n=160, *, n_groups=8, n_frames=12, n_nodes=33, n_channels=4, classes=CLASSES, seed=0, noise=0.04, fps=6.0):
    """Return a `SequenceSet` of px coordinates with classes and groups spread evenly, and about 2 % of the points unseen."""
    rng = np.random.default_rng(seed)
    builds = rng.normal(1, 0.05, (n_groups, 33, 1)) * rng.normal(1, 0.08, (n_groups, 1, 2))
    places, sizes, leans = rng.uniform(100, 1000, (n_groups, 2)), rng.uniform(30, 120, n_groups), rng.normal(0, 0.08, n_groups)
    label = np.array([classes[i % len(classes)] for i in range(n)])
    group = np.array([(i // len(classes)) % n_groups for i in range(n)])
    pose = np.zeros((n, n_frames, 33, 4), np.float32)
    for i in range(n):
        manner = {"left": rng.random() < 0.4, "rate": rng.uniform(0.4, 0.8), "phase": rng.random(), "soft": rng.uniform(0.7, 1.1)}
        for f in range(n_frames):
            base = base_pose()
            moved = base + manner["soft"] * (move_pose(base.copy(), label[i], f / fps, manner) - base)
            moved[:, 0] += leans[group[i]] * moved[:, 1]
            moved[:, :2] = moved[:, :2] * builds[group[i]] + rng.normal(0, noise, (33, 2))
            pose[i, f, :, :2] = moved[:, :2] * sizes[group[i]] + places[group[i]]
            pose[i, f, :, 2] = (moved[:, 2] + rng.normal(0, 3 * noise, 33)) * sizes[group[i]]
            pose[i, f, :, 3] = rng.uniform(0.6, 1, 33)
    pose[rng.random(pose.shape[:3]) < 0.02] = np.nan
    names = np.array([f"video-{g}" for g in group])
    return SequenceSet(pose=pose[:, :, :n_nodes, :n_channels], label=label, group=names, fps=fps)


def spoil_labels(label, share, *, seed=0):
    """Return labels of which `share` are changed to another class at random, and the mask of those changed."""
    rng = np.random.default_rng(seed)
    classes = np.unique(label)
    wrong = np.zeros(len(label), bool)
    wrong[rng.permutation(len(label))[: round(share * len(label))]] = True
    position = np.searchsorted(classes, label)
    shift = rng.integers(1, len(classes), len(label))
    return np.where(wrong, classes[(position + shift) % len(classes)], label), wrong


@pytest.fixture(scope="session")
def sequence_factory():
    """`make_sequences`."""
    return make_sequences


@pytest.fixture(scope="session")
def label_spoiler():
    """`spoil_labels`."""
    return spoil_labels
