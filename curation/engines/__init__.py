"""Engines: where the work on clips is done. Each takes tasks and a stage, and gives outcomes in the order of the tasks."""

from __future__ import annotations

from backends.registry import Registry

__all__ = ["ENGINES"]

ENGINES = Registry("engine", {"local": "curation.engines.local:LocalEngine", "ray": "curation.engines.ray:RayEngine"})
"""Name → class with `curation.engines.base.Engine`'s interface."""
