"""The cascade of seed A: posture from the pose, the hand class from pictures of the hands, both together to a behaviour.

Z. Xuan, "DRN-LSTM …" (2022/23): posture "lowered head" and hand "phone" make "looks down at the phone", "lowered head" and
"writing" "lowers the head to write". On the eight learning behaviours three share the lowered head and differ by what the hands
do: writing (pen), page turning (no phone, no pen: "empty-handed") and phone; the other five are postures of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.base import BehaviourModel
from backends.behaviour.hand_images import HandModel
from schemas.checks import check_array, check_probabilities
from schemas.errors import InvalidField

__all__ = ["LOWERED", "Cascade", "join_postures", "split_posture"]

LOWERED = {"empty-handed": "turn-page", "phone": "phone", "writing": "write"}
"""Hand class → behaviour of a person whose head is lowered."""
POSTURE = "bowed-head"
_SURE = 0.02
"""No hand picture is believed more than this leaves to the others: hands are often hidden."""


def join_postures(label: NDArray[np.str_], lowered: Mapping[str, str] = LOWERED) -> NDArray[np.str_]:
    """Return behaviours (N,) as postures: those of a lowered head become one, "bowed-head"."""
    return np.where(np.isin(label, list(lowered.values())), POSTURE, label)


def split_posture(
    postures: NDArray[Any],
    hands: NDArray[Any],
    *,
    posture_names: tuple[str, ...],
    hand_names: tuple[str, ...],
    lowered: Mapping[str, str] = LOWERED,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return (N, K) probabilities of behaviours and their names, sorted: P(b) = P(bowed head) · P(hand class of b), or P(posture).

    Args:
        postures: (N, P) probabilities of `posture_names`, one of which is "bowed-head".
        hands: (N, H) probabilities of `hand_names`; NaN where no hand was seen, which tells nothing.
        posture_names: columns of `postures`.
        hand_names: columns of `hands`.
        lowered: hand class → behaviour.

    Raises:
        InvalidField: if "bowed-head" or a hand class is missing, or a row is no distribution.
    """
    probs = check_probabilities("postures", postures)
    if POSTURE not in posture_names or set(hand_names) != set(lowered):
        raise InvalidField("cascade", f"a posture {POSTURE} and hands {', '.join(lowered)}", (posture_names, hand_names))
    told = check_array("hands", hands, (len(probs), len(hand_names))).astype(np.float64)
    seen = np.isfinite(told).all(axis=1, keepdims=True)
    told = np.where(seen, (1 - _SURE) * np.nan_to_num(told) + _SURE / len(hand_names), 1 / len(hand_names))
    names = tuple(sorted({*posture_names, *lowered.values()} - {POSTURE}))
    out = np.zeros((len(probs), len(names)))
    for column, name in enumerate(posture_names):
        if name != POSTURE:
            out[:, names.index(name)] = probs[:, column]
    for column, hand in enumerate(hand_names):
        out[:, names.index(lowered[hand])] += probs[:, posture_names.index(POSTURE)] * told[:, column]
    return out, names


class Cascade:
    """A trained posture model (any `BehaviourModel` with a class "bowed-head") and a trained hand model, asked together.

    Most hands are empty, but not those of lowered heads: of the hand model counts what the pictures say, not how frequent its
    classes are.
    """

    def __init__(self, posture: BehaviourModel, hand: HandModel) -> None:
        self.posture, self.hand = posture, hand

    def predict_proba(self, pose: NDArray[Any], pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return (N, K) probabilities of behaviours and their names, sorted.

        Args:
            pose: (N, T, V, C), see `BehaviourModel.predict_proba`.
            pictures: (N, F, H, W, 3) uint8, F pictures of the hands in the same time, whose opinions are averaged.

        Raises:
            ModelError: if a model is not trained.
            InvalidField: if the shapes do not fit the models or each other.
        """
        shots = check_array("pictures", pictures, (len(pose), None, None, None, 3))
        hands = self.hand.weigh_evidence(shots.reshape(-1, *shots.shape[2:])).reshape(len(shots), shots.shape[1], -1).mean(axis=1)
        postures = self.posture.predict_proba(pose)
        return split_posture(postures, hands, posture_names=self.posture.classes, hand_names=self.hand.classes)
