"""`curate bench models`: behaviour models on rendered lessons that they have not seen, and what a random split would claim.

Poses are those that an estimator would see of rendered lessons (`curation.render.simulate_poses`); every round has other
lessons, other students and another training seed. The random column is the same models on the same tubelets, split without regard
to lessons.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult
from schemas.sequences import SequenceSet, read_sequences, write_sequences

if TYPE_CHECKING:
    from backends.base import BehaviourModel

__all__ = [
    "MODELS_MEASURED",
    "SCRATCH",
    "Run",
    "bench_models",
    "describe_models",
    "measure_latency",
    "measure_model",
    "split_lessons",
]

MODELS_MEASURED = (
    "logreg", "extra-trees", "lstm", "resnet1d", "drn-lstm", "cnn-lstm", "cnn-lstm-motion", "tcn", "default",
)  # fmt: skip
SCRATCH = "default, scratch"
"""`default` without the start that ships with it, which was trained on other rendered lessons."""
THREE = ("raise-hand", "turn-page", "write")
"""Seed D's hand raising, reading and writing."""
N_LESSONS, N_TEST = 18, 6
_SECONDS = 24.0
_T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t, 97.5 %, by number of values."""


@frozen(kw_only=True)
class Run:
    """One model on one round: F1 and ECE in [0, 1] on unseen lessons, `random_f1` on a random split (NaN = not asked for)."""

    f1: float
    random_f1: float
    ece: float
    n_params: int
    latency_ms: float
    train_s: float


def bench_models(*, rounds: int, seed: int = 0, parts: Sequence[str] = ()) -> BenchResult:
    """Train and measure every model of `MODELS_MEASURED`, or those named in `parts`, on `rounds` sets of rendered lessons.

    `default` stands there twice, as it is and without its start. The part "three" is seed D's network on its three classes, from
    three times as many lessons; "grouped-only" leaves out the random column; "cascade" is posture and hands together, alone;
    "compress" is network slimming, alone; "crossval" is cross-validation of sequence files of many kinds, alone.

    Raises:
        UnknownName: if a part is none of these and no model.
    """
    if "cascade" in parts:
        from curation.benchmarks.models_cascade import bench_cascade

        return bench_cascade(rounds=rounds, seed=seed)
    if "compress" in parts:
        from curation.benchmarks.models_compress import bench_compress

        return bench_compress(rounds=rounds, seed=seed, parts=parts)
    if "crossval" in parts:
        from curation.benchmarks.models_crossval import bench_crossval

        return bench_crossval(rounds=rounds, seed=seed, models=[name for name in parts if name != "crossval"])
    from backends.behaviour import MODELS
    from backends.behaviour.default import Default

    asked = [name for name in parts if name not in ("three", "grouped-only")]
    names = asked or ([] if "three" in parts else list(MODELS_MEASURED))
    makers: dict[str, Callable[[], BehaviourModel]] = {name: MODELS.load(name) for name in names}
    if "default" in makers:
        makers[SCRATCH] = partial(Default, start=None)
    found: dict[str, list[Run]] = {name: [] for name in makers}
    three: list[Run] = []
    for number in range(seed, seed + rounds):
        lessons = make_lessons(number)
        for name, make in makers.items():
            found[name].append(measure_model(make, lessons, seed=number, random="grouped-only" not in parts))
            sys.stderr.write(f"seed {number}: {name} {_say(found[name][-1])}\n")
        if not asked:
            many = make_lessons(number, n_lessons=3 * N_LESSONS)
            chosen = many.take(np.isin(many.label, THREE))
            three.append(measure_model(MODELS.load("cnn-lstm"), chosen, seed=number, random=False))
            sys.stderr.write(f"seed {number}: cnn-lstm on three classes {_say(three[-1])}\n")
    return describe_models(found, three)


def make_lessons(seed: int, *, n_lessons: int = N_LESSONS) -> SequenceSet:
    """Return rendered lessons of six students over 24 s as an estimator would see them, kept from run to run."""
    from curation.render import simulate_poses

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate" / "bench"
    path = cache / f"poses-{n_lessons}-lessons-{_SECONDS:g}-s-{seed}.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        write_sequences(path, simulate_poses(seed=1000 + seed, lessons=n_lessons, seconds=_SECONDS))
    return read_sequences(path)


def split_lessons(group: NDArray[np.str_], *, seed: int, random: bool) -> NDArray[np.bool_]:
    """Return (N,) True = test: a third of the groups, or with `random` as many single samples of any group."""
    rng = np.random.default_rng(seed)
    names = np.unique(group)
    test = np.isin(group, rng.permutation(names)[: max(1, round(len(names) * N_TEST / N_LESSONS))])
    return rng.permutation(test) if random else np.asarray(test)


def measure_model(make: Callable[[], BehaviourModel], lessons: SequenceSet, *, seed: int, random: bool = True) -> Run:
    """Train one model on two thirds of the lessons and measure it on the others; seconds are of CPU time."""
    from backends.calibration import compute_ece

    leaky = _train_and_ask(make, lessons, split_lessons(lessons.group, seed=seed, random=True), seed)[0] if random else np.nan
    test = split_lessons(lessons.group, seed=seed, random=False)
    grouped, model, probs, seconds = _train_and_ask(make, lessons, test, seed)
    truth = np.searchsorted(np.array(lessons.classes), lessons.label[test])
    return Run(
        f1=grouped,
        random_f1=float(leaky),
        ece=compute_ece(probs, truth),
        n_params=count_parameters(model),
        latency_ms=measure_latency(model, lessons.pose[test][:1]),
        train_s=seconds,
    )


def _train_and_ask(
    make: Callable[[], BehaviourModel], lessons: SequenceSet, test: NDArray[np.bool_], seed: int
) -> tuple[float, BehaviourModel, NDArray[np.float64], float]:
    from sklearn.metrics import f1_score

    start = time.process_time()
    model = make().fit(lessons.take(~test), classes=lessons.classes, seed=seed)
    seconds = time.process_time() - start
    probs = model.predict_proba(lessons.pose[test])
    said = np.array(lessons.classes)[probs.argmax(axis=1)]
    f1 = float(f1_score(lessons.label[test], said, labels=list(lessons.classes), average="macro", zero_division=0.0))
    return f1, model, probs, seconds


def measure_latency(model: BehaviourModel, pose: NDArray[np.float32], *, times: int = 40) -> float:
    """Return the median milliseconds of CPU time, on one thread, of asking about one tubelet (1, T, V, C)."""
    import torch

    threads, taken = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(times):
            start = time.process_time_ns()
            model.predict_proba(pose)
            taken.append(time.process_time_ns() - start)
    finally:
        torch.set_num_threads(threads)
    return float(np.median(taken)) / 1e6


def count_parameters(model: Any) -> int:
    """Return how many numbers the model has learnt: trained weights of networks, all arrays of anything else (and of trees)."""
    network = getattr(model, "_network", None)
    if network is None:
        return int(sum(array.size for array in getattr(model, "_arrays", {}).values()))
    forest = getattr(network, "forest", None)
    trees = 0 if forest is None else sum(array.numel() for array in forest.state_dict().values())
    return int(sum(p.numel() for p in network.parameters()) + trees)


def describe_models(found: Mapping[str, Sequence[Run]], three: Sequence[Run]) -> BenchResult:
    """Return the table, and which of the wanted figures were not reached."""
    head = (
        f"{'model':<16} {'macro-F1':>16} {'random split':>16} {'ECE':>6} {'parameters':>11} {'ms/tubelet':>11} {'training s':>11}"
    )
    rows = [head, *(_format(name, runs) for name, runs in found.items())]
    if three:
        rows.append(_format("cnn-lstm, three", three))
    if SCRATCH in found:
        rows.append(f"default goes on from weights that were trained on other rendered lessons; {SCRATCH!r} and all others do not")
    means = {name: float(np.mean([run.f1 for run in runs])) for name, runs in found.items()}
    best = max(means, key=lambda name: means[name], default="")
    n_rounds = max((len(runs) for runs in [*found.values(), three]), default=0)
    line = f"models on rendered lessons, {n_rounds} rounds: " + (
        f"best {best} with macro-F1 {means[best]:.3f}" if best else f"three classes {np.mean([run.f1 for run in three]):.3f}"
    )
    data = {name: [_plain(run) for run in runs] for name, runs in found.items()} | {"three": [_plain(run) for run in three]}
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(_list_missed(found, means, three)))


def _list_missed(found: Mapping[str, Sequence[Run]], means: Mapping[str, float], three: Sequence[Run]) -> list[str]:
    missed = []
    for other in {"lstm", "resnet1d"} & means.keys() if "drn-lstm" in means else ():
        if means["drn-lstm"] <= means[other]:
            missed.append(f"drn-lstm {means['drn-lstm']:.3f} is not above {other} {means[other]:.3f}")
    if "default" in means:
        for other, value in means.items():
            if other not in ("default", SCRATCH) and means["default"] < value + 0.03:
                missed.append(f"default {means['default']:.3f} is not 0.03 above {other} {value:.3f}")
        latency, ece = (float(np.mean([getattr(run, name) for run in found["default"]])) for name in ("latency_ms", "ece"))
        missed += [f"default takes {latency:.1f} ms a tubelet, wanted 5"] if latency > 5 else []
        missed += [f"default's calibration error is {ece:.3f}, wanted 0.05"] if ece > 0.05 else []
    if three and np.mean([run.f1 for run in three]) < 0.95:
        missed.append(f"cnn-lstm reaches {np.mean([run.f1 for run in three]):.3f} on three classes, wanted 0.95")
    return missed


def _format(name: str, runs: Sequence[Run]) -> str:
    first = runs[0]
    return (
        f"{name:<16} {_interval([run.f1 for run in runs]):>16} {_interval([run.random_f1 for run in runs]):>16} "
        f"{np.mean([run.ece for run in runs]):>6.3f} {first.n_params:>11,} {np.median([run.latency_ms for run in runs]):>11.2f} "
        f"{np.median([run.train_s for run in runs]):>11.1f}"
    )


def _interval(values: Sequence[float]) -> str:
    """Return "mean ± half of the 95 % interval (Student's t) of the mean"."""
    if np.isnan(values).any():
        return "-"
    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = _T_95.get(len(values), 1.96) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.3f} ± {half:.3f}"


def _plain(run: Run) -> dict[str, float | None]:
    from attrs import asdict

    return {name: None if np.isnan(value) else value for name, value in asdict(run).items()}


def _say(run: Run) -> str:
    return f"macro-F1 {run.f1:.3f}, random split {run.random_f1:.3f}, ECE {run.ece:.3f}, {run.train_s:.0f} s"
