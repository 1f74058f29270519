"""What was read from people close up, in Parquet: one file per clip and kind beside the tracks, one row per face or hand and frame.

    faces/<clip>.parquet    track_id, frame, size_px, score, yaw, pitch, roll, eye_right, eye_left, mouth
    hands/<clip>.parquet    track_id, frame, hand (0 left, 1 right), score, x0, y0, z0 … x20, y20, z20

A frame in which nothing could be read has no row. Neither faces nor their points are kept: `backends.people.readings` says why.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from attrs import field, frozen
from numpy.typing import NDArray

from schemas.checks import check_array
from schemas.errors import FormatError, InvalidField, StorageError, UnknownName, WorkspaceError

__all__ = ["FACE_COLUMNS", "HAND_COLUMNS", "KINDS", "ReadingStore", "Readings"]

FACE_COLUMNS = ("size_px", "score", "yaw", "pitch", "roll", "eye_right", "eye_left", "mouth")
HAND_COLUMNS = ("hand", "score", *(f"{axis}{point}" for point in range(21) for axis in "xyz"))
KINDS = {"faces": FACE_COLUMNS, "hands": HAND_COLUMNS}
"""Kind of reading → its columns besides track and frame, all float32."""
_CLIP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FORMAT = b"readings/1"


def _strings(value: Any) -> NDArray[np.str_]:
    return np.asarray(value, np.str_)


def _integers(value: Any) -> NDArray[np.int64]:
    return np.asarray(value, np.int64)


def _floats(value: Any) -> NDArray[np.float32]:
    return np.asarray(value, np.float32)


@frozen(kw_only=True, eq=False)
class Readings:
    """N rows of one kind: `track_id` (N,), `frame` (N,), `values` (N, K) in the order of the kind's columns, NaN = not read."""

    kind: str
    track_id: NDArray[np.str_] = field(converter=_strings)
    frame: NDArray[np.int64] = field(converter=_integers)
    values: NDArray[np.float32] = field(converter=_floats)

    def __attrs_post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownName("kind of reading", self.kind, KINDS)
        n = len(check_array("readings.track_id", self.track_id, (None,)))
        check_array("readings.frame", self.frame, (n,))
        check_array("readings.values", self.values, (n, len(KINDS[self.kind])))

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, column: str) -> NDArray[np.float32]:
        """Return one column (N,)."""
        if column not in KINDS[self.kind]:
            raise UnknownName("column", column, KINDS[self.kind])
        return self.values[:, KINDS[self.kind].index(column)]

    def of(self, track_id: str) -> Readings:
        """Return the rows of one track, in order of time."""
        return self._take(np.flatnonzero(self.track_id == track_id))

    def sort(self) -> Readings:
        """Return the rows by track, frame and (of hands) side."""
        return self._take(np.lexsort((self.values[:, 0], self.frame, self.track_id)))

    def _take(self, rows: NDArray[np.int64]) -> Readings:
        return Readings(kind=self.kind, track_id=self.track_id[rows], frame=self.frame[rows], values=self.values[rows])

    @classmethod
    def join(cls, kind: str, parts: Sequence[Readings]) -> Readings:
        """Return all rows of some readings of this kind; none if there are no parts."""
        return cls(
            kind=kind,
            track_id=np.concatenate([np.zeros(0, np.str_), *(part.track_id for part in parts)]),
            frame=np.concatenate([np.zeros(0, np.int64), *(part.frame for part in parts)]),
            values=np.concatenate([np.zeros((0, len(KINDS[kind])), np.float32), *(part.values for part in parts)]),
        )


class ReadingStore:
    """The readings of a workspace, under the root of its arrays.

    Equal rows give equal bytes; a file appears whole or not at all.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Use the folder or fsspec address of the arrays."""
        self._files, folder = fsspec.core.url_to_fs(os.fspath(root))
        self._root = str(folder).rstrip("/")

    def write(self, clip_id: str, readings: Readings) -> None:
        """Replace a clip's readings of this kind; none are kept as "nothing could be read".

        Raises:
            StorageError: if the store cannot be written; what was there stays.
        """
        path, rows = self._path(readings.kind, clip_id), readings.sort()
        columns = {"track_id": pa.array(rows.track_id.tolist(), pa.string()), "frame": pa.array(rows.frame)}
        columns |= {name: pa.array(np.ascontiguousarray(rows[name])) for name in KINDS[rows.kind]}
        table = pa.table(columns).replace_schema_metadata({b"curate.format": _FORMAT, b"curate.clip": clip_id.encode()})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", use_dictionary=["track_id"], write_page_checksum=True)
        temporary = f"{path}.tmp"
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(temporary, buffer.getvalue())
            self._files.mv(temporary, path)
        except (OSError, ValueError) as error:
            raise StorageError(path, str(error)) from error

    def has(self, kind: str, clip_id: str) -> bool:
        """Say whether the clip has readings of this kind, be they none."""
        return bool(self._files.exists(self._path(kind, clip_id)))

    def read(self, kind: str, clip_id: str) -> Readings:
        """Return a clip's readings of one kind, by track and frame, with exactly the values that were written.

        Raises:
            UnknownName: if there is no such kind.
            WorkspaceError: if there are none; the message says how to get them.
            FormatError: if the file is damaged.
        """
        path = self._path(kind, clip_id)
        try:
            data = self._files.cat_file(path)
        except FileNotFoundError:
            hint = f"there are no {kind} of {clip_id}; set `{kind} = true` under [preannotation] and run `curate preannotate`"
            raise WorkspaceError(path, hint) from None
        try:
            table = pq.read_table(io.BytesIO(data), use_threads=False, page_checksum_verification=True)
            told = (table.schema.metadata or {}).get(b"curate.format", b"none")
            if told != _FORMAT:
                raise FormatError(path, "curate.format", _FORMAT.decode(), told.decode())
            values = np.stack([table[name].to_numpy() for name in KINDS[kind]], axis=1)
            return Readings(kind=kind, track_id=table["track_id"].to_pylist(), frame=table["frame"].to_numpy(), values=values)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(path, "file", "readings that curate wrote (Parquet)", " ".join(str(error).split())) from error

    def _path(self, kind: str, clip_id: str) -> str:
        if kind not in KINDS:
            raise UnknownName("kind of reading", kind, KINDS)
        if not _CLIP.fullmatch(clip_id):
            raise InvalidField("clip_id", "letters, digits, '_', '-' and '.', not starting with a dot", clip_id)
        return f"{self._root}/{kind}/{clip_id}.parquet"
