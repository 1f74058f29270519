"""Covering heads or faces in pictures, so that nobody can be recognised and what they do still can.

Where a head is comes from two sides, and their union is covered, generously: from the poses of the people who are followed (also
between the sampled frames, and a while before and after them), and from a face detector on the picture itself, in tiles, which
finds who is not followed. A face that the detector misses is still the head of a pose; where a pose is wrong, its face is found.

What is covered is gone: the mean colours of 3 x 3 cells are all that is left of a region twice as wide as a face.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from schemas.records import Clip, PoseTrack

__all__ = ["LEVELS", "Blurrer", "Frame", "Level", "cover_boxes", "find_track_heads"]

Level = Literal["none", "faces", "heads"]
LEVELS: tuple[Level, ...] = ("none", "faces", "heads")
"""From weak to strong."""

_POSE_REACH = {"faces": 0.75, "heads": 0.95}
"""Half the side of what is covered by the diameter of a pose's head."""
_FACE_REACH = {"faces": 0.8, "heads": 1.1}
"""Half the side of what is covered by the side of the detector's box, which goes from the brows to the chin."""
_LEAST_BY_SHOULDERS = 0.5
_TOP_OF_BOX = 0.45
_CELLS = 3
_SAME_HEAD = 0.3
_BEFORE_AND_AFTER = 1.0
_LOOK_EVERY = 0.2
_LEAST_FACE = 0.4
_TILE_OVERLAP = 0.33
_FINEST_TILE = 150.0

Boxes = NDArray[np.float64]
Frame = tuple[int, float, NDArray[np.uint8]]


class Blurrer:
    """Yields the frames of clips with heads or faces covered. A context manager; threads may share one, each with its own clip.

    Args:
        level: "faces" or "heads".
    """

    def __init__(self, level: Level) -> None:
        from backends.people.face import FaceEstimator

        self.level = level
        self._faces = FaceEstimator(least_score=_LEAST_FACE)
        self._turn = Lock()

    def iter_frames(
        self, clip: Clip, tracks: Sequence[PoseTrack], indices: Sequence[int] | None = None
    ) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """Yield (index, seconds, covered rgb) as `curation.media.iter_frames` yields the source's frames.

        Faces are looked for five times a second at most; one that is found is covered in all frames within a second of it.

        Args:
            clip: the source; it is only read.
            tracks: the people who are followed in it.
            indices: the wanted frames; None = all.

        Raises:
            MediaError: if the file cannot be read.
        """
        from curation.media import iter_frames

        waiting: list[Frame] = []
        found: list[tuple[float, Boxes]] = []
        for index, seconds, rgb in iter_frames(clip.uri, indices, timestamps=clip.timestamps):
            waiting.append((index, seconds, rgb))
            if not found or seconds >= found[-1][0] + _LOOK_EVERY:
                found.append((seconds, self.find_faces(rgb)))
            while waiting[0][1] < seconds - _BEFORE_AND_AFTER:
                yield self._cover(clip, tracks, waiting.pop(0), found)
            found = [look for look in found if look[0] >= waiting[0][1] - _BEFORE_AND_AFTER]
        for frame in waiting:
            yield self._cover(clip, tracks, frame, found)

    def find_faces(self, rgb: NDArray[np.uint8]) -> Boxes:
        """Return the regions (N, 4) xyxy px to cover for the faces that the detector sees in the picture and in tiles of it."""
        from backends.people.tiles import plan_tiles

        height, width = rgb.shape[:2]
        boxes: list[Any] = [self._detect(rgb)]
        parts = 1
        while parts == 1 or min(width, height) / parts >= _FINEST_TILE:
            for x, y, size, _ in plan_tiles(width, height, 1 / parts, overlap=_TILE_OVERLAP):
                left, top = int(x - size / 2), int(y - size / 2)
                tile = np.ascontiguousarray(rgb[top : top + int(size), left : left + int(size)])
                boxes.append(self._detect(tile) + np.array([left, top, left, top], np.float32))
            parts *= 2
        faces = np.concatenate(boxes).astype(np.float64)
        reach = _FACE_REACH[self.level] * (faces[:, 2:] - faces[:, :2]).max(axis=1, initial=0)[:, None]
        middle = (faces[:, :2] + faces[:, 2:]) / 2
        return np.concatenate([middle - reach, middle + reach], axis=1)

    def _detect(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._turn:
            return self._faces.detect(rgb)[0]

    def _cover(self, clip: Clip, tracks: Sequence[PoseTrack], frame: Frame, found: Sequence[tuple[float, Boxes]]) -> Frame:
        index, seconds, rgb = frame
        near = [boxes for at, boxes in found if abs(at - seconds) <= _BEFORE_AND_AFTER]
        heads = find_track_heads(tracks, clip.timestamps, index, self.level)
        return index, seconds, cover_boxes(rgb, np.concatenate([heads, *near]))

    def close(self) -> None:
        """Free the networks."""
        self._faces.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def find_track_heads(tracks: Sequence[PoseTrack], timestamps: NDArray[np.float64], frame: int, level: Level) -> Boxes:
    """Return the regions (N, 4) xyxy px to cover for the people who are followed.

    Between two sampled frames it is the region that holds the head at both, however long nobody was seen in between; in the second
    before the first and after the last it is the region there.
    """
    now = timestamps[frame]
    out = []
    for track in tracks:
        after = int(np.searchsorted(track.frames, frame))
        rows = {max(after - 1, 0), min(after, len(track.frames) - 1)}
        rows = {after} if after < len(track.frames) and track.frames[after] == frame else rows
        is_between = track.frames[0] <= frame <= track.frames[-1]
        if is_between or min(abs(timestamps[track.frames[row]] - now) for row in rows) <= _BEFORE_AND_AFTER:
            boxes = np.stack([_find_head(track, row, level) for row in sorted(rows)])
            out.append(np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)]))
    return np.array(out, np.float64).reshape(-1, 4)


