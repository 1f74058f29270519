"""`curate bench vision --part fusion`: st-fusion against its RGB half and its skeleton half, in usual and in low light.

Twelve rendered lessons, each of another class; round r trains on eight and tests on the four of fold r mod 3, in the light of
training and once more drawn in low light, which no training lesson has.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.behaviour.st_fusion.model import StFusion
from backends.behaviour.st_fusion.network import HALVES, Half
from curation.benchmarks import BenchResult
from curation.benchmarks.vision_lessons import draw_lessons
from schemas.sequences import SequenceSet

__all__ = ["bench_fusion", "measure_fold", "measure_half"]

LESSONS, FOLDS, SECONDS = 12, 3, 20.0
DATA_SEED = 0
MOST_LOST_IN_LOW_LIGHT = 0.02
_TIMED = 24


def bench_fusion(*, rounds: int, seed: int = 0) -> BenchResult:
    """Train each half and both, `rounds` times (seed, seed + 1, …), and compare.

    Args:
        rounds: trainings of each.
        seed: of the first training; the lessons are the same for all.
    """
    options: dict[str, Any] = {"seed": DATA_SEED, "lessons": LESSONS, "seconds": SECONDS}
    lit, dim = draw_lessons(light="normal", **options), draw_lessons(light="dim", **options)
    measured = [measure_fold(lit, dim, fold=number % FOLDS, seed=number) for number in range(seed, seed + rounds)]
    mean = {half: {key: float(np.mean([m[half][key] for m in measured])) for key in measured[0][half]} for half in HALVES}
    rows = [
        f"{half:8}  accuracy {facts['accuracy']:.3f} ({_span(measured, half, 'accuracy')})  macro-F1 {facts['f1']:.3f}  "
        f"low light {facts['dim']:.3f} ({_span(measured, half, 'dim')})  {facts['params']:.0f} parameters  "
        f"{facts['ms']:.1f} ms of CPU a tubelet  trained in {facts['fit_s']:.0f} s of CPU"
        for half, facts in mean.items()
    ]
    both, lost = mean["both"], mean["both"]["accuracy"] - mean["both"]["dim"]
    missed = [
        f"st-fusion {both['accuracy']:.3f} is below its {half} half {mean[half]['accuracy']:.3f}"
        for half in ("rgb", "skeleton")
        if both["accuracy"] < mean[half]["accuracy"]
    ]
    if lost > MOST_LOST_IN_LOW_LIGHT:
        missed.append(f"low light costs {100 * lost:.1f} points, more than {100 * MOST_LOST_IN_LOW_LIGHT:.0f}")
    line = (
        f"fusion (rendered): {both['accuracy']:.3f}, RGB alone {mean['rgb']['accuracy']:.3f}, skeleton alone "
        f"{mean['skeleton']['accuracy']:.3f}; low light {-100 * lost:+.1f} points; {rounds} rounds"
    )
    return BenchResult(rows=tuple(rows), line=line, data={"mean": mean, "rounds": measured}, missed=tuple(missed))


def measure_fold(lit: SequenceSet, dim: SequenceSet, *, fold: int, seed: int) -> dict[str, dict[str, float]]:
    """Return for each half what it reaches on a fold it was not trained on; see `measure_half`."""
    return {half: measure_half(half, lit, dim, fold=fold, seed=seed) for half in HALVES}


def measure_half(half: Half, lit: SequenceSet, dim: SequenceSet, *, fold: int, seed: int) -> dict[str, float]:
    """Train one half on all lessons but those of a fold, and measure it on these.

    Args:
        half: what is read.
        lit: sequences in the light of training.
        dim: the same ones in low light.
        fold: which lessons are tested.
        seed: of training.
    """
    names = np.array(sorted(set(lit.group.tolist())))
    test = np.isin(lit.group, names[np.arange(len(names)) % FOLDS == fold])
    train, held, dark = lit.take(~test), lit.take(test), dim.take(test)
    start = time.process_time()
    model = StFusion(half=half).fit(train, seed=seed)
    fit_s = time.process_time() - start
    said, in_dark = _answer(model, held), _answer(model, dark)
    start = time.process_time()
    for i in range(_TIMED):
        model.predict_proba(held.pose[[i]], held.crops[[i]] if held.crops is not None else None)
    return {
        "accuracy": float((said == held.label).mean()),
        "f1": _compute_f1(held.label, said),
        "dim": float((in_dark == dark.label).mean()),
        "params": float(model.count_parameters()),
        "ms": 1000 * (time.process_time() - start) / _TIMED,
        "fit_s": fit_s,
    }


def _answer(model: StFusion, sequences: SequenceSet) -> NDArray[np.str_]:
    said: NDArray[np.str_] = np.array(model.classes)[model.predict_proba(sequences.pose, sequences.crops).argmax(axis=1)]
    return said


def _compute_f1(truth: NDArray[np.str_], said: NDArray[np.str_]) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(truth, said, average="macro"))


def _span(measured: list[dict[str, dict[str, float]]], half: str, key: str) -> str:
    values = [m[half][key] for m in measured]
    return f"{min(values):.3f} to {max(values):.3f}"
