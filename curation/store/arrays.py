"""Boxes and poses in Parquet: one file per clip, one row per person and frame, on a local folder or any object store.

A clip whose people are still being found has parts instead, in ``parts/<clip>/``. They are read like a file, and joined to one at
the end, some rows of a track at a time: memory does not grow with the length of the clip.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from attrs import define, evolve, field

from curation.store import trackfile
from curation.store.trackfile import TrackFile
from schemas.errors import FormatError, InvalidField, StorageError, WorkspaceError
from schemas.files import replace_file
from schemas.records import PoseTrack

__all__ = ["ArrayStore"]

_SUFFIX = ".parquet"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


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
        self._write(self._path(clip_id), clip_id, tracks)

    def write_part(self, clip_id: str, number: int, tracks: Sequence[PoseTrack]) -> None:
        """Add the next part of a clip: tracks, and what comes next of tracks in earlier parts (same id).

        Number 0 begins anew. What an earlier try has left stays readable until this one has come further.

        Raises:
            InvalidField, DuplicateName, StorageError: as `write_tracks`.
        """
        if number == 0 and self._list_parts(clip_id):
            self.join_parts(clip_id)
        self._write(f"{self._part_folder(clip_id)}/{number:06d}{_SUFFIX}", clip_id, tracks)

    def join_parts(self, clip_id: str, students: Mapping[str, str | None] | None = None) -> None:
        """Make a clip's parts its file, together with other tracks that the file has; of two with the same id the longer stays.

        Args:
            clip_id: may have no parts: then the clip gets a file with nobody in it, if it has none.
            students: track id → who it is, where that was not certain when the parts were written.

        Raises:
            StorageError: if the store cannot be written.
            FormatError: if a part is damaged.
        """
        path, paths = self._path(clip_id), self._list_parts(clip_id)
        if not paths and not self.has_tracks(clip_id):
            self.write_tracks(clip_id, [])
        if not paths:
            return
        with ExitStack() as stack:
            there = [path] if self._files.exists(path) else []
            files = [self._open(stack, name) for name in [*there, *paths]]
            plan = _plan_joining(files[: len(there)], files[len(there) :])
            joined = (
                evolve(file.read(clip_id, track_id, group), student=(students or {}).get(track_id, entry.student))
                for track_id, entry in sorted(plan.items(), key=_by_start)
                for file, group in entry.pieces
            )
            optional = set().union(*(file.optional for file in files))
            with self._replace(path) as stream:
                n_keypoints = max(file.n_keypoints for file in files)
                trackfile.write_tracks(stream, clip_id, joined, n_keypoints=n_keypoints, optional=optional)
        self._files.rm(self._part_folder(clip_id), recursive=True)

    def add_tracks(self, clip_id: str, tracks: Sequence[PoseTrack]) -> int:
        """Add tracks to those that the clip has, and return how many were new; a track whose id is there stays as it is.

        Raises:
            InvalidField, DuplicateName, StorageError: as `write_tracks`.
            FormatError: if the clip's file is damaged.
        """
        path = self._path(clip_id)
        there = self._read(path, clip_id) if self._files.exists(path) else []
        known = {track.id for track in there}
        new = [track for track in tracks if track.id not in known]
        if new or not there:
            self.write_tracks(clip_id, [*there, *new])
        return len(new)

    def has_tracks(self, clip_id: str) -> bool:
        """Say whether the clip has a file, even one with nobody in it, or parts."""
        return bool(self._files.exists(self._path(clip_id))) or bool(self._list_parts(clip_id))

    def read_tracks(self, clip_id: str) -> list[PoseTrack]:
        """Return a clip's tracks, sorted by first frame and id, with exactly the values that were written.

        Raises:
            WorkspaceError: if the clip has no file, or the store cannot be reached.
            FormatError: if the file is damaged.
        """
        path, parts = self._path(clip_id), self._list_parts(clip_id)
        whole = self._read(path, clip_id) if not parts or self._files.exists(path) else []
        pieces: dict[str, list[PoseTrack]] = {}
        for part in parts:
            for track in self._read(part, clip_id):
                pieces.setdefault(track.id, []).append(track)
        known = {track.id: track for track in whole}
        for track in map(PoseTrack.join, pieces.values()):
            if track.id not in known or len(track.frames) >= len(known[track.id].frames):
                known[track.id] = track
        return sorted(known.values(), key=lambda track: (track.start_frame, track.id))

    def _read(self, path: str, clip_id: str) -> list[PoseTrack]:
        try:
            data = self._files.cat_file(path)
        except FileNotFoundError:
            raise WorkspaceError(path, f"there are no arrays of {clip_id}; run `curate preannotate`") from None
        except (OSError, ValueError) as error:
            raise WorkspaceError(path, f"cannot be read: {error}") from error
        try:
            table = pq.read_table(io.BytesIO(data), use_threads=False, page_checksum_verification=True)
            return trackfile.decode_tracks(path, clip_id, table)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise _damaged(path, error) from error

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

    def _part_folder(self, clip_id: str) -> str:
        return f"{self._root}/parts/{Path(self._path(clip_id)).stem}"

    def _list_parts(self, clip_id: str) -> list[str]:
        folder = self._part_folder(clip_id)
        self._files.invalidate_cache(folder)
        try:
            names = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise WorkspaceError(folder, f"cannot be read: {error}") from error
        return sorted(str(name) for name in names if _FILE_NAME.fullmatch(Path(name).name))

    def _write(self, path: str, clip_id: str, tracks: Sequence[PoseTrack]) -> None:
        trackfile.check_tracks(clip_id, tracks)
        ordered = sorted(tracks, key=lambda track: (track.start_frame, track.id))
        n_keypoints = max((track.pose_px.shape[1] for track in tracks), default=0)
        with self._replace(path) as stream:
            trackfile.write_tracks(stream, clip_id, ordered, n_keypoints=n_keypoints, optional=trackfile.list_optional(tracks))

    @contextmanager
    def _replace(self, path: str) -> Iterator[BinaryIO]:
        """Yield a stream whose content becomes the file; a remote store takes it in one request."""
        if self._is_local:
            with replace_file(path) as stream:
                yield stream
            return
        buffer = io.BytesIO()
        yield buffer
        try:
            self._files.pipe_file(path, buffer.getvalue())
        except (OSError, ValueError) as error:
            raise StorageError(path, str(error)) from error

    def _open(self, stack: ExitStack, path: str) -> TrackFile:
        try:
            return TrackFile(path, stack.enter_context(self._files.open(path, "rb")))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise _damaged(path, error) from error


@define(kw_only=True)
class _Entry:
    """A track in several files: first frame, number of frames, who it is by the last of its pieces, and where they are."""

    first: int
    n_frames: int = 0
    student: str | None = None
    pieces: list[tuple[TrackFile, int]] = field(factory=list)


def _plan_joining(whole: Sequence[TrackFile], parts: Sequence[TrackFile]) -> dict[str, _Entry]:
    """Return by id what is to become of each track: what the parts have of it, or the whole files where that is longer."""
    plan = _list_entries(parts)
    for track_id, entry in _list_entries(whole).items():
        if track_id not in plan or entry.n_frames > plan[track_id].n_frames:
            plan[track_id] = entry
    return plan


def _list_entries(files: Sequence[TrackFile]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for file in files:
        for track_id, group, first, n_frames, student in file.list_pieces():
            entry = entries.setdefault(track_id, _Entry(first=first))
            entry.n_frames += n_frames
            entry.student = student
            entry.pieces.append((file, group))
    return entries


def _by_start(named: tuple[str, _Entry]) -> tuple[int, str]:
    return named[1].first, named[0]


def _damaged(path: str, error: Exception) -> FormatError:
    if isinstance(error, FormatError):
        return error
    reason = " ".join(str(error).split())
    return FormatError(path, "file", "arrays that curate wrote (Parquet); put back a copy or preannotate again", reason)
