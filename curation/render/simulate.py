"""Poses without pictures: what a pose estimator would say of rendered lessons, in seconds instead of minutes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.render.behaviours import RATE
from curation.render.classroom import RenderConfig, set_up
from curation.render.measure import majority
from curation.render.scene import CAMERAS
from curation.render.stage import observe, seed_for
from schemas.sequences import SequenceSet
from schemas.vocabulary import BLAZEPOSE_33

__all__ = ["add_estimator_noise", "simulate_poses"]

Array = NDArray[np.float64]


def _by_joint(head: float, shoulder: float, elbow: float, wrist: float, hand: float, hip: float, leg: float) -> Array:
    """Return one value for each of the 33 landmarks."""
    return np.repeat([head, shoulder, elbow, wrist, hand, hip, leg], [11, 2, 2, 2, 6, 2, 8])


_SPREAD_SEEN = _by_joint(0.036, 0.030, 0.052, 0.055, 0.072, 0.070, 0.14)
_SPREAD_HIDDEN = _by_joint(0.050, 0.050, 0.060, 0.30, 0.34, 0.150, 0.42)
"""Standard deviation of a landmark's error along x and y, in torso sizes, of landmarks in sight and out of sight."""
_SURE_SEEN = _by_joint(0.997, 0.997, 0.95, 0.84, 0.72, 0.997, 0.7)
_SURE_HIDDEN = _by_joint(0.995, 0.995, 0.95, 0.45, 0.40, 0.997, 0.2)
"""Visibility that the estimator gives them."""
_BIAS = _by_joint(-0.03, 0.0, -0.03, 0.0, -0.04, 0.0, 0.0)
"""How far above (negative) their place it puts them, in torso sizes."""
_DEEPER = _by_joint(3.5, 3.2, 3.2, 3.0, 3.0, 0.2, 0.0)
"""What it makes of z: of the same sign, but several times too large above the hips, and for hidden legs no more than a guess."""


def simulate_poses(
    *, seed: int = 0, lessons: int = 24, seconds: float = 48.0, window: float = 2.0, fps: float = 6.0, noise: float = 1.0,
    config: RenderConfig | None = None,
) -> SequenceSet:  # fmt: skip
    """Return labelled pose sequences of rendered lessons as a pose estimator would see them, without drawing anything.

    Every lesson has a class of its own (other students, other looks, other ways of moving) and is seen by one camera, in turn.

    Args:
        seed: same seed, same sequences.
        lessons: number of lessons; one group each.
        seconds: length of a lesson.
        window: length of a sequence in seconds.
        fps: samples per second.
        noise: size of the estimator's errors; 1 = as measured, 0 = the exact landmarks.
        config: rows, columns and picture size of the room [default: those of `RenderConfig`].

    Returns:
        pose (N, S, 33, 4): x px, y px, z, visibility, NaN where nobody was found; label = behaviour of most frames of the window;
        group = lesson; id = lesson/student/window.

    Raises:
        InvalidField: if a number is out of its range.
    """
    from attrs import evolve

    base = evolve(config or RenderConfig(), seed=seed, lessons=lessons, seconds=seconds, classes=0)
    samples = max(1, round(window * fps))
    poses, labels, groups, ids = [], [], [], []
    for lesson in range(lessons):
        room, camera, plan = set_up(base, lesson, list(CAMERAS)[lesson % len(CAMERAS)])
        n_windows = int(seconds / window + 1e-6)
        starts = np.arange(n_windows) * window
        times = (starts[:, None] + np.arange(samples) / fps).ravel()
        truth, _ = observe(plan, room, camera, times, fps)
        dense = np.stack([_labels_of(member.performance.behaviour, starts, window) for member in plan.members], axis=1)
        rng = seed_for(seed, "estimator", lesson)
        shape = (n_windows, samples, len(plan.members), 33, 4)
        seen = add_estimator_noise(truth.pose.reshape(shape).astype(np.float64), rng, noise)
        for w, p in np.ndindex(n_windows, len(plan.members)):
            if np.isfinite(seen[w, :, p, 0, 0]).mean() >= 0.5:
                poses.append(seen[w, :, p])
                labels.append(dense[w, p])
                groups.append(plan.name)
                ids.append(f"{plan.name}/{plan.members[p].name}/{w}")
    return SequenceSet(
        pose=np.array(poses), label=np.array(labels), group=np.array(groups), id=np.array(ids),
        skeleton=np.array(BLAZEPOSE_33.edges), fps=fps,
    )  # fmt: skip


