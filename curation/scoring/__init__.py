"""How suspect a label is."""

from __future__ import annotations

from backends.registry import Registry

__all__ = ["SCORERS"]

SCORERS = Registry(
    "scoring method",
    {
        "default": "curation.scoring.methods:score_by_default",
        "loss": "curation.scoring.methods:score_by_loss",
        "margin": "curation.scoring.methods:score_by_margin",
        "aum": "curation.scoring.methods:score_by_training_margin",
        "knn": "curation.scoring.methods:score_by_neighbours",
    },
)
