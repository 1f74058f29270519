"""Data sets whose labels are right, and ways to make some of them wrong."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from schemas.errors import FormatError, InvalidField

__all__ = ["DATA", "EXERCISES", "NOISES", "LabelledData", "flatten_sequences", "spoil_labels"]

EXERCISES = "CURATE_EXERCISE_POSES"
"""Environment variable: the folder with the exercise poses (MediaPipe landmarks of gymnastics, one CSV row a video frame)."""

NOISES = {
    "symmetric 20 %": ("symmetric", 0.2),
    "symmetric 40 %": ("symmetric", 0.4),
    "pairwise 20 %": ("pairwise", 0.2),
    "pairwise 40 %": ("pairwise", 0.4),
    "instance 30 %": ("instance", 0.3),
    "confusion 20 %": ("confusion", 0.2),
}
_N_SEQUENCES = 480
_WINDOW = 6
_RUNS_PER_GROUP = 2

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@frozen(kw_only=True, eq=False)
class LabelledData:
    """`features` (N, D), `truth` (N,) columns below `n_classes`, `groups` (N,) numbers; `judge` names who gives probabilities."""

    features: NDArray[np.float32]
    truth: Labels
    groups: Labels
    judge: str

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.truth.max()) + 1


def load_digits(seed: int) -> LabelledData:
    """Return scikit-learn's 1797 handwritten digits, real rows; every one its own group, judged by logistic regression."""
    from sklearn.datasets import load_digits as load

    pixels, truth = load(return_X_y=True)
    return LabelledData(
        features=(pixels / 16).astype(np.float32), truth=truth.astype(np.int64), groups=np.arange(len(truth)), judge="logreg"
    )


def load_rendered(seed: int) -> LabelledData:
    """Return 480 rendered sequences of ten lessons with an estimator's noise, another room for every seed; judged by trees."""
    from curation.render.simulate import simulate_poses

    sequences = simulate_poses(seed=seed, lessons=10, seconds=20.0, window=2.0, fps=3.0)
    rows = np.random.default_rng(seed).permutation(len(sequences))[:_N_SEQUENCES]
    return flatten_sequences(sequences.pose[rows], sequences.label[rows], sequences.group[rows])


def load_exercises(seed: int) -> LabelledData:
    """Return 480 windows of six frames of real landmarks of exercises; two neighbouring runs of one label make a group.

    Raises:
        InvalidField: if the environment names no folder.
        FormatError: if there is none of its files.
    """
    folder = os.environ.get(EXERCISES)
    if not folder:
        raise InvalidField(EXERCISES, "the folder of the exercise poses in the environment", "nothing")
    windows = [window for path in sorted(Path(folder).glob("*.csv")) for window in _read_windows(path)]
    if not windows:
        raise FormatError(folder, "files", "CSV files of landmarks", "none")
    rows = np.random.default_rng(seed).permutation(len(windows))[:_N_SEQUENCES]
    nodes = sorted({name for points, _, _ in windows for name in points})
    pose = np.full((len(rows), _WINDOW, len(nodes), 4), np.nan, np.float32)
    for i, row in enumerate(rows):
        for name, values in windows[row][0].items():
            pose[i, :, nodes.index(name)] = values
    return flatten_sequences(pose, np.array([windows[row][1] for row in rows]), np.array([windows[row][2] for row in rows]))


DATA: dict[str, Callable[[int], LabelledData]] = {"digits": load_digits, "rendered": load_rendered, "exercises": load_exercises}


