"""`curate bench rank`: ordering a million labels, from probabilities beside cleanlab, and with features.

The labels are drawn at random, a fifth of them again regardless of the class; features are a direction a class, and noise.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.benchmarks import BenchResult, compare_side_by_side, describe_spread
from schemas.errors import CurationError, InvalidField

__all__ = ["PARTS", "bench_rank"]

_MOST_SECONDS, _MOST_OF_CLEANLAB, _MOST_MIB = 1.0, 0.8, 1024
_MOST_SECONDS_FEATURES = 120.0
_N_FEATURES = 128
_DRAWN_AGAIN = 0.2


def bench_rank(*, rounds: int, n: int = 1_000_000, n_classes: int = 8, seed: int = 0, parts: Sequence[str] = ()) -> BenchResult:
    """Run the parts named, or all, one after another, on `n` labels of `n_classes` classes.

    Raises:
        InvalidField: if there is no such part.
        CurationError: if cleanlab is not installed (it is in the `bench` extra).
    """
    for name in parts:
        if name not in PARTS:
            raise InvalidField("part of `bench rank`", ", ".join(PARTS), name)
    results = [PARTS[name](rounds=rounds, n=n, n_classes=n_classes, seed=seed) for name in (parts or PARTS)]
    return BenchResult(
        rows=tuple(row for result in results for row in result.rows),
        line="; ".join(result.line for result in results),
        data={"n": n, "classes": n_classes} | {name: value for result in results for name, value in result.data.items()},
        missed=tuple(what for result in results for what in result.missed),
    )


def _bench_probabilities(*, rounds: int, n: int, n_classes: int, seed: int = 0) -> BenchResult:
    """Time the ranking from probabilities against cleanlab's `find_label_issues` and its quality scores; and its peak memory.

    Raises:
        CurationError: if cleanlab is not installed (it is in the `bench` extra).
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError as error:
        raise CurationError(
            "bench rank compares with cleanlab, which is not installed; add it with `pip install cleanlab`"
        ) from error
    from curation.scoring.rank import rank_labels

    (apart,) = _rank_apart(1, n, n_classes, 0, seed)  # before there are arrays here: a new process starts with this one's peak
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(n_classes), size=n)
    labels = rng.integers(n_classes, size=n)
    seconds = compare_side_by_side(
        {
            "curate rank": lambda: rank_labels(labels, probs, method="default"),
            "cleanlab find_label_issues": lambda: find_label_issues(
                labels, probs, return_indices_ranked_by="self_confidence", n_jobs=1
            ),
            "cleanlab quality scores": lambda: get_label_quality_scores(labels, probs),
        },
        rounds=rounds,
    )
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    ours = medians["curate rank"]
    rows = [
        f"{name:<28} median {medians[name]:.3f} s   {min(values):.3f} to {max(values):.3f}   {medians[name] / ours:.2f} x ours"
        for name, values in seconds.items()
    ]
    rows.append(f"peak of a process that ranks   {apart['mib']:.0f} MiB")
    ratio = ours / medians["cleanlab find_label_issues"]
    line = f"rank {n:,} x {n_classes}: {ours:.3f} s, {ratio:.2f} x cleanlab's find_label_issues ({rounds} runs each, alternating)"
    missed = [f"{ratio:.2f} x cleanlab's find_label_issues, wanted {_MOST_OF_CLEANLAB}"] if ratio > _MOST_OF_CLEANLAB else []
    if ours * 1_000_000 > _MOST_SECONDS * n:
        missed.append(f"{ours:.3f} s for {n:,}, wanted {_MOST_SECONDS} s a million")
    if apart["mib"] > _MOST_MIB:
        missed.append(f"{apart['mib']:.0f} MiB at the peak, wanted {_MOST_MIB}")
    data = {"seconds": seconds, "medians": medians, "ratio": ratio, "peak_mib": apart["mib"]}
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))


def _bench_features(*, rounds: int, n: int, n_classes: int, seed: int = 0) -> BenchResult:
    """Time the ranking with 128 features beside the probabilities: neighbours, and models taught again."""
    runs = _rank_apart(rounds, n, n_classes, _N_FEATURES, seed)
    seconds, mib = [run["seconds"] for run in runs], max(run["mib"] for run in runs)
    median = float(np.median(seconds))
    row = f"with {_N_FEATURES} features            {describe_spread(seconds, 1)} s, {mib:.0f} MiB at the peak, features among them"
    line = f"with {_N_FEATURES} features {median:.1f} s"
    slow = median * 1_000_000 > _MOST_SECONDS_FEATURES * n
    missed = (f"{median:.1f} s for {n:,} with features, wanted {_MOST_SECONDS_FEATURES:.0f} s a million",) if slow else ()
    return BenchResult(rows=(row,), line=line, data={"features": {"seconds": seconds, "peak_mib": mib}}, missed=missed)


PARTS = {"probabilities": _bench_probabilities, "features": _bench_features}
"""In this order, so that a peer that is missing is told of at once."""


def _rank_apart(rounds: int, *drawn: Any) -> list[dict[str, float]]:
    """Rank in processes of their own, one a round; what they say, see `_rank_once`."""
    found = []
    for _ in range(rounds):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found.append(pool.submit(_rank_once, *drawn).result())
    return found


def _rank_once(n: int, n_classes: int, n_features: int, seed: int) -> dict[str, float]:
    """Return the `seconds` of one ranking, and the peak of this process in MiB."""
    import resource

    from curation.scoring.rank import rank_labels

    labels, probs, features = _draw(n, n_classes, n_features, seed)
    start = time.perf_counter()
    rank_labels(labels, probs, features=features)
    return {
        "seconds": time.perf_counter() - start,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _draw(
    n: int, n_classes: int, n_features: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float32] | None]:
    """Return labels (N,), probabilities (N, K) that lean to the true class, and features (N, D); None for no features."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_classes, size=n)
    probs = rng.dirichlet(np.ones(n_classes), size=n)
    probs[np.arange(n), truth] += 0.5
    probs /= probs.sum(axis=1, keepdims=True)
    labels = np.where(rng.random(n) < _DRAWN_AGAIN, rng.integers(n_classes, size=n), truth)
    if not n_features:
        return labels, probs, None
    features = rng.standard_normal((n, n_features), dtype=np.float32)
    features += 0.5 * rng.normal(size=(n_classes, n_features)).astype(np.float32)[truth]
    return labels, probs, features
