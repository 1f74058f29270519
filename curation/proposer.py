"""Building the proposer that ships with the tool: the pose CNN-LSTM of seed D, trained on rendered classrooms.

Nothing is drawn for the training: the renderer says where every landmark of every student is in every frame, and landmark noise
as a pose network makes it (larger where a point is hidden) is added. Rebuild with ``python -m curation.proposer``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.sequences import SequenceSet, read_sequences
from schemas.vocabulary import load_taxonomy

if TYPE_CHECKING:
    from backends.behaviour.cnn_lstm import CnnLstm
    from curation.render import Truth

__all__ = ["TAXONOMY", "add_landmark_noise", "build_proposer", "cut_windows", "simulate_sequences", "train_proposer"]

TAXONOMY, AXIS = "learning-behaviours", "behaviour"
WINDOW, FPS = 2.0, 6.0
N_CLASSROOMS = 60
_PURE = 0.75
_SPREAD = np.array([0.07] * 11 + [0.12] * 2 + [0.18] * 2 + [0.24] * 2 + [0.28] * 6 + [0.2] * 2 + [0.35] * 8)
"""Standard deviation of MediaPipe's error at each landmark of rendered students, in shoulder widths (hidden ones included)."""


def simulate_sequences(
    n_classrooms: int, *, seed: int, seconds: float = 40.0, per_class: int | None = None, noise: float = 1.0
) -> SequenceSet:
    """Return windows of 2 s at 6 frames/s of simulated students, as noisy landmarks; a classroom is a group.

    A window is kept if one behaviour fills three quarters of it, and with `per_class` at most so many of each behaviour a
    classroom.

    Args:
        n_classrooms: how many rooms, each with its own students, furniture and cameras.
        seed: decides everything.
        seconds: length of each lesson.
        per_class: see above.
        noise: scales the landmark noise; 0 = exact landmarks.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(n_classrooms):
        pose, label = _observe_classroom(seed * 100_003 + number, seconds, rng)
        kept = _thin(label, per_class, rng)
        noisy = add_landmark_noise(pose[kept], rng, scale=noise)
        parts.append((noisy, label[kept], np.full(len(kept), f"room-{number:03d}")))
    pose, label, group = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return SequenceSet(pose=pose, label=label, group=group, fps=FPS)


def _observe_classroom(seed: int, seconds: float, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Return windows (N, S, 33, 4) and labels (N,) of one lesson seen by one camera."""
    from curation.render.classroom import RenderConfig, set_up
    from curation.render.scene import CAMERAS
    from curation.render.stage import observe

    rows, columns = ((1, 3), (2, 3), (2, 4), (1, 2), (2, 2))[int(rng.integers(5))]
    config = RenderConfig(seed=seed, lessons=1, cameras=1, rows=rows, columns=columns, seconds=seconds, fps=FPS)
    room, camera, lesson = set_up(config, 0, list(CAMERAS)[int(rng.integers(len(CAMERAS)))])
    truth, _ = observe(lesson, room, camera, np.arange(round(seconds * FPS)) / FPS, FPS)
    return cut_windows(truth)


