"""People in an image or a video: where they are, how they move, how they hold themselves."""

from __future__ import annotations

from backends.registry import Registry

__all__ = ["DETECTORS", "TRACKERS"]

DETECTORS = Registry(
    "people detector",
    {
        "tiles": "backends.people.tiles:TileDetector",
        "faces": "backends.people.faces:FaceDetector",
        "ssd": "backends.people.ssd:SsdDetector",
        "mediapipe-object": "backends.people.objects:ObjectDetector",
        "onnx": "backends.people.onnx:OnnxDetector",
    },
)
"""Name → class with `backends.people.base.PersonDetector`'s interface."""

TRACKERS = Registry(
    "people tracker",
    {
        "landmarks": "backends.people.tracker:Tracker",
        "bytetrack": "backends.people.box_tracker:ByteTracker",
        "oc-sort": "backends.people.box_tracker:OcSortTracker",
    },
)
"""Name → class with `backends.people.base.PersonTracker`'s interface."""
