"""`curate bench mislabels`: finding labels made wrong on purpose, beside those who find them too.

The calibration error of pairwise noise at 40 % hangs on which class is taken for which, and how often: with both told, it is .04
on rendered sequences and on the exercise poses alike (means of seeds 100 to 107). Among the twelve exercises, of which some have
fifteen sequences, wrong partners can make the labels likelier than the right ones; with some of them wrong it is .07 to .19.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult
from curation.benchmarks.mislabels_data import DATA, EXERCISES, NOISES, spoil_labels
from curation.benchmarks.mislabels_peers import PEERS, ask_peers, judge_out_of_fold
from schemas.errors import InvalidField

__all__ = ["Trial", "bench_mislabels", "measure_calibration", "measure_chance", "measure_effort", "run_trial", "summarise_trials"]

OURS = "default"
RETRAINING = "retraining"
_CLEAN = 0.05
_GAIN, _LOSS, _ECE = 1.10, 0.01, 0.05


@frozen(kw_only=True)
class Trial:
    """One data set, noise and seed.

    By method: `precision` (average), `at_k` (k = number of wrong labels), `effort` (share of labels looked at until 95 % are
    right). `ece` of our probabilities, `chance` what it would be if each of them were true, and `suggested`, the share of wrong
    labels rightly suggested.
    """

    data: str
    noise: str
    seed: int
    rate: float
    precision: dict[str, float]
    at_k: dict[str, float]
    effort: dict[str, float]
    ece: float
    chance: float
    suggested: float


def bench_mislabels(*, rounds: int, seed: int = 0, parts: Sequence[str] = (), out: Path | None = None) -> BenchResult:
    """Measure the `default` ranking and its peers on every data set, kind of noise and `rounds` seeds from `seed`.

    The part "retraining" is what finding them is worth to a model (`curation.benchmarks.mislabels_retraining`).

    Args:
        rounds: number of seeds.
        seed: the first.
        parts: names of data sets, or retraining; by default all that there are (the exercise poses if the environment names their
            folder).
        out: where to draw the curves of the retraining (PNG).

    Raises:
        InvalidField: if there is no such part.
        CurationError: if a peer is not installed.
    """
    chosen = tuple(parts) or (*(name for name in DATA if name != "exercises" or os.environ.get(EXERCISES)), RETRAINING)
    for name in chosen:
        if name not in (*DATA, RETRAINING):
            raise InvalidField("part of `bench mislabels`", ", ".join((*DATA, RETRAINING)), name)
    sets = [name for name in chosen if name != RETRAINING]
    results = []
    if sets:
        trials = [run_trial(name, noise, seed + k) for name in sets for k in range(rounds) for noise in NOISES]
        results.append(summarise_trials(trials))
    if RETRAINING in chosen:
        from curation.benchmarks.mislabels_retraining import bench_retraining

        results.append(bench_retraining(rounds=rounds, seed=seed, out=out))
    return _join(results)


def _join(results: Sequence[BenchResult]) -> BenchResult:
    return BenchResult(
        rows=tuple(row for result in results for row in result.rows),
        line="; ".join(result.line for result in results),
        data={name: value for result in results for name, value in result.data.items()},
        missed=tuple(what for result in results for what in result.missed),
    )


def run_trial(name: str, noise: str, seed: int) -> Trial:
    """Spoil the labels of one data set, and have everybody rank them."""
    from curation.scoring.rank import rank_labels

    data = DATA[name](seed)
    labels = spoil_labels(data, noise, seed)
    wrong = labels != data.truth
    probs = judge_out_of_fold(data, labels, seed)
    ours = rank_labels(labels, probs, features=data.features, groups=data.groups)
    scores = {OURS: ours.score, **ask_peers(data, labels, probs, seed)}
    probability = ours.wrong if ours.wrong is not None else ours.score
    random = 1 - _CLEAN / max(float(wrong.mean()), 1e-9)
    return Trial(
        data=name,
        noise=noise,
        seed=seed,
        rate=float(wrong.mean()),
        precision={method: measure_precision(score, wrong) for method, score in scores.items()},
        at_k={method: float(wrong[_sort(score)[: int(wrong.sum())]].mean()) for method, score in scores.items()},
        effort={"random": max(random, 0.0), **{method: measure_effort(score, wrong) for method, score in scores.items()}},
        ece=measure_calibration(probability, wrong),
        chance=measure_chance(probability, seed=seed),
        suggested=float((ours.suggested == data.truth)[wrong].mean()),
    )


def measure_precision(score: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Return the average precision of finding `wrong` by score, larger first."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(wrong, score))


def measure_effort(score: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Return the share of labels that must be looked at, most suspect first, until at most 5 % of all are still wrong."""
    left = wrong.sum() - np.concatenate([[0], np.cumsum(wrong[_sort(score)])])
    return float(np.argmax(left <= _CLEAN * len(wrong)) / len(wrong))


