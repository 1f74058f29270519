"""Which samples to label next."""

from __future__ import annotations

from backends.registry import Registry

__all__ = ["STRATEGIES"]

STRATEGIES = Registry(
    "strategy",
    {
        "random": "curation.select.strategies:select_random",
        "margin": "curation.select.strategies:select_by_margin",
        "entropy": "curation.select.strategies:select_by_entropy",
        "least-confidence": "curation.select.strategies:select_by_least_confidence",
        "typiclust": "curation.select.strategies:select_typical",
        "typical-margin": "curation.select.strategies:select_typical_then_margin",
    },
)
