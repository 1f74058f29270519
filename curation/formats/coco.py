"""COCO person keypoints as an export format: ``<side>.coco.json``, and the key frames it names under ``images/``.

After the COCO data format (https://cocodataset.org/#format-data): one image per key frame, one annotation per student on it, one
category per behaviour, each with the names and the (1-based) limbs of the skeleton. Coordinates are px of the full frame from its
top left corner, ``bbox`` is x, y, width, height. A keypoint's flag is 0 = not seen (x = y = 0), 1 = placed but hidden (visibility
< 0.5), 2 = visible. Beyond COCO an image names its clip, frame and seconds, an annotation its tubelet, track, annotator, group and
how often it counts (more than once where a class was oversampled).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.formats.base import ExportFacts, ExportItem, Sample, sort_samples
from schemas.errors import FormatError
from schemas.files import write_text

__all__ = ["VISIBLE_FROM", "CocoExporter", "name_image", "to_coco_keypoints"]

VISIBLE_FROM = 0.5


def to_coco_keypoints(pose_px: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return (V, 3) = x px, y px, flag (0 not seen, 1 hidden, 2 visible) of a pose (V, 4) = x, y, z, visibility.

    A visibility of NaN on a keypoint with a position counts as visible.
    """
    points = np.array(pose_px[:, :3], np.float32)
    visibility = np.nan_to_num(pose_px[:, 3], nan=1.0)
    seen = np.isfinite(pose_px[:, :2]).all(axis=1)
    points[:, 2] = np.where(visibility >= VISIBLE_FROM, 2, 1)
    points[~seen] = 0
    return points


def name_image(clip_id: str, frame: int) -> str:
    """Return the file name of a key frame."""
    return f"images/{clip_id}_{frame:06d}.jpg"


class CocoExporter:
    """Boxes and keypoints of key frames, a category per behaviour."""

    def write(self, folder: Path, side: str, items: Sequence[ExportItem], facts: ExportFacts) -> list[str]:
        """Write ``<side>.coco.json``: images by clip and frame, annotations by image and tubelet."""
        content = {
            "info": {
                "description": f"{facts.taxonomy.name or facts.taxonomy.id}: axis {facts.axis}, {side}",
                "version": str(facts.taxonomy.version),
                "taxonomy": facts.taxonomy.id,
                "axis": facts.axis,
            },
            "licenses": [],
            "categories": _list_categories(facts),
            **_list_rows(items, facts),
        }
        name = f"{side}.coco.json"
        write_text(folder / name, json.dumps(content, indent=None, separators=(",", ":"), ensure_ascii=False) + "\n")
        return [name]

    def list_pictures(self, items: Sequence[ExportItem]) -> dict[str, ExportItem]:
        """Return every key frame, once."""
        return {name_image(item.clip.id, item.key_frame): item for item in items}

    def read(self, folder: Path, side: str) -> list[Sample]:
        """Read ``<side>.coco.json``."""
        path = folder / f"{side}.coco.json"
        try:
            content = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise FormatError(path, "file", "an existing COCO file", "no such file") from None
        except ValueError as error:
            raise FormatError(path, "file", "JSON", str(error)) from error
        try:
            return sort_samples(_parse_rows(content))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise FormatError(path, "annotations", "images, annotations and categories of a COCO export", repr(error)) from error

    def reduce(self, items: Sequence[ExportItem], facts: ExportFacts) -> list[Sample]:
        """Keep the label, the place, the box and x, y, flag of each keypoint at the key frame."""
        kept = [
            _make_sample(item.record.tubelet_id, item.record.label, _facts_of(item), item.box_xyxy, to_coco_keypoints(item.pose_px))
            for item in items
        ]
        return sort_samples(kept)


def _list_categories(facts: ExportFacts) -> list[dict[str, Any]]:
    skeleton = facts.taxonomy.skeleton
    limbs = [[a + 1, b + 1] for a, b in skeleton.edges]
    return [
        {"id": number, "name": value, "supercategory": facts.axis, "keypoints": list(skeleton.nodes), "skeleton": limbs}
        for number, value in enumerate(facts.classes, start=1)
    ]


def _list_rows(items: Sequence[ExportItem], facts: ExportFacts) -> dict[str, list[dict[str, Any]]]:
    repeats: dict[str, int] = {}
    for item in items:
        repeats[item.record.tubelet_id] = repeats.get(item.record.tubelet_id, 0) + 1
    unique = {(item.clip.id, item.key_frame, item.record.tubelet_id): item for item in items}
    number_of: dict[tuple[str, int], int] = {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for clip_id, frame, tubelet_id in sorted(unique):
        item = unique[clip_id, frame, tubelet_id]
        if (clip_id, frame) not in number_of:
            number_of[clip_id, frame] = len(images) + 1
            images.append(_describe_image(len(images) + 1, item))
        annotation = _describe_annotation(len(annotations) + 1, number_of[clip_id, frame], item, facts)
        annotations.append({**annotation, "repeats": repeats[tubelet_id]})
    return {"images": images, "annotations": annotations}


def _describe_image(number: int, item: ExportItem) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": name_image(item.clip.id, item.key_frame),
        "width": item.clip.width,
        "height": item.clip.height,
        "clip_id": item.clip.id,
        "frame": item.key_frame,
        "seconds": float(item.clip.timestamps[item.key_frame]),
    }


def _describe_annotation(number: int, image: int, item: ExportItem, facts: ExportFacts) -> dict[str, Any]:
    x1, y1, x2, y2 = item.box_xyxy
    points = to_coco_keypoints(item.pose_px)
    flat = [int(v) if i == 2 else float(v) for row in points.tolist() for i, v in enumerate(row)]
    return {
        "id": number,
        "image_id": image,
        "category_id": facts.classes.index(item.record.label) + 1,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 0,
        "keypoints": flat,
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "tubelet_id": item.record.tubelet_id,
        "track_id": item.record.track_id,
        "annotator": item.record.annotator,
        "group": item.record.group,
    }


def _parse_rows(content: dict[str, Any]) -> list[Sample]:
    names = {row["id"]: row["name"] for row in content["categories"]}
    images = {row["id"]: row for row in content["images"]}
    samples = []
    for row in content["annotations"]:
        image = images[row["image_id"]]
        x, y, width, height = row["bbox"]
        facts = {
            "clip_id": image["clip_id"],
            "frame": image["frame"],
            "size": (image["width"], image["height"]),
            "track_id": row["track_id"],
            "annotator": row["annotator"],
            "group": row["group"],
        }
        points = np.asarray(row["keypoints"], np.float32).reshape(-1, 3)
        sample = _make_sample(row["tubelet_id"], names[row["category_id"]], facts, (x, y, x + width, y + height), points)
        samples += [sample] * int(row["repeats"])
    return samples


def _facts_of(item: ExportItem) -> dict[str, Any]:
    return {
        "clip_id": item.clip.id,
        "frame": item.key_frame,
        "size": (item.clip.width, item.clip.height),
        "track_id": item.record.track_id,
        "annotator": item.record.annotator,
        "group": item.record.group,
    }


def _make_sample(
    tubelet_id: str, label: str, facts: dict[str, Any], box_xyxy: tuple[float, float, float, float], points: NDArray[np.float32]
) -> Sample:
    box = np.round(np.asarray(box_xyxy, np.float64), 3)
    return Sample(tubelet_id=tubelet_id, label=label, facts=facts, arrays={"box_xyxy": box, "keypoints": points})
