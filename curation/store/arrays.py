"""Boxes and poses in Parquet: one file per clip, one row per person and frame, on a local folder or any object store."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import DuplicateName, FormatError, InvalidField, StorageError, WorkspaceError
from schemas.files import write_bytes
from schemas.records import PoseTrack

__all__ = ["ArrayStore"]

_SUFFIX = ".parquet"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_BOX = ("x1", "y1", "x2", "y2")
_FORMAT = b"1"


class ArrayStore:
    """The arrays of a workspace. Equal tracks give equal bytes; a file appears whole or not at all."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Use the folder `root`: a local path, or an fsspec address such as ``s3://bucket/arrays``; it is made on the first write.

        Raises:
            WorkspaceError: if the address has a protocol that is not installed.
        """
        try:
            self._files, folder = fsspec.core.url_to_fs(os.fspath(root))
        except (ValueError, ImportError) as error:
            raise WorkspaceError(str(root), f"cannot be used for arrays: {error}") from error
        self._root = str(folder).rstrip("/")
        self._is_local = isinstance(self._files, fsspec.implementations.local.LocalFileSystem)

    def write_tracks(self, clip_id: str, tracks: Sequence[PoseTrack]) -> None:
        """Replace a clip's tracks by these; an empty list is kept as "nobody there".

        Raises:
            InvalidField: if a track is of another clip, or two have different numbers of keypoints.
            DuplicateName: if two have the same id.
            StorageError: if the store cannot be written; what was there stays.
        """
        path = self._path(clip_id)
        data = _encode_tracks(clip_id, tracks)
        try:
            if self._is_local:
                write_bytes(path, data)
            else:
                self._files.pipe_file(path, data)
        except (OSError, ValueError) as error:
            raise StorageError(path, str(error)) from error

    def add_tracks(self, clip_id: str, tracks: Sequence[PoseTrack]) -> int:
        """Add tracks to those that the clip has, and return how many were new; a track whose id is there stays as it is.

        Raises:
            InvalidField, DuplicateName, StorageError: as `write_tracks`.
            FormatError: if the clip's file is damaged.
        """
        there = self.read_tracks(clip_id) if self.has_tracks(clip_id) else []
        known = {track.id for track in there}
        new = [track for track in tracks if track.id not in known]
        if new or not there:
            self.write_tracks(clip_id, [*there, *new])
        return len(new)

    def has_tracks(self, clip_id: str) -> bool:
        """Say whether the clip has a file, even one with nobody in it."""
        return bool(self._files.exists(self._path(clip_id)))

    def read_tracks(self, clip_id: str) -> list[PoseTrack]:
        """Return a clip's tracks, sorted by first frame and id, with exactly the values that were written.

        Raises:
            WorkspaceError: if the clip has no file, or the store cannot be reached.
            FormatError: if the file is damaged.
        """
        path = self._path(clip_id)
        try:
            data = self._files.cat_file(path)
        except FileNotFoundError:
            raise WorkspaceError(path, f"there are no arrays of {clip_id}; run `curate preannotate`") from None
        except (OSError, ValueError) as error:
            raise WorkspaceError(path, f"cannot be read: {error}") from error
        try:
            return _decode_tracks(
                path, clip_id, pq.read_table(io.BytesIO(data), use_threads=False, page_checksum_verification=True)
            )
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            if isinstance(error, FormatError):
                raise
            reason = " ".join(str(error).split())
            raise FormatError(
                path, "file", "arrays that curate wrote (Parquet); put back a copy or preannotate again", reason
            ) from error

    def list_clip_ids(self) -> list[str]:
        """Return the ids of the clips that have a file, sorted."""
        try:
            names = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise WorkspaceError(self._root, f"cannot be read: {error}") from error
        stems = (Path(name).name for name in names if str(name).endswith(_SUFFIX))
        return sorted(stem.removesuffix(_SUFFIX) for stem in stems if _FILE_NAME.fullmatch(stem))

    def digest(self) -> str:
        """Return the SHA-256 (hex) over the clips' ids and their files' bytes; leftovers of interrupted writes do not count."""
        digest = hashlib.sha256()
        for clip_id in self.list_clip_ids():
            content = hashlib.sha256(self._files.cat_file(self._path(clip_id))).hexdigest()
            digest.update(f"{clip_id} {content}\n".encode())
        return digest.hexdigest()

    def _path(self, clip_id: str) -> str:
        if not _FILE_NAME.fullmatch(clip_id):
            raise InvalidField("clip_id", "letters, digits, '_', '-' and '.', not starting with a dot", clip_id)
        return f"{self._root}/{clip_id}{_SUFFIX}"


def _encode_tracks(clip_id: str, tracks: Sequence[PoseTrack]) -> bytes:
    seen: set[str] = set()
    for track in tracks:
        if track.clip_id != clip_id:
            raise InvalidField("track.clip_id", clip_id, track.clip_id)
        if track.id in seen:
            raise DuplicateName("track", track.id)
        seen.add(track.id)
    widths = sorted({track.pose_px.shape[1] for track in tracks})
    if len(widths) > 1:
        raise InvalidField("track.pose_px", "the same number of keypoints in every track of a clip", widths)
    table = _make_table(clip_id, sorted(tracks, key=lambda track: (track.start_frame, track.id)), widths[0] if widths else 0)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=["track_id", "student"], write_page_checksum=True)
    return buffer.getvalue()


def _make_table(clip_id: str, tracks: Sequence[PoseTrack], n_keypoints: int) -> pa.Table:
    lengths = [len(track.frames) for track in tracks]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(track.boxes_xyxy for track in tracks)])
    pose = np.concatenate([np.zeros((0, n_keypoints, 4), np.float32), *(track.pose_px for track in tracks)])
    order = np.repeat(np.arange(len(tracks)), lengths)
    columns = {
        "track_id": pa.array([tracks[i].id for i in order], pa.string()),
        "student": pa.array([tracks[i].student for i in order], pa.string()),
        "frame": pa.array(np.concatenate([np.zeros(0, np.int64), *(track.frames for track in tracks)]), pa.int64()),
        **{name: pa.array(np.ascontiguousarray(boxes[:, i])) for i, name in enumerate(_BOX)},
        "pose": pa.FixedSizeListArray.from_arrays(pa.array(pose.reshape(-1)), n_keypoints * 4)
        if n_keypoints
        else pa.nulls(len(order), pa.list_(pa.float32(), 0)),
    }
    if n_keypoints and any(track.world_m is not None for track in tracks):
        world = np.concatenate([_fill_world(track) for track in tracks])
        columns["world"] = pa.FixedSizeListArray.from_arrays(pa.array(world.reshape(-1)), n_keypoints * 3)
    if any(track.filled.any() for track in tracks):
        columns["filled"] = pa.array(np.concatenate([track.filled for track in tracks]))
    metadata = {b"curate.format": _FORMAT, b"curate.clip": clip_id.encode(), b"curate.keypoints": str(n_keypoints).encode()}
    return pa.table(columns).replace_schema_metadata(metadata)


def _fill_world(track: PoseTrack) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.full((*track.pose_px.shape[:2], 3), np.nan, np.float32) if track.world_m is None else track.world_m


def _decode_tracks(path: str, clip_id: str, table: pa.Table) -> list[PoseTrack]:
    metadata = table.schema.metadata or {}
    if metadata.get(b"curate.format") != _FORMAT:
        raise FormatError(path, "curate.format", _FORMAT.decode(), (metadata.get(b"curate.format") or b"none").decode())
    if metadata[b"curate.clip"].decode() != clip_id:
        raise FormatError(path, "curate.clip", clip_id, metadata[b"curate.clip"].decode())
    n_keypoints = int(metadata[b"curate.keypoints"])
    ids = np.array(table["track_id"].to_pylist(), dtype=object)
    students = table["student"].to_pylist()
    frames = table["frame"].to_numpy()
    boxes = np.stack([table[name].to_numpy() for name in _BOX], axis=1)
    pose = _read_points(table, "pose", n_keypoints, 4)
    world = _read_points(table, "world", n_keypoints, 3) if "world" in table.column_names else None
    filled = table["filled"].to_numpy() if "filled" in table.column_names else np.zeros(len(ids), bool)
    starts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1)] if len(ids) else []
    stops = [*starts[1:], len(ids)]
    return [
        PoseTrack(
            id=ids[a],
            clip_id=clip_id,
            frames=frames[a:b],
            boxes_xyxy=boxes[a:b],
            pose_px=pose[a:b],
            student=students[a],
            world_m=None if world is None or np.isnan(world[a:b]).all() else world[a:b],
            filled=filled[a:b],
        )
        for a, b in zip(starts, stops, strict=False)
    ]


def _read_points(table: pa.Table, column: str, n_keypoints: int, n_values: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    if not n_keypoints:
        return np.zeros((len(table), 0, n_values), np.float32)
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table[column].chunks]
    flat: np.ndarray[Any, np.dtype[np.float32]] = np.concatenate([np.zeros(0, np.float32), *chunks])
    return flat.reshape(-1, n_keypoints, n_values)