def _find_head(track: PoseTrack, row: int, level: Level) -> Boxes:
    """Return where a person's head is, xyxy px: by the landmarks of the head, or the upper part of the box where there are none."""
    from backends.people.body import find_heads

    x1, y1, x2, y2 = track.boxes_xyxy[row].astype(np.float64)
    pose = track.pose_px[row].astype(np.float64)
    head = find_heads(pose[None])[0] if len(pose) == 33 else np.full(3, np.nan)
    if not np.isfinite(head).all():
        return np.array([x1, y1, x2, y1 + _TOP_OF_BOX * (y2 - y1)], np.float64)
    shoulders = np.nan_to_num(np.linalg.norm(pose[11, :2] - pose[12, :2]))
    reach = _POSE_REACH[level] * max(head[2], _LEAST_BY_SHOULDERS * shoulders)
    points = np.concatenate([pose[:11, :2], head[None, :2]])
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    more = np.maximum(reach - (high - low) / 2, 0.25 * reach)
    return np.concatenate([low - more, high + more], dtype=np.float64)


def cover_boxes(rgb: NDArray[np.uint8], boxes_xyxy: Boxes) -> NDArray[np.uint8]:
    """Return a copy of a picture (H, W, 3) in which nothing is left of the boxes (N, 4) px but the colours of 3 x 3 cells."""
    import cv2

    covered = rgb.copy()
    height, width = rgb.shape[:2]
    for x1, y1, x2, y2 in _merge(boxes_xyxy):
        left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
        right, bottom = min(int(np.ceil(x2)), width), min(int(np.ceil(y2)), height)
        if right <= left or bottom <= top:
            continue
        cells = cv2.resize(rgb[top:bottom, left:right], (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
        covered[top:bottom, left:right] = cv2.resize(cells, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    return covered


def _merge(boxes_xyxy: Boxes) -> Boxes:
    """Join boxes that show the same head: cells of many shifted boxes together would tell more than those of one."""
    from backends.people.body import compute_ious

    merged = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    while len(merged):
        same = compute_ious(merged, merged) > _SAME_HEAD
        joined = np.unique([[*merged[row, :2].min(axis=0), *merged[row, 2:].max(axis=0)] for row in same], axis=0)
        if len(joined) == len(merged):
            break
        merged = joined
    return merged
