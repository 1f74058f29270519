"""`curate bench models --part compress`: DRN-LSTM and the hand branch slimmed, beside the whole networks, on rendered lessons.

Both are asked about lessons that neither has seen; the times of the whole and of the slim network are taken in turns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult
from schemas.sequences import SequenceSet

__all__ = ["SlimRun", "bench_compress", "describe_compress", "measure_drn_lstm", "measure_hands", "time_networks"]

GONE = 0.84
CURVE = (0.7, 0.8, 0.9, 0.95)
LEAST_GONE, LEAST_TIME, MOST_LOST = 0.834, 0.474, 0.005
_BATCH = 256


@frozen(kw_only=True)
class SlimRun:
    """One network slimmed once: macro-F1 of the whole and the slim one, and what is gone.

    `wanted` is the share of the parameters that was to go, `gone` and `time_gone` the shares of parameters and time that went;
    `n_params` are left.
    """

    name: str
    wanted: float
    whole_f1: float
    slim_f1: float
    gone: float
    time_gone: float
    n_params: int


def bench_compress(*, rounds: int, seed: int = 0, parts: Sequence[str] = ()) -> BenchResult:
    """Slim both networks `rounds` times, and `drn-lstm` along the curve.

    The part "drn-lstm" or "hands" does the one only, "no-curve" leaves the curve out.
    """
    asked = [name for name in ("drn-lstm", "hands") if name in parts] or ["drn-lstm", "hands"]
    found: list[SlimRun] = []
    curve: list[SlimRun] = []
    for number in range(seed, seed + rounds):
        runs = measure_drn_lstm(number, () if "no-curve" in parts else CURVE) if "drn-lstm" in asked else []
        found, curve = [*found, *runs[:1]], [*curve, *runs[1:]]
        runs += [measure_hands(number)] if "hands" in asked else []
        found += runs[-1:] if "hands" in asked else []
        sys.stderr.writelines(f"seed {number}: {_format(run)}\n" for run in runs)
    return describe_compress(found, curve)


def measure_drn_lstm(seed: int, curve: Sequence[float] = ()) -> list[SlimRun]:
    """Train `drn-lstm` on two thirds of the lessons, slim it by `GONE` and by what `curve` says, and measure on the others."""
    from copy import deepcopy

    from backends.behaviour.slim import SlimDrnLstm
    from curation.benchmarks.models import make_lessons, split_lessons

    lessons = make_lessons(seed)
    test = split_lessons(lessons.group, seed=seed, random=False)
    train, asked = lessons.take(~test), lessons.take(test)
    model = SlimDrnLstm(gone=GONE).fit(train, classes=lessons.classes, seed=seed)
    whole = deepcopy(model)
    whole._network = model.teacher
    runs = [_compare_models(whole, model, asked)]
    sparse = deepcopy(whole).fit_sparse(train, seed=seed) if curve else whole
    for gone in curve:
        slim = deepcopy(sparse)
        slim.gone = gone
        runs.append(_compare_models(whole, slim.slim(gone).tune(train, seed=seed), asked))
    return runs


def _compare_models(whole: Any, slim: Any, asked: SequenceSet) -> SlimRun:
    features = slim._prepare(np.resize(asked.pose, (_BATCH, *asked.pose.shape[1:])))
    scores = [_score(model.predict_proba(asked.pose), model.classes, asked.label) for model in (whole, slim)]
    return _describe_run("drn-lstm", slim.gone, scores, whole._require_network(), slim._require_network(), features)


def measure_hands(seed: int) -> SlimRun:
    """Train the hand branch on the hands of twelve lessons, slim it, and ask both about six others."""
    from backends.behaviour.hand_images import HandModel, prepare_pictures
    from curation.benchmarks.models_cascade import split_hands

    taught, unseen = split_hands(seed)
    shots, label = taught.list_shots()
    whole = HandModel().fit(shots, label, seed=seed)
    slim = whole.slim(shots, label, gone=GONE, seed=seed)
    asked, truth = unseen.list_shots()
    scores = [_score(model.predict_proba(asked), model.classes, truth) for model in (whole, slim)]
    inputs = prepare_pictures(np.resize(asked, (_BATCH, *asked.shape[1:])))
    return _describe_run("hand branch", GONE, scores, whole._require_network(), slim._require_network(), inputs)


def _score(probs: NDArray[np.float64], classes: Sequence[str], truth: NDArray[np.str_]) -> float:
    from sklearn.metrics import f1_score

    said = np.array(classes)[probs.argmax(axis=1)]
    return float(f1_score(truth, said, labels=list(classes), average="macro", zero_division=0.0))


def _describe_run(name: str, wanted: float, scores: Sequence[float], whole: Any, slim: Any, inputs: Any) -> SlimRun:
    from backends.compress import count_parameters

    before, after = time_networks(whole, slim, inputs)
    n_whole, n_slim = count_parameters(whole), count_parameters(slim)
    return SlimRun(
        name=name,
        wanted=wanted,
        whole_f1=scores[0],
        slim_f1=scores[1],
        gone=1 - n_slim / n_whole,
        time_gone=1 - after / before,
        n_params=n_slim,
    )


def time_networks(whole: Any, slim: Any, inputs: Any, *, times: int = 15) -> tuple[float, float]:
    """Return the median CPU seconds of each network on a batch, on one thread, asked in turns."""
    import torch

    threads, taken = torch.get_num_threads(), np.zeros((2, times + 1))
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for at in range(times + 1):
                for which, network in enumerate((whole, slim)):
                    start = time.process_time_ns()
                    network(inputs)
                    taken[which, at] = time.process_time_ns() - start
    finally:
        torch.set_num_threads(threads)
    before, after = np.median(taken[:, 1:], axis=1) / 1e9
    return float(before), float(after)


def describe_compress(found: Sequence[SlimRun], curve: Sequence[SlimRun] = ()) -> BenchResult:
    """Return a row for each network (means over the rounds) and step of the curve, and what was missed."""
    rows, missed, data = [], [], {}
    for name in dict.fromkeys(run.name for run in found):
        runs = [run for run in found if run.name == name]
        mean = _average(runs)
        rows.append(f"{_format(mean)}; each round lost {', '.join(f'{100 * (r.whole_f1 - r.slim_f1):.1f}' for r in runs)}")
        missed += _list_missed(mean)
        data[name] = [asdict(run) for run in runs]
    for wanted in sorted({run.wanted for run in curve}):
        rows.append(f"curve: {_format(_average([run for run in curve if run.wanted == wanted]))}")
    line = "slimming on rendered lessons: " + "; ".join(row.split(";")[0] for row in rows[: len(data)])
    return BenchResult(rows=tuple(rows), line=line, data={**data, "curve": [asdict(run) for run in curve]}, missed=tuple(missed))


def _average(runs: Sequence[SlimRun]) -> SlimRun:
    means = {key: float(np.mean([getattr(run, key) for run in runs])) for key in ("whole_f1", "slim_f1", "gone", "time_gone")}
    return SlimRun(name=runs[0].name, wanted=runs[0].wanted, n_params=round(np.mean([run.n_params for run in runs])), **means)


def _list_missed(run: SlimRun) -> list[str]:
    lost, missed = run.whole_f1 - run.slim_f1, []
    if run.gone < LEAST_GONE:
        missed.append(f"{run.name}: {run.gone:.1%} of the parameters gone, wanted {LEAST_GONE:.1%}")
    if run.time_gone < LEAST_TIME:
        missed.append(f"{run.name}: {run.time_gone:.1%} of the time gone, wanted {LEAST_TIME:.1%}")
    if lost > MOST_LOST:
        missed.append(f"{run.name}: {100 * lost:.1f} points lost, wanted at most {100 * MOST_LOST:.1f}")
    return missed


def _format(run: SlimRun) -> str:
    return (
        f"{run.name}: {run.gone:.1%} of the parameters ({run.n_params:,} left) and {run.time_gone:.1%} of the time gone, "
        f"macro-F1 {run.whole_f1:.3f} → {run.slim_f1:.3f}"
    )
