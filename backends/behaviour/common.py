"""What the behaviour models share: checks before training, labels as numbers, and what is said of people never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.behaviour.normalise import find_seen
from schemas.errors import InvalidField, NotEnoughData
from schemas.sequences import SequenceSet

__all__ = ["check_training", "encode_labels", "fill_unseen"]


def check_training(sequences: SequenceSet, classes: Sequence[str] | None) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """Return the classes to learn and an (N,) mask of the sequences in which something is seen.

    Raises:
        InvalidField: if `classes` holds a name twice, or a label is not among them.
        NotEnoughData: if fewer than two classes occur in sequences in which something is seen.
    """
    wanted = tuple(classes) if classes is not None else sequences.classes
    if len(set(wanted)) != len(wanted):
        raise InvalidField("classes", "each name once", wanted)
    unknown = sorted(set(sequences.label.tolist()) - set(wanted))
    if unknown:
        raise InvalidField("label", f"one of {', '.join(wanted)}", unknown[0])
    usable = np.asarray(find_seen(sequences.pose).any(axis=(1, 2)), np.bool_)
    n_classes = len(set(sequences.label[usable].tolist()))
    if n_classes < 2:
        raise NotEnoughData("classes to train on (among sequences in which somebody is seen)", 2, n_classes)
    return wanted, usable


def encode_labels(label: NDArray[np.str_], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return (N,) positions of the labels in `classes`."""
    position = {name: i for i, name in enumerate(classes)}
    return np.array([position[name] for name in label.tolist()], np.int64)


def fill_unseen(pose: NDArray[Any], probs: NDArray[Any]) -> NDArray[np.float64]:
    """Return `probs` (N, K) with 1 / K in the rows of sequences in which nothing is seen, every row summing to 1."""
    seen = np.asarray(find_seen(pose).any(axis=(1, 2)))
    filled = np.where(seen[:, None], probs.astype(np.float64), 1 / probs.shape[1])
    total: NDArray[np.float64] = filled / filled.sum(axis=1, keepdims=True)
    return total
