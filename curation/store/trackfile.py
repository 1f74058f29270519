"""The Parquet files of tracks: one row per person and frame, row groups of one track each. Equal tracks give equal bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import DuplicateName, FormatError, InvalidField
from schemas.records import PoseTrack

__all__ = ["TrackFile", "check_tracks", "decode_tracks", "list_optional", "write_tracks"]

_BOX = ("x1", "y1", "x2", "y2")
_OPTIONAL = ("world", "filled")
"""Columns that a file has only if one of its tracks says something there."""
_FORMAT = b"1"
_GROUP_ROWS = 2048
"""Rows of a track that are held at a time: some 2 MB, nearly six minutes at 6 samples a second."""


def check_tracks(clip_id: str, tracks: Iterable[PoseTrack]) -> None:
    """Check that tracks can stand in one file.

    Raises:
        InvalidField: if a track is of another clip, or two have different numbers of keypoints.
        DuplicateName: if two have the same id.
    """
    seen: set[str] = set()
    widths: set[int] = set()
    for track in tracks:
        if track.clip_id != clip_id:
            raise InvalidField("track.clip_id", clip_id, track.clip_id)
        if track.id in seen:
            raise DuplicateName("track", track.id)
        seen.add(track.id)
        widths.add(track.pose_px.shape[1])
    if len(widths) > 1:
        raise InvalidField("track.pose_px", "the same number of keypoints in every track of a clip", sorted(widths))


def list_optional(tracks: Iterable[PoseTrack]) -> set[str]:
    """Return the optional columns that these tracks need."""
    needed = set()
    for track in tracks:
        needed |= {"world"} if track.world_m is not None else set()
        needed |= {"filled"} if track.filled.any() else set()
    return needed


def write_tracks(
    stream: BinaryIO, clip_id: str, tracks: Iterable[PoseTrack], *, n_keypoints: int, optional: Collection[str]
) -> None:
    """Write tracks one by one, in the order in which they come, or pieces of them, those of one track together and in order.

    How a track is cut into pieces does not change the bytes. Only some rows of one track are held at a time.
    """
    schema = _make_table(clip_id, [], n_keypoints, optional).schema
    options = {"compression": "zstd", "use_dictionary": ["track_id", "student"], "write_page_checksum": True}
    with pq.ParquetWriter(stream, schema, write_statistics=False, **options) as writer:
        for rows in _regroup(tracks):
            table = _make_table(clip_id, [rows], n_keypoints, optional)
            writer.write_table(table, row_group_size=len(table))


def _regroup(pieces: Iterable[PoseTrack]) -> Iterator[PoseTrack]:
    """Yield the same rows in pieces of `_GROUP_ROWS`, the last one of each track shorter."""
    rest: PoseTrack | None = None
    for piece in pieces:
        if rest is not None and rest.id != piece.id:
            yield rest
            rest = None
        rest = piece if rest is None else PoseTrack.join([rest, piece])
        while len(rest.frames) > _GROUP_ROWS:
            yield rest.select(slice(0, _GROUP_ROWS))
            rest = rest.select(slice(_GROUP_ROWS, None))
    if rest is not None:
        yield rest


class TrackFile:
    """One file, opened to read some of its tracks."""

    def __init__(self, path: str, stream: BinaryIO) -> None:
        self._path = path
        self._file = pq.ParquetFile(stream, page_checksum_verification=True)
        self.optional = set(self._file.schema_arrow.names) & set(_OPTIONAL)
        self.n_keypoints = int(self._file.schema_arrow.metadata[b"curate.keypoints"])

    def list_pieces(self) -> list[tuple[str, int, int, int, str | None]]:
        """Return (track id, row group, first frame, number of frames, student) of all pieces of tracks, in order."""
        found = []
        for group in range(self._file.num_row_groups):
            table = self._file.read_row_group(group, columns=["track_id", "frame", "student"], use_threads=False)
            ids, frames = np.array(table["track_id"].to_pylist(), object), table["frame"].to_numpy()
            starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
            for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
                found.append((str(ids[start]), group, int(frames[start]), int(stop - start), table["student"][int(start)].as_py()))
        return found

    def read(self, clip_id: str, track_id: str, group: int) -> PoseTrack:
        """Return the rows of one track in a row group."""
        table = self._file.read_row_group(group, use_threads=False)
        return next(track for track in decode_tracks(self._path, clip_id, table) if track.id == track_id)


def _make_table(clip_id: str, tracks: Sequence[PoseTrack], n_keypoints: int, optional: Collection[str]) -> pa.Table:
    lengths = [len(track.frames) for track in tracks]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(track.boxes_xyxy for track in tracks)])
    pose = np.concatenate([np.zeros((0, n_keypoints, 4), np.float32), *(track.pose_px for track in tracks)])
    columns = {
        "track_id": _repeat([track.id for track in tracks], lengths),
        "student": _repeat([track.student for track in tracks], lengths),
        "frame": _wrap(np.concatenate([np.zeros(0, np.int64), *(track.frames for track in tracks)]).astype(np.int64), pa.int64()),
        **{name: _wrap(boxes[:, i], pa.float32()) for i, name in enumerate(_BOX)},
        "pose": pa.FixedSizeListArray.from_arrays(_wrap(pose.reshape(-1), pa.float32()), n_keypoints * 4)
        if n_keypoints
        else pa.nulls(sum(lengths), pa.list_(pa.float32(), 0)),
    }
    if n_keypoints and "world" in optional:
        world = np.concatenate([np.zeros((0, n_keypoints, 3), np.float32), *(_fill_world(track) for track in tracks)])
        columns["world"] = pa.FixedSizeListArray.from_arrays(_wrap(world.reshape(-1), pa.float32()), n_keypoints * 3)
    if "filled" in optional:
        filled = np.concatenate([np.zeros(0, bool), *(track.filled for track in tracks)])
        columns["filled"] = pa.Array.from_buffers(pa.bool_(), len(filled), [None, pa.py_buffer(_pack(filled))])
    metadata = {b"curate.format": _FORMAT, b"curate.clip": clip_id.encode(), b"curate.keypoints": str(n_keypoints).encode()}
    return pa.table(columns).replace_schema_metadata(metadata)


def _wrap(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """Return numbers of this type as an Arrow array; unlike `pa.array`, without the half second that importing pandas takes."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _repeat(names: Sequence[str | None], lengths: Sequence[int]) -> pa.Array:
    """Return each name as often as its length says, as an Arrow array; likewise."""
    texts = [(name or "").encode() for name in names]
    ends = np.cumsum(np.repeat([len(text) for text in texts], lengths), dtype=np.int32)
    there = np.repeat([name is not None for name in names], lengths)
    data = b"".join(text * length for text, length in zip(texts, lengths, strict=True))
    parts = (np.append(np.int32(0), ends), np.frombuffer(data, np.uint8), _pack(there))
    return pa.StringArray.from_buffers(len(ends), *(pa.py_buffer(part) for part in parts))


def _pack(flags: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.packbits(flags.astype(bool), bitorder="little")


def _fill_world(track: PoseTrack) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.full((*track.pose_px.shape[:2], 3), np.nan, np.float32) if track.world_m is None else track.world_m


def decode_tracks(path: str, clip_id: str, table: pa.Table) -> list[PoseTrack]:
    """Return the tracks of a table.

    Raises:
        FormatError: if it is not of this format, or of another clip.
    """
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