def measure_calibration(probability: NDArray[np.float64], wrong: NDArray[np.bool_], *, bins: int = 10) -> float:
    """Return the expected calibration error over equally wide bins: the mean distance of what is said from what is so."""
    number = np.minimum((probability * bins).astype(int), bins - 1)
    said = np.bincount(number, weights=probability, minlength=bins)
    so = np.bincount(number, weights=wrong.astype(np.float64), minlength=bins)
    return float(np.abs(said - so).sum() / len(wrong))


def measure_chance(probability: NDArray[np.float64], *, seed: int = 0, draws: int = 50) -> float:
    """Return the calibration error that is left where every probability is true: so few samples a bin scatter around it."""
    rng = np.random.default_rng(seed)
    return float(np.mean([measure_calibration(probability, rng.random(len(probability)) < probability) for _ in range(draws)]))


def summarise_trials(trials: Sequence[Trial]) -> BenchResult:
    """Return means over seeds for each data set and noise, and over all of them how we stand beside the best peer."""
    keys = list(dict.fromkeys((trial.data, trial.noise) for trial in trials))
    rows, ratios, behind, errors = [], [], [], []
    for data, noise in keys:
        part = [trial for trial in trials if (trial.data, trial.noise) == (data, noise)]
        mean = {name: float(np.mean([t.precision[name] for t in part])) for name in (OURS, *PEERS)}
        best = max(PEERS, key=lambda name: mean[name])
        ratios.append(mean[OURS] / mean[best])
        errors.append(float(np.mean([t.ece for t in part])))
        if mean[OURS] < mean[best] - _LOSS:
            behind.append(f"{data}, {noise}: average precision {mean[OURS]:.3f}, {best} {mean[best]:.3f}")
        rows.append(_describe(data, noise, part, mean, best, ratios[-1], errors[-1]))
    gain, error = float(np.mean(ratios)), float(np.mean(errors))
    missed = list(behind)
    if gain < _GAIN:
        missed.append(f"average precision {gain:.3f} x the best peer on average, wanted {_GAIN:.2f}")
    missed += [f"{d}, {n}: calibration error {e:.3f}, wanted {_ECE}" for (d, n), e in zip(keys, errors, strict=True) if e > _ECE]
    seeds = len({trial.seed for trial in trials})
    line = (
        f"wrong labels: precision {gain:.3f} x the best of {len(PEERS)} peers (mean of {len(keys)} conditions, {seeds} seeds; "
        f"{min(ratios):.3f} to {max(ratios):.3f}), calibration error {error:.3f}"
    )
    columns = ("data", "noise", "seed", "rate", "precision", "at_k", "effort", "ece", "chance", "suggested")
    told = [{name: getattr(trial, name) for name in columns} for trial in trials]
    return BenchResult(rows=tuple(rows), line=line, data={"ratio": gain, "ece": error, "trials": told}, missed=tuple(missed))


def _describe(data: str, noise: str, part: Sequence[Trial], mean: dict[str, float], best: str, ratio: float, error: float) -> str:
    spread = [trial.precision[OURS] for trial in part]
    peers = ", ".join(f"{name} {mean[name]:.3f}" for name in PEERS)
    left = float(np.mean([trial.chance for trial in part]))
    effort = {n: float(np.mean([t.effort[n] for t in part])) for n in (OURS, "random", "self-confidence")}
    at_k = {n: float(np.mean([t.at_k[n] for t in part])) for n in (OURS, best)}
    return (
        f"{data}, {noise}: AP {mean[OURS]:.3f} ({min(spread):.3f} to {max(spread):.3f}), {ratio:.3f} x {best} [{peers}]; "
        f"P@k {at_k[OURS]:.3f} against {at_k[best]:.3f}; ECE {error:.3f} (by chance {left:.3f}); to 95 % clean {effort[OURS]:.0%} "
        f"of the labels, cleanlab's order {effort['self-confidence']:.0%}, random {effort['random']:.0%}; "
        f"rightly suggested {np.mean([t.suggested for t in part]):.0%}"
    )


def _sort(score: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.argsort(-score, kind="stable")
