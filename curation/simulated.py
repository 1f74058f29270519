"""A simulated annotator: labels through Label Studio's API as a person does through its page, with a seeded share of mistakes.

It starts from the prediction that the page shows, keeps its boxes and skeletons, removes regions where nobody sits, and sets the
label of each person. Only demonstrations and tests use it; nothing it says is ever mistaken for a person's word, because the
annotator's name goes with every label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from attrs import field, frozen

__all__ = ["SimulatedAnnotator"]


@frozen(kw_only=True)
class SimulatedAnnotator:
    """Knows the truth and errs on purpose.

    `truth` tubelet id → true value on `axis`; a tubelet that is not in it is nobody and its region is removed. `error_rate` in
    [0, 1] is the probability of a wrong value, uniform over the others; tubelets in `careful` are always labelled right. What is
    said about a tubelet depends on `seed` and its id alone, never on the order of work.
    """

    axis: str
    values: tuple[str, ...]
    truth: Mapping[str, str]
    error_rate: float = 0.2
    seed: int = 0
    careful: frozenset[str] = field(factory=frozenset)

    def choose_label(self, tubelet_id: str) -> str | None:
        """Return what the annotator says about one tubelet, or None where nobody is."""
        true = self.truth.get(tubelet_id)
        if true is None or tubelet_id in self.careful:
            return true
        digest = hashlib.sha256(f"{self.seed}:{tubelet_id}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        if rng.random() >= self.error_rate:
            return true
        others = [value for value in self.values if value != true]
        return others[int(rng.integers(len(others)))]

    def list_mistakes(self, tubelet_ids: Iterable[str]) -> set[str]:
        """Return those of `tubelet_ids` that the annotator labels wrong."""
        return {t for t in tubelet_ids if t in self.truth and self.choose_label(t) != self.truth[t]}

    def annotate(self, predicted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the `result` of an annotation made from the `result` of a prediction (Label Studio's JSON)."""
        boxes = [item for item in predicted if item["type"] == "rectanglelabels"]
        labels = {item["id"]: self.choose_label(item["id"]) for item in boxes}
        out: list[dict[str, Any]] = []
        for item in predicted:
            owner = item.get("parentID") or item["id"]
            chosen = labels.get(owner)
            is_label = item["type"] == "choices" and item["from_name"] == self.axis
            if chosen is None or is_label:
                continue
            out.append({k: v for k, v in deepcopy(dict(item)).items() if k != "score"})
            if item["type"] == "rectanglelabels":
                out.append(self._make_choice(item, chosen))
        return out

    def _make_choice(self, box: Mapping[str, Any], value: str) -> dict[str, Any]:
        place = {k: v for k, v in box["value"].items() if k != "rectanglelabels"}
        kept = {k: v for k, v in box.items() if k not in ("score", "value", "type", "from_name")}
        return {**kept, "from_name": self.axis, "type": "choices", "value": {**place, "choices": [value]}}
