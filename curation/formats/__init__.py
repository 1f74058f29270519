"""What a training set can be written as. Each format is a module with one `Exporter`; adding one is one file and one line here."""

from __future__ import annotations

from backends.registry import Registry

__all__ = ["EXPORTERS"]

EXPORTERS = Registry(
    "export format",
    {
        "sequences": "curation.formats.npz:SequenceExporter",
        "coco": "curation.formats.coco:CocoExporter",
    },
)
"""Name → class that keeps `curation.formats.base.Exporter`."""
