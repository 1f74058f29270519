"""Records ⇄ rows of the catalogue. Exact: floats as 8-byte numbers or shortest decimal, arrays as little-endian bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import asdict

from schemas.records import Clip, Gap, HumanSpan, PoseTrack, PredictedSpan, Seat, Tubelet, Verdict
from schemas.scores import Fault, SampleScore

__all__ = [
    "dump_json",
    "from_annotation",
    "from_clip",
    "from_prediction",
    "from_score",
    "from_track",
    "from_tubelet",
    "from_verdict",
    "to_annotation",
    "to_clip",
    "to_prediction",
    "to_score",
    "to_tubelet",
    "to_verdict",
]

Row = dict[str, Any]


def dump_json(value: object) -> str:
    """Return compact JSON with sorted keys: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def from_clip(clip: Clip) -> Row:
    """Return the row of a clip."""
    return {
        "id": clip.id,
        "uri": clip.uri,
        "sha256": clip.sha256,
        "n_frames": int(clip.n_frames),
        "fps": float(clip.fps),
        "width": int(clip.width),
        "height": int(clip.height),
        "timestamps": clip.timestamps.astype("<f8").tobytes(),
        "lesson": clip.lesson,
        "camera": clip.camera,
        "school": clip.school,
        "context": dump_json(dict(clip.context)),
        "seats": dump_json([[seat.student, *map(float, seat.box_xyxy)] for seat in clip.seats]),
        "gaps": dump_json([[int(gap.before), int(gap.frames)] for gap in clip.gaps]),
    }


def to_clip(row: Mapping[str, Any]) -> Clip:
    """Return the clip of a row."""
    seats = tuple(Seat(student=name, box_xyxy=tuple(box)) for name, *box in json.loads(row["seats"]))
    return Clip(
        id=row["id"],
        uri=row["uri"],
        sha256=row["sha256"],
        n_frames=row["n_frames"],
        fps=row["fps"],
        width=row["width"],
        height=row["height"],
        timestamps=np.frombuffer(row["timestamps"], "<f8"),
        lesson=row["lesson"],
        camera=row["camera"],
        school=row["school"],
        context=json.loads(row["context"]),
        seats=seats,
        gaps=tuple(Gap(before=before, frames=frames) for before, frames in json.loads(row["gaps"])),
    )


def from_track(track: PoseTrack) -> Row:
    """Return the row of a track; its arrays go to the `ArrayStore`."""
    return {
        "id": track.id,
        "clip_id": track.clip_id,
        "student": track.student,
        "n_frames": len(track.frames),
        "first": int(track.frames[0]),
        "last": int(track.frames[-1]),
    }


def from_tubelet(tubelet: Tubelet) -> Row:
    """Return the row of a tubelet."""
    return {
        "id": tubelet.id,
        "clip_id": tubelet.clip_id,
        "track_id": tubelet.track_id,
        "first": int(tubelet.first),
        "last": int(tubelet.last),
    }


def to_tubelet(row: Mapping[str, Any]) -> Tubelet:
    """Return the tubelet of a row."""
    return Tubelet(id=row["id"], clip_id=row["clip_id"], track_id=row["track_id"], first=row["first"], last=row["last"])


def from_prediction(span: PredictedSpan) -> Row:
    """Return the row of a model's proposal."""
    return {
        "id": span.id,
        "tubelet_id": span.tubelet_id,
        "axis": span.axis,
        "value": span.value,
        "model": span.model,
        "version": span.version,
        "scores": dump_json({name: float(score) for name, score in span.scores.items()}),
    }


def to_prediction(row: Mapping[str, Any]) -> PredictedSpan:
    """Return the proposal of a row."""
    names = ("tubelet_id", "axis", "value", "model", "version")
    return PredictedSpan(**{name: row[name] for name in names}, scores=json.loads(row["scores"]))


def from_annotation(span: HumanSpan) -> Row:
    """Return the row of a person's label."""
    return {
        "id": span.id,
        "tubelet_id": span.tubelet_id,
        "axis": span.axis,
        "value": span.value,
        "annotator": span.annotator,
        "from_predicted": span.from_predicted,
        "origin": span.origin,
        "made_at": span.made_at,
        "frame": None if span.frame is None else int(span.frame),
        "box": None if span.box_xyxy is None else dump_json([float(v) for v in span.box_xyxy]),
        "pose": None if span.pose_px is None else span.pose_px.astype("<f4").tobytes(),
    }


def to_annotation(row: Mapping[str, Any]) -> HumanSpan:
    """Return the label of a row."""
    names = ("tubelet_id", "axis", "value", "annotator", "from_predicted", "origin", "made_at", "frame")
    return HumanSpan(
        **{name: row[name] for name in names},
        box_xyxy=None if row["box"] is None else tuple(json.loads(row["box"])),
        pose_px=None if row["pose"] is None else np.frombuffer(row["pose"], "<f4").reshape(-1, 4),
    )


def from_score(score: SampleScore, run: str) -> Row:
    """Return the row of a score of that run."""
    return {
        "run": run,
        "tubelet_id": score.tubelet_id,
        "axis": score.axis,
        "label": score.label,
        "suggested": score.suggested,
        "value": float(score.value),
        "loss": float(score.loss),
        "method": score.method,
        "model": score.model,
        "out_of_sample": bool(score.out_of_sample),
        "wrong": None if score.wrong is None else float(score.wrong),
        "kind": score.kind,
        "reason": score.reason,
        "faults": None if score.faults is None else dump_json([asdict(fault) for fault in score.faults]),
    }


def to_score(row: Mapping[str, Any]) -> SampleScore:
    """Return the score of a row."""
    names = ("tubelet_id", "axis", "label", "suggested", "value", "loss", "method", "model", "out_of_sample")
    faults = None if row["faults"] is None else tuple(Fault(**fault) for fault in json.loads(row["faults"]))
    return SampleScore(**{name: row[name] for name in (*names, "wrong", "kind", "reason")}, faults=faults)


def from_verdict(verdict: Verdict) -> Row:
    """Return the row of a verdict."""
    names = ("id", "tubelet_id", "axis", "kind", "curator", "made_at", "value")
    return {name: getattr(verdict, name) for name in names}


def to_verdict(row: Mapping[str, Any]) -> Verdict:
    """Return the verdict of a row."""
    names = ("tubelet_id", "axis", "kind", "curator", "made_at", "value")
    return Verdict(**{name: row[name] for name in names})
