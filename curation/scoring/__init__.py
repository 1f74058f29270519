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
        "aum-seen": "curation.scoring.methods:score_by_seen_margin",
        "knn": "curation.scoring.methods:score_by_neighbours",
        "joint": "curation.scoring.methods:score_by_joint",
        "disagreement": "curation.scoring.witnesses:score_by_disagreement",
        "edit": "curation.scoring.witnesses:score_by_edit",
        "surprise": "curation.scoring.witnesses:score_by_surprise",
        "geometry": "curation.scoring.witnesses:score_by_geometry",
    },
)