def spoil_labels(data: LabelledData, noise: str, seed: int) -> Labels:
    """Return labels of which some are wrong.

    symmetric: any other class; pairwise: always the next class (B. Han et al., "Co-teaching", 2018); instance: which class, and how
    likely, follows from the features (X. Xia et al., "Part-dependent Label Noise", 2020, alg. 1); confusion: rows of the confusion
    of a nearest-centroid classifier on the clean data, scaled to the rate.

    Args:
        data: features and true classes.
        noise: a name in `NOISES`.
        seed: decides which.
    """
    kind, rate = NOISES[noise]
    rng = np.random.default_rng([seed, sorted(NOISES).index(noise)])
    truth, n_classes = data.truth, data.n_classes
    wrong = rng.random(len(truth)) < rate
    if kind == "symmetric":
        return np.where(wrong, (truth + rng.integers(1, n_classes, len(truth))) % n_classes, truth)
    if kind == "pairwise":
        return np.where(wrong, (truth + 1) % n_classes, truth)
    chances = _depend_on_features(data, rate, rng) if kind == "instance" else _confuse(data, rate)[truth]
    return np.asarray((chances.cumsum(axis=1) > rng.random(len(truth))[:, None]).argmax(axis=1))


def _depend_on_features(data: LabelledData, rate: float, rng: np.random.Generator) -> Floats:
    rows = np.arange(len(data.truth))
    flip = np.clip(rng.normal(rate, 0.1, len(rows)), 0, 1)
    scaled = (data.features - data.features.mean(axis=0)) / np.maximum(data.features.std(axis=0), 1e-3)
    scaled /= np.sqrt(scaled.shape[1])
    scores = np.empty((len(rows), data.n_classes))
    for k in range(data.n_classes):
        mine = data.truth == k
        scores[mine] = scaled[mine] @ rng.normal(size=(scaled.shape[1], data.n_classes))
    scores[rows, data.truth] = -np.inf
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances *= (flip / chances.sum(axis=1))[:, None]
    chances[rows, data.truth] = 1 - flip
    return np.asarray(chances)


def _confuse(data: LabelledData, rate: float) -> Floats:
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.neighbors import NearestCentroid

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        said = cross_val_predict(NearestCentroid(), data.features, data.truth, groups=data.groups, cv=GroupKFold(5))
    matrix = np.zeros((data.n_classes, data.n_classes))
    np.add.at(matrix, (data.truth, said), 1)
    np.fill_diagonal(matrix, 0)
    matrix += 1e-3 * ~np.eye(data.n_classes, dtype=bool)
    per_row = matrix.sum(axis=1) / np.maximum(np.bincount(data.truth, minlength=data.n_classes), 1)
    share = float((per_row[data.truth]).mean())
    wanted = np.minimum(per_row * rate / share, 0.45)
    matrix *= (wanted / matrix.sum(axis=1))[:, None]
    np.fill_diagonal(matrix, 1 - wanted)
    return matrix


def flatten_sequences(pose: NDArray[np.float32], label: NDArray[Any], group: NDArray[Any]) -> LabelledData:
    """Return poses (N, T, V, C) as flat features, labels and groups as numbers, to be judged by trees."""
    from backends.behaviour.flat import flatten_poses

    features = flatten_poses(pose, pose.shape[1])
    truth, groups = (np.unique(values, return_inverse=True)[1].astype(np.int64) for values in (label, group))
    return LabelledData(features=features, truth=truth, groups=groups, judge="extra-trees")


Window = tuple[dict[str, NDArray[np.float32]], str, str]


def _read_windows(path: Path) -> Iterator[Window]:
    """Yield (landmark → (frames, 4), class, group) of consecutive rows of one label."""
    exercise = path.stem.split("_")[0]
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for run, (label, lines) in enumerate(groupby(rows, key=lambda row: row["label"])):
        frames = list(lines)
        names = [name.removesuffix("_x") for name in frames[0] if name and name.endswith("_x")]
        for start in range(0, len(frames) - _WINDOW + 1, _WINDOW):
            part = frames[start : start + _WINDOW]
            points = {name: np.array([[float(row[f"{name}_{c}"]) for c in "xyzv"] for row in part], np.float32) for name in names}
            yield points, f"{exercise}-{label}", f"{path.stem}/{run // _RUNS_PER_GROUP}"
