"""Who else finds wrong labels, each from its own package, each given the same out-of-fold probabilities or features."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.benchmarks.mislabels_data import LabelledData
from schemas.errors import CurationError

__all__ = ["PEERS", "ask_peers", "judge_out_of_fold"]

PEERS = ("self-confidence", "confident learning", "AUM", "kNN", "mistakenness")
_EPOCHS, _BATCH, _HIDDEN = 20, 64, 128
_NEAREST = 10

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def judge_out_of_fold(data: LabelledData, labels: Labels, seed: int) -> Floats:
    """Return (N, K) probabilities of a classifier taught, on the given labels, without the sample's group; five folds."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    from curation.crossval import assign_folds

    fold = assign_folds(labels.astype(np.str_), data.groups.astype(np.str_), n_folds=5, seed=seed)
    probs = np.zeros((len(labels), data.n_classes))
    for number in range(int(fold.max()) + 1):
        held = fold == number
        model: Any = LogisticRegression(C=0.3, max_iter=100)
        if data.judge == "extra-trees":
            model = ExtraTreesClassifier(100, min_samples_leaf=2, random_state=seed)
        model.fit(data.features[~held], labels[~held])
        probs[np.ix_(held, model.classes_)] = model.predict_proba(data.features[held])
    return np.asarray(probs / probs.sum(axis=1, keepdims=True))


def ask_peers(data: LabelledData, labels: Labels, probs: Floats, seed: int) -> dict[str, Floats]:
    """Return name → (N,) suspicion, larger = more suspect, of every peer.

    cleanlab: `get_label_quality_scores` (self-confidence); `find_label_issues` by confident learning, the found ones first and each
    part by normalised margin. The `aum` package, in-sample over 20 epochs of a small network. scikit-learn's nearest ten, other
    groups only. FiftyOne Brain's own mistakenness of log-probabilities.

    Raises:
        CurationError: if one is not installed (the `bench` extra).
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
        from fiftyone.brain.internal.core import mistakenness
    except ImportError as error:
        raise CurationError(f"bench mislabels compares with packages of the `bench` extra: {error}") from error
    found = find_label_issues(labels, probs, filter_by="confident_learning", n_jobs=1)
    logs = np.log(np.maximum(probs, 1e-9))
    differs = (probs.argmax(axis=1) != labels).astype(np.float64)
    mistaken = [mistakenness._compute_mistakenness_class(row, 1 - m) for row, m in zip(logs, differs, strict=True)]
    return {
        "self-confidence": 1 - get_label_quality_scores(labels, probs),
        "confident learning": found + 1 - get_label_quality_scores(labels, probs, method="normalized_margin"),
        "AUM": -_measure_margins(data, labels, seed),
        "kNN": _vote(data, labels),
        "mistakenness": np.array(mistaken),
    }


def _measure_margins(data: LabelledData, labels: Labels, seed: int) -> Floats:
    import torch
    from aum import AUMCalculator

    generator = torch.Generator().manual_seed(seed)
    scaled = (data.features - data.features.mean(axis=0)) / np.maximum(data.features.std(axis=0), 1e-2)
    inputs, targets = torch.from_numpy(scaled), torch.from_numpy(labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(
            torch.nn.Linear(inputs.shape[1], _HIDDEN), torch.nn.ReLU(), torch.nn.Linear(_HIDDEN, data.n_classes)
        )
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        calculator = AUMCalculator(folder)
        for _ in range(_EPOCHS):
            for rows in torch.split(torch.randperm(len(labels), generator=generator), _BATCH):
                logits = network(inputs[rows])
                if len(rows) > 1:
                    calculator.update(logits.detach(), targets[rows], rows.tolist())
                optimiser.zero_grad()
                torch.autograd.backward(torch.nn.functional.cross_entropy(logits, targets[rows]))
                optimiser.step()
    return np.array([calculator.sums[i] / max(calculator.counts[i], 1) for i in range(len(labels))])


def _vote(data: LabelledData, labels: Labels) -> Floats:
    """Return the share of the ten nearest of other groups that have another label, found by scikit-learn."""
    from sklearn.neighbors import NearestNeighbors

    scaled = (data.features - data.features.mean(axis=0)) / np.maximum(data.features.std(axis=0), 1e-3)
    largest = int(np.bincount(data.groups).max())
    near = NearestNeighbors(n_neighbors=min(len(labels), _NEAREST + largest)).fit(scaled).kneighbors(scaled, return_distance=False)
    foreign = data.groups[near] != data.groups[:, None]
    counted = foreign & (foreign.cumsum(axis=1) <= _NEAREST)
    return np.asarray(((labels[near] != labels[:, None]) & counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1))
