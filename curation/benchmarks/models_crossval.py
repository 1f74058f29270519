"""`curate bench models --part crossval`: what `curate crossval` says of sequence files of many kinds, `default` beside trees.

Rendered lessons as 33, 17 and 13 keypoints, in two and three dimensions, from 200 to 1 400 sequences; and, if the environment
names their folder, real MediaPipe rows of exercises, read as `curate crossval --sequences rows.csv` reads them. Both models are
judged on the same folds by group. Most exercises are solved by anybody: what those show is that `default` loses nothing there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult
from curation.benchmarks.mislabels_data import EXERCISES
from schemas.sequences import SequenceSet, read_sequences
from schemas.vocabulary import BLAZEPOSE_33, COCO_17, JOINTS_13, Skeleton

__all__ = ["CrossRun", "bench_crossval", "cut_keypoints", "describe_crossval"]

BASELINE = "extra-trees"
_MOST_SEQUENCES, _FEW, _LEAST_GROUPS = 1_400, 200, 2
_LEAST_GAIN, _MOST_SECONDS = 0.05, 480.0


@frozen(kw_only=True)
class CrossRun:
    """One model on one file and seed: macro-F1 and accuracy out of fold, in [0, 1]; seconds of the clock; how many sequences."""

    data: str
    model: str
    seed: int
    n: int
    f1: float
    accuracy: float
    seconds: float


def bench_crossval(*, rounds: int, seed: int = 0, models: Sequence[str] = ()) -> BenchResult:
    """Cross-validate `default` and `extra-trees`, or `models` (for how long they take), on every file and `rounds` seeds."""
    from backends.behaviour import MODELS

    names = tuple(models) or ("default", BASELINE)
    for name in names:
        MODELS.load(name)
    runs = []
    for number in range(seed, seed + rounds):
        for data, sequences in _list_files(number).items():
            for name in names:
                runs.append(_cross(data, sequences, name, number))
                sys.stderr.write(f"seed {number}: {data}: {_say(runs[-1])}\n")
    return describe_crossval(runs)


def cut_keypoints(sequences: SequenceSet, skeleton: Skeleton, *, n_dims: int, most: int, seed: int) -> SequenceSet:
    """Return at most `most` sequences of MediaPipe's landmarks, at random, as another skeleton, x, y[, z] of each; no limbs."""
    nodes = [BLAZEPOSE_33.nodes.index(name) for name in skeleton.nodes]
    rows = np.sort(np.random.default_rng(seed).permutation(len(sequences))[:most])
    kept = sequences.take(rows)
    return SequenceSet(pose=kept.pose[:, :, nodes, :n_dims], label=kept.label, group=kept.group, fps=kept.fps)


def _list_files(seed: int) -> dict[str, SequenceSet]:
    """Return the sequences by name."""
    from curation.benchmarks.models import make_lessons

    lessons = make_lessons(seed)
    found = {
        "rendered, 33 landmarks with depth": lessons.take(np.arange(min(len(lessons), _MOST_SEQUENCES))),
        "rendered, 17 keypoints, 2-D": cut_keypoints(lessons, COCO_17, n_dims=2, most=_MOST_SEQUENCES, seed=seed),
        "rendered, 13 joints, 2-D": cut_keypoints(lessons, JOINTS_13, n_dims=2, most=_MOST_SEQUENCES, seed=seed),
        "rendered, 13 joints, 3-D, 200": cut_keypoints(lessons, JOINTS_13, n_dims=3, most=_FEW, seed=seed),
    }
    folder = os.environ.get(EXERCISES)
    rows = {path.stem: read_sequences(path) for path in sorted(Path(folder).glob("*.csv"))} if folder else {}
    for name, sequences in rows.items():
        if len(set(sequences.group.tolist())) < _LEAST_GROUPS:
            sys.stderr.write(f"{name}: one group, which leaves nothing to hold out\n")
        else:
            found[f"exercises, {name}"] = sequences
    return found


def _cross(data: str, sequences: SequenceSet, model: str, seed: int) -> CrossRun:
    from curation.crossval import cross_validate
    from curation.engines.local import count_cores

    start = time.perf_counter()
    found = cross_validate(sequences, model=model, n_folds=5, seed=seed, workers=min(count_cores(), 2))
    seconds = time.perf_counter() - start
    said = np.array(found.classes)[found.probs.argmax(axis=1)]
    return CrossRun(
        data=data,
        model=model,
        seed=seed,
        n=len(sequences),
        f1=_compute_f1(sequences.label, said, found.classes),
        accuracy=float((said == sequences.label).mean()),
        seconds=seconds,
    )


def _compute_f1(truth: NDArray[np.str_], said: NDArray[np.str_], classes: Sequence[str]) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(truth, said, labels=list(classes), average="macro", zero_division=0.0))


def describe_crossval(runs: Sequence[CrossRun]) -> BenchResult:
    """Return a row for each file and model, means over the seeds, and what was missed."""
    rows, missed, gains = [], [], {}
    for data in dict.fromkeys(run.data for run in runs):
        of_model = {name: [run for run in runs if (run.data, run.model) == (data, name)] for name in _list_models(runs)}
        rows += [_format(data, name, part) for name, part in of_model.items()]
        for name, part in of_model.items():
            longest = max(run.seconds for run in part)
            if longest > _MOST_SECONDS:
                missed.append(f"{data}: {name} takes {longest:.0f} s, wanted {_MOST_SECONDS:.0f}")
        if {"default", BASELINE} <= of_model.keys():
            ours, theirs = (_mean(of_model[name], lambda run: run.f1) for name in ("default", BASELINE))
            gains[data] = ours - theirs
            if ours < theirs:
                missed.append(f"{data}: default {ours:.4f} is below {BASELINE} {theirs:.4f}")
    line = f"crossval, {len({run.data for run in runs})} files, longest {max(run.seconds for run in runs):.0f} s"
    if gains:
        mean = float(np.mean(list(gains.values())))
        least = min(gains.values())
        line += f": default is {100 * mean:.1f} points of macro-F1 above {BASELINE} on average, {100 * least:+.1f} at least"
        if mean < _LEAST_GAIN:
            missed.append(f"default is {100 * mean:.1f} points above {BASELINE} on average, wanted {100 * _LEAST_GAIN:.0f}")
    return BenchResult(rows=tuple(rows), line=line, data=_tell(runs, gains), missed=tuple(missed))


def _tell(runs: Sequence[CrossRun], gains: Mapping[str, float]) -> dict[str, object]:
    return {"runs": [asdict(run) for run in runs], "gains": dict(gains)}


def _list_models(runs: Sequence[CrossRun]) -> list[str]:
    return list(dict.fromkeys(run.model for run in runs))


def _mean(runs: Sequence[CrossRun], read: Callable[[CrossRun], float]) -> float:
    return float(np.mean([read(run) for run in runs]))


def _format(data: str, name: str, runs: Sequence[CrossRun]) -> str:
    f1 = [run.f1 for run in runs]
    return (
        f"{data:<36} {name:<16} {runs[0].n:>5} sequences, macro-F1 {np.mean(f1):.3f} ({min(f1):.3f} to {max(f1):.3f}), "
        f"accuracy {_mean(runs, lambda run: run.accuracy):.3f}, {max(run.seconds for run in runs):.0f} s at most"
    )


def _say(run: CrossRun) -> str:
    return f"{run.model} macro-F1 {run.f1:.3f}, accuracy {run.accuracy:.3f}, {run.seconds:.0f} s"
