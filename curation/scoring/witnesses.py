"""What speaks about a label beside a model's probabilities: other annotators, the proposal, the moments around it, the skeleton.

Scoring methods like those in `curation.scoring.methods`: (labels, probabilities, evidence) → suspicion in [0, 1], 1 = most suspect.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.scoring.methods import Evidence, Floats, Labels, rank_evenly, require
from schemas.checks import check_array

__all__ = ["measure_edits", "score_by_disagreement", "score_by_edit", "score_by_geometry", "score_by_surprise"]


def score_by_disagreement(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return the share of annotators' votes that differ from the label, drawn to 0.5 by one vote; 0.5 where nobody voted.

    Raises:
        InvalidField: if there are no votes.
    """
    votes = np.asarray(require(evidence.votes, "disagreement", "annotators' votes"))
    cast = votes >= 0
    other = (cast & (votes != labels[:, None])).sum(axis=1)
    return np.asarray((other + 0.5) / (cast.sum(axis=1) + 1))


def score_by_edit(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return 1 where the label is another than the one proposed; else half of how far box and skeleton were moved.

    Somebody who changes what was proposed may be right; that is for the model's word to say. 0.5 where nothing was proposed.

    Raises:
        InvalidField: if proposals are not known.
    """
    proposed = np.asarray(require(evidence.proposed, "edit", "what had been proposed"))
    edits = np.zeros(len(labels)) if evidence.edits is None else np.clip(evidence.edits, 0, 1)
    return np.asarray(np.where(proposed < 0, 0.5, np.where(proposed != labels, 1.0, edits / 2)))


def score_by_surprise(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return the rank of the transition surprise −log P(label | what came before and after), largest = 1; 0.5 where it is NaN.

    Raises:
        InvalidField: if it is not known.
    """
    surprise = np.asarray(require(evidence.surprise, "surprise", "transition surprise"), np.float64)
    known, score = np.isfinite(surprise), np.full(len(surprise), 0.5)
    score[known] = rank_evenly(surprise[known])
    return score


def score_by_geometry(labels: Labels, probs: Floats, evidence: Evidence) -> Floats:
    """Return how impossible box and skeleton are, see `curation.scoring.geometry`.

    Raises:
        InvalidField: if it is not known.
    """
    return np.clip(require(evidence.geometry, "geometry", "outliers of boxes and keypoints"), 0, 1)


def measure_edits(
    boxes_xyxy: NDArray[Any], proposed_xyxy: NDArray[Any], pose_px: NDArray[Any], proposed_px: NDArray[Any]
) -> tuple[Floats, Floats]:
    """Return how far boxes (N,) and keypoints (N, V) were moved from the proposal, in [0, 1], 0 = not at all.

    A box: 1 − intersection over union. A keypoint: its distance over a tenth of the proposed box's diagonal, at most 1; NaN if it
    is unseen on either side.

    Args:
        boxes_xyxy: (N, 4) px, as they are.
        proposed_xyxy: (N, 4) px, as they were proposed.
        pose_px: (N, V, 2 or more) px, as they are; NaN = unseen.
        proposed_px: (N, V, 2 or more) px, as they were proposed.

    Raises:
        InvalidField: if shapes do not fit.
    """
    boxes, before = (np.asarray(b, np.float64) for b in (boxes_xyxy, proposed_xyxy))
    check_array("boxes", boxes, (None, 4))
    check_array("proposed boxes", before, boxes.shape)
    low, high = np.maximum(boxes[:, :2], before[:, :2]), np.minimum(boxes[:, 2:], before[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=1) for b in (boxes, before)]
    moved = 1 - shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)
    reach = np.maximum(0.1 * np.linalg.norm(before[:, 2:] - before[:, :2], axis=1), 1e-9)
    apart = np.linalg.norm(np.asarray(pose_px, np.float64)[..., :2] - np.asarray(proposed_px, np.float64)[..., :2], axis=-1)
    return moved, np.minimum(apart / reach[:, None], 1)
