"""Boxes through a video ⇄ Label Studio's ``videorectangle`` sequences: frames from 1 and percent there, from 0 and px here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import cmp_using, field, frozen
from numpy.typing import NDArray

from schemas.checks import check_array, check_name, freeze_array
from schemas.errors import FormatError, InvalidField
from schemas.labelconfig import BOX, PERSON, VIDEO
from schemas.labeljson import JsonReader
from schemas.records import Clip, PoseTrack
from schemas.vocabulary import Label

__all__ = ["BoxTrack", "decode_tracks", "encode_track"]


def _freeze_frames(value: Any) -> NDArray[np.int64]:
    return freeze_array(np.asarray(value, np.int64))


def _freeze_boxes(value: Any) -> NDArray[np.float32]:
    return freeze_array(np.asarray(value, np.float32))


@frozen(kw_only=True)
class BoxTrack:
    """One person's boxes: `frames` (T,) int64, increasing; `boxes_xyxy` (T, 4) float32 px; `labels` hold for the whole track."""

    id: str
    frames: NDArray[np.int64] = field(converter=_freeze_frames, eq=cmp_using(eq=np.array_equal))
    boxes_xyxy: NDArray[np.float32] = field(converter=_freeze_boxes, eq=cmp_using(eq=np.array_equal))
    labels: tuple[Label, ...] = ()

    def __attrs_post_init__(self) -> None:
        check_name("track.id", self.id)
        check_array("track.boxes_xyxy", self.boxes_xyxy, (len(self.frames), 4))
        if len(self.frames) == 0 or self.frames[0] < 0 or (np.diff(self.frames) <= 0).any():
            raise InvalidField("track.frames", "strictly increasing indices from 0", self.frames)


def encode_track(track: PoseTrack | BoxTrack, clip: Clip, labels: Sequence[Label] = ()) -> list[dict[str, Any]]:
    """Return the results of one person in one video: the box sequence, and one choice per label.

    Raises:
        InvalidField: if the track goes beyond the clip.
    """
    if int(track.frames[-1]) >= clip.n_frames:
        raise InvalidField("track.frames", f"indices below {clip.n_frames}", int(track.frames[-1]))
    last = len(track.frames) - 1
    sequence = [
        {
            "frame": int(frame) + 1,
            "time": float(clip.timestamps[frame]),
            "x": float(x1) / clip.width * 100,
            "y": float(y1) / clip.height * 100,
            "width": (float(x2) - float(x1)) / clip.width * 100,
            "height": (float(y2) - float(y1)) / clip.height * 100,
            "rotation": 0,
            "enabled": index != last,
        }
        for index, (frame, (x1, y1, x2, y2)) in enumerate(zip(track.frames, track.boxes_xyxy, strict=True))
    ]
    duration = float(clip.timestamps[-1] - clip.timestamps[0]) + (1 / clip.fps if clip.fps else 0)
    common = {"id": track.id, "to_name": VIDEO, "original_width": clip.width, "original_height": clip.height}
    value = {"framesCount": clip.n_frames, "duration": duration, "sequence": sequence, "labels": [PERSON]}
    boxes = {**common, "from_name": BOX, "type": "videorectangle", "value": value}
    return [boxes, *({**common, "from_name": lab.axis, "type": "choices", "value": {"choices": [lab.value]}} for lab in labels)]


def decode_tracks(result: object, *, n_frames: int, size: tuple[int, int], where: str = "task") -> list[BoxTrack]:
    """Read the box tracks of one video; the inverse of `encode_track`.

    Args:
        result: the `result` list of an annotation or a prediction.
        n_frames: what the container holds; a player that counts differently would put every label on the wrong frame.
        size: (width, height) of the video, px.
        where: name of the source for messages.

    Raises:
        FormatError: naming the item and the field; on another frame count; on a rotated box.
    """
    if not isinstance(result, list):
        raise FormatError(where, "result", "a list", type(result).__name__)
    tracks: dict[str, tuple[list[int], list[list[float]]]] = {}
    labels: dict[str, list[Label]] = {}
    for index, item in enumerate(result):
        read = JsonReader(item, where, f"result[{index}]")
        kind, region = read.take("type", str), read.take("id", str)
        if kind == "videorectangle":
            tracks[region] = _decode_sequence(read.inner("value"), n_frames, size)
        elif kind == "choices":
            chosen = read.inner("value").take("choices", list)
            labels.setdefault(region, []).extend(Label(axis=read.take("from_name", str), value=str(c)) for c in chosen)
        else:
            raise FormatError(where, f"{read.where}.type", "videorectangle or choices", kind)
    lost = sorted(set(labels) - set(tracks))
    if lost:
        raise FormatError(where, "result", f"a box sequence for region {lost[0]!r}", "only choices")
    return [BoxTrack(id=k, frames=f, boxes_xyxy=b, labels=tuple(labels.get(k, ()))) for k, (f, b) in tracks.items()]


def _decode_sequence(value: JsonReader, n_frames: int, size: tuple[int, int]) -> tuple[list[int], list[list[float]]]:
    counted = value.take("framesCount", int)
    if counted != n_frames:
        raise FormatError(value.path, f"{value.where}.framesCount", f"{n_frames} frames, as the container has", counted)
    frames: list[int] = []
    boxes: list[list[float]] = []
    for index, entry in enumerate(value.take("sequence", list)):
        read = JsonReader(entry, value.path, f"{value.where}.sequence[{index}]")
        frame = read.take("frame", int) - 1
        if not 0 <= frame < n_frames or (frames and frame <= frames[-1]):
            raise FormatError(value.path, f"{read.where}.frame", f"increasing frames from 1 to {n_frames}", frame + 1)
        if read.value.get("rotation") not in (None, 0):
            raise FormatError(value.path, f"{read.where}.rotation", "0 (boxes are upright)", read.value["rotation"])
        x, y = read.number("x") * size[0] / 100, read.number("y") * size[1] / 100
        w, h = read.number("width") * size[0] / 100, read.number("height") * size[1] / 100
        frames.append(frame)
        boxes.append([x, y, x + w, y + h])
    if not frames:
        raise FormatError(value.path, f"{value.where}.sequence", "at least one box", [])
    return frames, boxes