def cut_windows(truth: Truth, *, step: float = WINDOW) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Cut exact landmarks into windows of 2 s at 6 frames/s that one behaviour fills to three quarters.

    Returns:
        pose (N, 12, 33, 4) px, and labels (N,).
    """
    n_samples = round(WINDOW * FPS)
    poses, labels = [], []
    offsets = np.floor(np.arange(n_samples) / FPS * truth.fps + 1e-6).astype(int)
    for start in np.arange(0, len(truth.behaviour) / truth.fps - WINDOW + 1e-6, step):
        rows = round(start * truth.fps) + offsets
        for person in range(truth.pose.shape[1]):
            names, counts = np.unique(truth.behaviour[rows, person], return_counts=True)
            if counts.max() >= _PURE * n_samples and truth.pose[rows, person, :11, 3].mean() > 0.2:
                poses.append(truth.pose[rows, person])
                labels.append(str(names[counts.argmax()]))
    return np.asarray(poses, np.float32).reshape(-1, n_samples, 33, 4), np.array(labels, np.str_)


def add_landmark_noise(pose: NDArray[np.float32], rng: np.random.Generator, *, scale: float = 1.0) -> NDArray[np.float32]:
    """Return (N, T, 33, 4) poses as MediaPipe gives them for such students, by what was measured on rendered lessons.

    Positions: a bias per sequence and point, a slow drift and a jitter per frame, in shares of the body's size, small in the face
    and large at hands and hips (`_SPREAD`). z: right in kind, wrong by a factor of about 3.5 that differs from person to person.
    Visibility: about 1 even for hips behind a desk, anything for hands.
    """
    n, n_frames = pose.shape[:2]
    width = np.linalg.norm(pose[:, :, 11, :2] - pose[:, :, 12, :2], axis=-1)
    torso = np.linalg.norm(pose[:, :, 11:13, :2].mean(axis=2) - pose[:, :, 23:25, :2].mean(axis=2), axis=-1)
    size = np.median(np.maximum(width, torso / 1.5), axis=1)[:, None, None, None]
    spread = _SPREAD[None, None, :, None] * rng.lognormal(-0.1, 0.4, (n, 1, 1, 1))
    drift = rng.normal(0, 0.4, (n, 1, 33, 2)) * np.linspace(-1, 1, n_frames)[None, :, None, None]
    shake = rng.normal(0, 0.75, (n, 1, 33, 2)) + drift + rng.normal(0, 0.45, (n, n_frames, 33, 2))
    noisy = pose.astype(np.float64)
    noisy[..., :2] += scale * size * spread * shake
    factor = 3.5 ** (scale * rng.normal(1, 0.45, (n, 1, 1, 1)))
    rough = rng.normal(0, 0.35, (n, 1, 33, 1)) + rng.normal(0, 0.25, (n, n_frames, 33, 1))
    noisy[..., 2:3] = noisy[..., 2:3] * factor + scale * size * rough
    if scale > 0:
        doubt = np.where(_SPREAD > 0.13, 0.35, 0.01) * (np.arange(33) < 23)
        noisy[..., 3] = np.clip(1 - doubt * np.abs(rng.normal(0, 1, (n, 1, 33)) + rng.normal(0, 0.3, (n, n_frames, 33))), 0, 1)
    return noisy.astype(np.float32)


def _thin(label: NDArray[np.str_], per_class: int | None, rng: np.random.Generator) -> NDArray[np.int64]:
    if per_class is None:
        return np.arange(len(label))
    rows = [rng.permutation(np.flatnonzero(label == name))[:per_class] for name in np.unique(label)]
    return np.sort(np.concatenate(rows)) if rows else np.arange(0)


def train_proposer(sequences: SequenceSet, *, seed: int = 0) -> CnnLstm:
    """Train the network with mirrored batches: in this taxonomy the side does not matter."""
    from backends.behaviour.cnn_lstm import CnnLstm

    classes = load_taxonomy(TAXONOMY).axis(AXIS).values
    return CnnLstm(mirror=True).fit(sequences, classes=classes, seed=seed)


def build_proposer(
    out: str | Path, *, seed: int = 0, n_classrooms: int = N_CLASSROOMS, check: SequenceSet | None = None
) -> dict[str, Any]:
    """Train the proposer, measure it on other simulated classrooms, write it to the folder `out`, and return the measurement.

    `check` are labelled sequences of another kind (poses found by MediaPipe in rendered lessons) to be measured on as well.

    Raises:
        StorageError: if `out` cannot be written to.
    """
    taught = simulate_sequences(n_classrooms, seed=seed + 1, per_class=8)
    asked = simulate_sequences(max(2, n_classrooms // 6), seed=seed + 2, per_class=8)
    model = train_proposer(taught, seed=seed)
    said = np.array(model.classes)[model.predict_proba(asked.pose).argmax(axis=1)]
    measured = {name: round(float((said == asked.label)[asked.label == name].mean()), 3) for name in asked.classes}
    accuracy = round(float((said == asked.label).mean()), 3)
    training: dict[str, Any] = {
        "data": "rendered classrooms (curation.render): exact landmarks with simulated landmark noise; no real person",
        "sequences": len(taught),
        "classrooms": n_classrooms,
        "seed": seed,
        "accuracy_rendered_other_classrooms": accuracy,
        "recall_rendered_other_classrooms": measured,
        "note": "figures are on rendered students with simulated noise; on real ones it only makes first proposals",
    }
    if check is not None:
        found = np.array(model.classes)[model.predict_proba(check.pose).argmax(axis=1)] == check.label
        training["accuracy_rendered_mediapipe"] = round(float(found.mean()), 3)
        training["sequences_rendered_mediapipe"] = len(check)
    card = {
        "taxonomy": TAXONOMY,
        "axis": AXIS,
        "input": "pose (N, 12, 33, 4): MediaPipe landmarks x px, y px, z, visibility, 2 s at 6 frames/s; NaN for unseen",
        "training": training,
        "licence": "Apache-2.0",
        "rebuild": f"python -m curation.proposer --seed {seed} --classrooms {n_classrooms} --out backends/data/proposer",
    }
    model.save(out, card)
    return training


def main(arguments: list[str] | None = None) -> None:
    """Rebuild the proposer from the command line."""
    from backends.behaviour import PROPOSER

    parser = argparse.ArgumentParser(prog="python -m curation.proposer", description=__doc__)
    parser.add_argument("--out", default=str(PROPOSER))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classrooms", type=int, default=N_CLASSROOMS)
    parser.add_argument("--check", help="sequence file of found poses to measure on as well")
    options = parser.parse_args(arguments)
    check = read_sequences(options.check) if options.check else None
    training = build_proposer(options.out, seed=options.seed, n_classrooms=options.classrooms, check=check)
    sys.stdout.write(
        f"{options.out}: {training['sequences']} sequences, accuracy {training['accuracy_rendered_other_classrooms']}\n"
    )


if __name__ == "__main__":
    main()
