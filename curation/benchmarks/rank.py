"""`curate bench rank`: ordering a million labels from probabilities, beside cleanlab."""

from __future__ import annotations

import numpy as np

from curation.benchmarks import BenchResult, compare_side_by_side
from schemas.errors import CurationError

__all__ = ["bench_rank"]

_MOST_SECONDS, _MOST_OF_CLEANLAB = 1.0, 0.8


def bench_rank(*, rounds: int, n: int = 1_000_000, n_classes: int = 8, seed: int = 0) -> BenchResult:
    """Time the ranking of `n` labels from probabilities against cleanlab's `find_label_issues` and its quality scores.

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
    rows = tuple(
        f"{name:<28} median {medians[name]:.3f} s   {min(values):.3f} to {max(values):.3f}   {medians[name] / ours:.2f} x ours"
        for name, values in seconds.items()
    )
    ratio = ours / medians["cleanlab find_label_issues"]
    line = f"rank {n:,} x {n_classes}: {ours:.3f} s, {ratio:.2f} x cleanlab's find_label_issues ({rounds} runs each, alternating)"
    missed = [f"{ratio:.2f} x cleanlab's find_label_issues, wanted {_MOST_OF_CLEANLAB}"] if ratio > _MOST_OF_CLEANLAB else []
    if ours * 1_000_000 > _MOST_SECONDS * n:
        missed.append(f"{ours:.3f} s for {n:,}, wanted {_MOST_SECONDS} s a million")
    data = {"n": n, "classes": n_classes, "seconds": seconds, "medians": medians, "ratio": ratio}
    return BenchResult(rows=rows, line=line, data=data, missed=tuple(missed))
