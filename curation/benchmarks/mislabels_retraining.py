"""`curate bench mislabels --part retraining`: what finding wrong labels is worth to the model that is trained again.

Rendered lessons, of whose labels some are spoiled, are judged out of fold and ranked by everybody. A curator who sees the truth
looks at a share of the labels, the most suspect first, and takes out those that are wrong, or says what is right. A model trained
on what is left is measured on lessons that nobody has spoiled or seen. It is a linear one, which learns wrong labels by heart, as
networks do, and the same from the same labels; to extra trees, which average wrong labels away, 480 labels more or less right are
all one (their curves are flat within the chance of training).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.benchmarks import BenchResult
from curation.benchmarks.mislabels_data import NOISES, LabelledData, flatten_sequences, spoil_labels
from curation.benchmarks.mislabels_peers import PEERS, ask_peers, judge_out_of_fold
from curation.figures import compute_macro_f1

__all__ = ["CURED_BY", "SHARES", "Curve", "bench_retraining", "compute_area", "draw_curves", "summarise_curves"]

OURS, CHANCE = "default", "random"
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
CURED_BY = ("removing", "relabelling")
_LESSONS, _UNSEEN = 10, 12
_N_TAUGHT = 480
_DRAWS = 10
_SHRINKAGE = 10.0

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Wrong = NDArray[np.bool_]


@frozen(kw_only=True)
class Curve:
    """Macro-F1 on clean lessons by method, one value for each of `SHARES`; of one noise, seed and way to cure what is found."""

    noise: str
    cured_by: str
    seed: int
    f1: Mapping[str, tuple[float, ...]]


def bench_retraining(*, rounds: int, seed: int = 0, out: Path | None = None) -> BenchResult:
    """Measure the curves of the `default` ranking, of its peers and of looking at labels in any order.

    Args:
        rounds: number of seeds: other lessons, spoiled labels and trainings.
        seed: the first.
        out: where to draw the curves (PNG).

    Raises:
        CurationError: if a peer is not installed.
    """
    curves = [curve for k in range(rounds) for noise in NOISES for curve in _measure_curves(noise, seed + k)]
    if out is not None:
        draw_curves(curves, out)
    return summarise_curves(curves)


def compute_area(values: Sequence[float]) -> float:
    """Return the mean height of a curve over `SHARES`: the area below it, over its width."""
    return float(np.trapezoid(values, SHARES) / (SHARES[-1] - SHARES[0]))


def summarise_curves(curves: Sequence[Curve]) -> BenchResult:
    """Say what reviewing was worth, and list where the `default` ranking is below random review or below the best peer."""
    rows, missed, areas = [], [], []
    for cured_by in CURED_BY:
        for noise in dict.fromkeys(curve.noise for curve in curves):
            part = [curve for curve in curves if (curve.noise, curve.cured_by) == (noise, cured_by)]
            table = {name: np.array([curve.f1[name] for curve in part]) for name in part[0].f1}
            area = {name: np.array([compute_area(row) for row in values]) for name, values in table.items()}
            best = max(PEERS, key=lambda name: float(area[name].mean()))
            ahead = {name: area[OURS] - area[name] for name in (CHANCE, best)}
            missed += [
                f"retraining, {cured_by}, {noise}: area {area[OURS].mean():.4f}, {name} {area[name].mean():.4f}"
                for name, gain in ahead.items()
                if gain.mean() < 0
            ]
            areas.append({"noise": noise, "cured_by": cured_by, **{name: float(values.mean()) for name, values in area.items()}})
            rows += _describe(cured_by, noise, table, area, best, ahead)
    return BenchResult(
        rows=tuple(rows), line=_sum_up(curves), data={"areas": areas, "curves": [_tell(c) for c in curves]}, missed=tuple(missed)
    )


def draw_curves(curves: Sequence[Curve], path: Path) -> None:
    """Draw macro-F1 over the share reviewed, a panel for each noise and cure: means, and the 95 % interval of ours and random."""
    from matplotlib.figure import Figure

    from schemas.files import replace_file

    noises = list(dict.fromkeys(curve.noise for curve in curves))
    figure = Figure(figsize=(3 * len(noises), 3.2 * len(CURED_BY)), layout="constrained")
    panels = figure.subplots(len(CURED_BY), len(noises), sharex=True, squeeze=False)
    for (row, column), panel in np.ndenumerate(panels):
        part = [curve for curve in curves if (curve.noise, curve.cured_by) == (noises[column], CURED_BY[row])]
        for number, name in enumerate(part[0].f1):
            values = np.array([curve.f1[name] for curve in part])
            mean, half = values.mean(axis=0), _compute_halves(values)
            is_plain = name in (OURS, CHANCE)
            colour = {OURS: "black", CHANCE: "grey"}.get(name, f"C{number}")
            panel.plot(100 * np.array(SHARES), mean, color=colour, linewidth=2 if is_plain else 1, label=name, marker=".")
            if is_plain:
                panel.fill_between(100 * np.array(SHARES), mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
        panel.set_title(f"{noises[column]}, {CURED_BY[row]}", fontsize="medium")
        panel.grid(alpha=0.3)
    for panel in panels[-1]:
        panel.set_xlabel("labels reviewed (%)")
    panels[0][0].set_ylabel("macro-F1, clean lessons")
    panels[0][0].legend(fontsize="x-small")
    with replace_file(path) as stream:
        figure.savefig(stream, dpi=100, format="png", metadata={"Software": None})


@frozen(kw_only=True, eq=False)
class _Trainer:
    """Trains on some of the `taught` under given labels and measures on the `unseen`, whose labels are right."""

    taught: LabelledData
    unseen: LabelledData
    known: dict[bytes, float]

    def measure(self, labels: Labels, kept: Wrong) -> float:
        """Return the macro-F1 reached with the `kept` (N,) of the `labels` (N,); what was asked before is not trained again."""
        from sklearn.linear_model import RidgeClassifier

        key = np.where(kept, labels, -1).tobytes()
        if key not in self.known:
            model = RidgeClassifier(alpha=_SHRINKAGE).fit(self.taught.features[kept], labels[kept])
            n_classes = max(self.taught.n_classes, self.unseen.n_classes)
            confusion = np.zeros((n_classes, n_classes))
            np.add.at(confusion, (self.unseen.truth, model.predict(self.unseen.features)), 1)
            self.known[key] = float(compute_macro_f1(confusion))
        return self.known[key]


def _measure_curves(noise: str, seed: int) -> list[Curve]:
    """Return the curves of one noise and seed, one for each way to cure."""
    from curation.scoring.rank import rank_labels

    taught, unseen = _load_lessons(seed)
    labels = spoil_labels(taught, noise, seed)
    probs = judge_out_of_fold(taught, labels, seed)
    ours = rank_labels(labels, probs, features=taught.features, groups=taught.groups)
    rng = np.random.default_rng([seed, 99])
    orders = {
        OURS: [ours.order],
        CHANCE: [rng.permutation(len(labels)) for _ in range(_DRAWS)],
        **{name: [np.argsort(-score, kind="stable")] for name, score in ask_peers(taught, labels, probs, seed).items()},
    }
    trainer = _Trainer(taught=taught, unseen=unseen, known={})
    curves = []
    for way in CURED_BY:
        f1 = {name: _follow(trainer, labels, tried, way) for name, tried in orders.items()}
        curves.append(Curve(noise=noise, cured_by=way, seed=seed, f1=f1))
    return curves


def _load_lessons(seed: int) -> tuple[LabelledData, LabelledData]:
    """Return 480 sequences of ten rendered lessons, and all of twelve others."""
    from curation.render.simulate import simulate_poses

    sequences = simulate_poses(seed=seed, lessons=_LESSONS + _UNSEEN, seconds=20.0, window=2.0, fps=3.0)
    everything = flatten_sequences(sequences.pose, sequences.label, sequences.group)
    is_taught = np.isin(sequences.group, list(dict.fromkeys(sequences.group.tolist()))[:_LESSONS])
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(is_taught))[:_N_TAUGHT]
    return _take(everything, chosen), _take(everything, np.flatnonzero(~is_taught))


def _take(data: LabelledData, rows: Labels) -> LabelledData:
    return LabelledData(features=data.features[rows], truth=data.truth[rows], groups=data.groups[rows], judge=data.judge)


def _follow(trainer: _Trainer, labels: Labels, orders: Sequence[Labels], cured_by: str) -> tuple[float, ...]:
    """Return for each of `SHARES` the mean macro-F1 over the orders of review."""
    truth, everything = trainer.taught.truth, np.ones(len(labels), bool)
    reached = []
    for share in SHARES:
        scores = []
        for order in orders:
            found = labels != truth
            found[order[round(share * len(labels)) :]] = False
            if cured_by == "removing":
                scores.append(trainer.measure(labels, ~found))
            else:
                scores.append(trainer.measure(np.where(found, truth, labels), everything))
        reached.append(float(np.mean(scores)))
    return tuple(reached)


def _compute_halves(values: Floats) -> Floats:
    """Return (S,) half the width of the 95 % interval of the mean of the rows of (R, S), by Student's t; NaN of one row."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return np.full(values.shape[1:], np.nan)
    return np.asarray(t.ppf(0.975, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n))


