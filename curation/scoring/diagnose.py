"""The `default` ranking: all evidence together; how likely a label is wrong, what it should be, what is the matter, why."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from curation.scoring.calibrate import calibrate_wrong
from curation.scoring.kinds import find_duplicates, find_strangers, tell_kinds
from curation.scoring.methods import N_NEIGHBOURS, Evidence, rank_evenly, score_by_loss
from curation.scoring.neighbours import Neighbours, find_neighbours, scale_features
from curation.scoring.reasons import Reasons
from curation.scoring.refine import Refined, refine_labels
from curation.scoring.witnesses import score_by_disagreement, score_by_edit, score_by_surprise

__all__ = ["Diagnosis", "diagnose_labels"]

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]

_LEAST = 30
_MOST_CLASSES = 500
_SAMPLED = 3_000
_BINS = 5
_LOUDEST = 2.0
_SMALLEST = 1e-12
_CELLS = 100_000
_FINE = 1e-3
"""What the order among equal odds counts, in nats."""
_WITNESSES = {"votes": score_by_disagreement, "proposed": score_by_edit, "surprise": score_by_surprise}


@frozen(kw_only=True, eq=False)
class Diagnosis:
    """N labels. `score` (N,) in [0, 1], 1 = most suspect; `wrong` (N,) probability that the label is wrong, never falling with the
    score; `suggested` (N,) the likeliest column, the label left out of account; `kind` (N,) index into `kinds.KINDS`; `reasons`.
    """  # noqa: D205

    score: Floats
    wrong: Floats
    suggested: NDArray[np.int64]
    kind: NDArray[np.int8]
    reasons: Reasons


@frozen(kw_only=True, eq=False)
class _Belief:
    """What is believed before kinds and reasons: `guess` (N, K) probabilities without the label, `votes` (M, N) of models."""

    score: Floats
    wrong: Floats
    guess: Floats
    votes: NDArray[np.int64] | None = None
    nearest: Neighbours | None = None
    stranger: NDArray[np.bool_] | None = None
    duplicate: NDArray[np.bool_] | None = None


def diagnose_labels(labels: Labels, probs: Floats, evidence: Evidence) -> Diagnosis:
    """Combine what is known about labels.

    From the probabilities of one model alone the order is that of the cross-entropy, exactly: nothing can be won without further
    evidence, and `wrong` is read off a noise model. Several models' opinions or features are refined (`curation.scoring.refine`),
    and the score is the posterior probability that the label is wrong; early-epoch margins count a third, by rank; what annotators,
    proposals and transitions say shifts the odds. Fewer than 30 samples or more than 500 classes: 1 − p(label) is all there is.

    Args:
        labels: (N,) columns.
        probs: (N, K) out-of-sample.
        evidence: whatever else is known.
    """
    belief = _believe(labels, probs, evidence)
    if evidence.margins is not None:
        belief = _hear_margins(belief, evidence.margins, 1 / 2 if belief.votes is None else 1 / 3)
    belief = _hear_witnesses(labels, probs, evidence, belief)
    suggested = belief.guess.argmax(axis=1)
    kind = tell_kinds(
        labels,
        belief.guess,
        belief.wrong,
        suggested,
        stranger=belief.stranger,
        duplicate=belief.duplicate,
        geometry=evidence.geometry,
    )
    reasons = Reasons.collect(labels, suggested, belief.guess, votes=belief.votes, nearest=belief.nearest, evidence=evidence)
    return Diagnosis(score=belief.score, wrong=belief.wrong, suggested=suggested, kind=kind, reasons=reasons)


def _believe(labels: Labels, probs: Floats, evidence: Evidence) -> _Belief:
    n, n_classes = probs.shape
    loss = score_by_loss(labels, probs, evidence)
    if n < _LEAST or not 2 <= n_classes <= _MOST_CLASSES:
        return _Belief(score=loss, wrong=loss, guess=probs)
    opinions = [np.log(np.maximum(opinion, _SMALLEST)) for opinion in evidence.opinions]
    if evidence.features is None and len(opinions) < 2:
        return _Belief(score=loss, wrong=_calibrate_loss(labels, probs, loss), guess=probs)
    if not opinions:
        opinions = [np.log(np.maximum(probs, _SMALLEST))]
    if evidence.features is None:
        refined = refine_labels(labels, opinions, groups=evidence.groups)
        return _judge(labels, refined, evidence.groups)
    scaled = scale_features(evidence.features)
    refined = refine_labels(labels, opinions, features=evidence.features, scaled=scaled, groups=evidence.groups)
    belief = _judge(labels, refined, evidence.groups)
    near = find_neighbours(scaled, N_NEIGHBOURS, groups=evidence.groups)
    any_group = near if evidence.groups is None else find_neighbours(scaled, N_NEIGHBOURS)
    first = near.distance[:, 0]
    usual = float(np.median(first[np.isfinite(first)])) if np.isfinite(first).any() else 0.0
    return evolve(belief, nearest=near, stranger=find_strangers(near), duplicate=find_duplicates(labels, any_group, usual))


def _judge(labels: Labels, refined: Refined, groups: NDArray[Any] | None) -> _Belief:
    """Read the posterior. A label that no other group has was never taught to who judges it: it is as suspect as labels are."""
    score = _read_posterior(labels, refined)
    wrong = calibrate_wrong(score, refined.log_guess, refined.noise, refined.rate)
    alone = _find_alone(labels, groups)
    if alone.any() and not alone.all():
        score[alone], wrong = score[~alone].mean(), np.where(alone, wrong[~alone].mean(), wrong)
    return _Belief(score=score, wrong=wrong, guess=np.exp(refined.log_guess), votes=refined.votes)


def _find_alone(labels: Labels, groups: NDArray[Any] | None) -> NDArray[np.bool_]:
    """Return (N,): no sample of another group has the label."""
    names = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    low, high = np.full(int(labels.max()) + 1, len(labels)), np.full(int(labels.max()) + 1, -1)
    np.minimum.at(low, labels, names)
    np.maximum.at(high, labels, names)
    return np.asarray((low == high)[labels])


def _read_posterior(labels: Labels, refined: Refined) -> Floats:
    return np.asarray(-np.expm1(np.minimum(refined.log_posterior[np.arange(len(labels)), labels], 0)))


def _calibrate_loss(labels: Labels, probs: Floats, loss: Floats) -> Floats:
    """Return P(wrong) as a function of the loss that never falls, from the posterior of at most 3 000 samples."""
    rows = np.random.default_rng(0).permutation(len(labels))[:_SAMPLED]
    refined = refine_labels(labels[rows], [np.log(np.maximum(probs[rows], _SMALLEST))])
    wrong = calibrate_wrong(_read_posterior(labels[rows], refined), refined.log_guess, refined.noise)
    return _read_off(loss, loss[rows], wrong)


def _read_off(score: Floats, known: Floats, wrong: Floats) -> Floats:
    """Return for each score what `wrong` is on average at scores `known` like it, made never to fall."""
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(known, kind="stable")
    rising = isotonic_regression(wrong[order], y_min=0, y_max=1)
    if len(score) <= _CELLS:
        return np.asarray(np.interp(score, known[order], rising))
    table = np.interp(np.linspace(0, 1, _CELLS), known[order], rising)
    return np.asarray(table[np.clip(score * (_CELLS - 1), 0, _CELLS - 1).astype(np.int32)])


def _hear_witnesses(labels: Labels, probs: Floats, evidence: Evidence, belief: _Belief) -> _Belief:
    """Shift the odds by what each witness says of labels thought wrong and of labels thought right.

    The likelihoods of a witness's values (in fifths) under both are counted with the present probabilities as weights, so that one
    who says the same of both is not heard; nor is one who speaks of fewer than 30 labels. e² : 1 is the most that one moves.
    """
    heard = [
        (method(labels, probs, evidence), speaks)
        for name, method in _WITNESSES.items()
        if (speaks := _find_spoken(evidence, name)).sum() >= _LEAST
    ]
    if not heard or len(labels) < _LEAST:
        return belief
    safe = np.clip(belief.wrong, 1e-9, 1 - 1e-9)
    odds = np.log(safe) - np.log1p(-safe) + _FINE * rank_evenly(belief.score)
    for values, speaks in heard:
        odds[speaks] += _weigh_witness(values[speaks], belief.wrong[speaks])
    shifted = 1 / (1 + np.exp(-odds))
    return evolve(belief, score=shifted, wrong=shifted)


def _find_spoken(evidence: Evidence, name: str) -> NDArray[np.bool_]:
    """Return (N,): the witness says something of the label; of nothing at all if it is not known."""
    said = getattr(evidence, name)
    if said is None:
        return np.zeros(0, bool)
    return np.asarray(np.isfinite(said) if name == "surprise" else (said.reshape(len(said), -1) >= 0).any(axis=1))


def _weigh_witness(values: Floats, wrong: Floats) -> Floats:
    """Return log P(value | wrong) − log P(value | right), at most 2 either way."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, values, side="left")
    against, for_it = (np.bincount(bins, weights=w, minlength=len(edges) + 1) + 1 for w in (wrong, 1 - wrong))
    ratio = np.log(against / against.sum()) - np.log(for_it / for_it.sum())
    return np.asarray(np.clip(ratio, -_LOUDEST, _LOUDEST)[bins])


def _hear_margins(belief: _Belief, margins: Floats, weight: float) -> _Belief:
    score = (1 - weight) * rank_evenly(belief.score) + weight * rank_evenly(-margins)
    return evolve(belief, score=score, wrong=_read_off(score, score, belief.wrong))