def _labels_of(behaviour: NDArray[np.int64], starts: NDArray[Any], window: float) -> NDArray[np.str_]:
    from curation.render.behaviours import BEHAVIOURS

    names = np.array(BEHAVIOURS)[behaviour]
    spans = [(round(start * RATE), round((start + window) * RATE)) for start in starts]
    return np.array([majority(names[a:b]) for a, b in spans])


def add_estimator_noise(pose: Array, rng: np.random.Generator, scale: float) -> Array:
    """Return true poses (W, S, P, 33, 4) as an estimator would give them.

    An error that stays over the window, one that drifts and one of each frame, in parts of the torso's size, with the spread that
    the real estimator showed on drawn frames, larger for bodies bent over the desk and for some people at some times; arms taken to
    be elsewhere; and frames in which nobody is found. `scale` multiplies all of it.
    """
    if scale == 0:
        return pose.copy()
    windows, samples, people = pose.shape[:3]
    trunk = pose[..., [11, 12], :3].mean(axis=-2) - pose[..., [23, 24], :3].mean(axis=-2)
    size = np.linalg.norm(trunk, axis=-1)[..., None]
    flat = np.clip(0.8 - np.linalg.norm(trunk[..., :2], axis=-1)[..., None] / size, 0, 0.5)
    hidden = pose[..., 3] < 0.5
    bad_day = np.exp(rng.normal(-0.05, 0.4, (windows, 1, people, 1)))
    spread = np.where(hidden, _SPREAD_HIDDEN, _SPREAD_SEEN) * (1 + 6 * flat) * bad_day
    still = rng.normal(0, 0.9, (windows, 1, people, 33, 3))
    drift = np.cumsum(rng.normal(0, 0.17, (windows, samples, people, 33, 3)), axis=1)
    white = rng.normal(0, 0.2, (windows, samples, people, 33, 3))
    noisy = pose.copy()
    noisy[..., :3] += scale * (still + drift + white) * (spread * size)[..., None] * [1, 1, 2]
    noisy[..., 1] += scale * _BIAS * size
    deeper = _DEEPER * np.exp(rng.normal(0, 0.25, (windows, 1, people, 1)))
    z = noisy[..., 2] * deeper + _guess_legs(rng, hidden.shape) * size
    noisy[..., 2] += min(scale, 1.0) * (z - noisy[..., 2])
    _lose_arms(noisy, rng, size, scale)
    sure = np.where(hidden, _SURE_HIDDEN, _SURE_SEEN)
    doubt = (1 - sure) * np.exp(rng.normal(-0.2, 1.0, (windows, 1, people, 33)) + rng.normal(0, 0.3, pose.shape[:-1]))
    noisy[..., 3] = np.clip(1 - doubt, 0, 1)
    noisy[rng.random((windows, samples, people)) < 0.01 * scale] = np.nan
    return noisy


def _guess_legs(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return z (W, S, P, 33) for legs, in torso sizes, and 0 elsewhere."""
    legs = np.zeros(shape)
    legs[..., 25:27] = rng.normal(-0.2, 0.9, (shape[0], 1, shape[2], 1))
    legs[..., 27:] = rng.normal(1.1, 1.1, (shape[0], 1, shape[2], 1))
    return legs


def _lose_arms(pose: Array, rng: np.random.Generator, size: Array, scale: float) -> None:
    """Put the hand of some windows elsewhere: on the other hand, or far off its place."""
    windows, _, people = pose.shape[:3]
    for side in (0, 1):
        hand, other = np.arange(15 + side, 23 + side, 2), np.arange(16 - side, 24 - side, 2)
        kind = rng.random((windows, people))
        off = rng.normal(0, 0.3, (windows, people, 2))
        for w, p in np.argwhere(kind < 0.06 * scale):
            if kind[w, p] < 0.025 * scale:
                pose[w, :, p, hand, :2] = pose[w, :, p, other, :2]
            else:
                pose[w, :, p, hand, :2] += off[w, p] * size[w, :, p, None].mean()