def _describe(
    cured_by: str, noise: str, table: Mapping[str, Floats], area: Mapping[str, Floats], best: str, ahead: Mapping[str, Floats]
) -> list[str]:
    gains = ", ".join(f"{name} {_say(gain)}" for name, gain in ahead.items())
    rows = [f"retraining (rendered), {cured_by}, {noise}: area of {OURS} less that of {gains} (best peer: {best})"]
    for name, values in table.items():
        points = "  ".join(f"{share:.0%} {value:.3f}" for share, value in zip(SHARES, values.mean(axis=0), strict=True))
        rows.append(f"  {name:<18} {points}  area {_say(area[name])}")
    return rows


def _say(values: Floats) -> str:
    return f"{values.mean():.4f} ± {_compute_halves(values[:, None])[0]:.4f}"


def _sum_up(curves: Sequence[Curve]) -> str:
    at, told = SHARES.index(0.2), []
    for cured_by in CURED_BY:
        part = [curve for curve in curves if curve.cured_by == cured_by]
        f1 = {name: np.mean([curve.f1[name] for curve in part], axis=0) for name in part[0].f1}
        best = max(PEERS, key=lambda name: compute_area(f1[name]))
        told.append(
            f"{cured_by} what is wrong among the first 20 % raises macro-F1 from {f1[OURS][0]:.3f} to {f1[OURS][at]:.3f} "
            f"({best} {f1[best][at]:.3f}, any order {f1[CHANCE][at]:.3f})"
        )
    n_seeds, n_noises = len({curve.seed for curve in curves}), len({curve.noise for curve in curves})
    return f"retraining (rendered, {n_noises} noises, {n_seeds} seeds): " + "; ".join(told)


def _tell(curve: Curve) -> dict[str, object]:
    return {"noise": curve.noise, "cured_by": curve.cured_by, "seed": curve.seed, "f1": {k: list(v) for k, v in curve.f1.items()}}
