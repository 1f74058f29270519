"""The catalogue's clips, tracks and tubelets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import asdict, frozen
from sqlalchemy import Connection, select

from curation.store import rows, tables
from curation.store.base import Store, insert_rows
from schemas.checks import check_name
from schemas.errors import UnknownName
from schemas.records import Clip, PoseTrack, PredictedSpan, Tubelet

__all__ = ["MediaStore", "TrackRow", "TubeletContext"]


@frozen(kw_only=True)
class TrackRow:
    """What the catalogue knows of a track; its boxes and poses are in the `ArrayStore`."""

    id: str
    clip_id: str
    student: str | None
    n_frames: int
    first: int
    last: int


@frozen(kw_only=True)
class TubeletContext:
    """A tubelet with where and of whom it is."""

    tubelet: Tubelet
    lesson: str
    student: str | None
    camera: str
    school: str


class MediaStore(Store):
    """What there is to label."""

    def add_clips(self, clips: Iterable[Clip]) -> int:
        """Add clips and return how many were new."""
        return self._add(tables.CLIPS, [rows.from_clip(clip) for clip in clips])

    def list_clips(self) -> list[Clip]:
        """Return the clips, sorted by id."""
        return sorted((rows.to_clip(row) for row in self._read(select(tables.CLIPS))), key=lambda clip: clip.id)

    def get_clip(self, clip_id: str) -> Clip:
        """Return one clip.

        Raises:
            UnknownName: if there is none of that id.
        """
        found = self._read(select(tables.CLIPS).where(tables.CLIPS.c.id == clip_id))
        if not found:
            some = [row["id"] for row in self._read(select(tables.CLIPS.c.id).order_by(tables.CLIPS.c.seq).limit(5))]
            raise UnknownName("clip", clip_id, some)
        return rows.to_clip(found[0])

    def commit_clip(
        self,
        clip_id: str,
        *,
        pipeline: str,
        tracks: Sequence[PoseTrack | TrackRow],
        tubelets: Sequence[Tubelet],
        predictions: Sequence[PredictedSpan],
        problem: str | None = None,
    ) -> None:
        """Record in one transaction that `pipeline` has been through a clip, with all that it found or the problem it met.

        Going through a clip again adds what is new, and replaces the problem and what is said of a track. A clip may be recorded
        part by part: until the last, the problem is that it is not finished.
        """
        check_name("pipeline", pipeline)
        done = {"clip_id": clip_id, "pipeline": pipeline, "problem": None if problem is None else problem.replace("\x00", "")}
        with self._database.write() as connection:
            _insert_people(connection, tracks, tubelets, replace=("id",))
            insert_rows(connection, tables.PREDICTIONS, [rows.from_prediction(span) for span in predictions])
            insert_rows(connection, tables.DONE, [done], replace=("clip_id", "pipeline"))

    def list_done(self, pipeline: str | None = None) -> dict[str, str | None]:
        """Return clip id → the problem met (None = none) for the clips that `pipeline` has been through.

        Of all pipelines (None), a clip that one has been through without a problem has none.
        """
        query = select(tables.DONE).order_by(tables.DONE.c.seq)
        found = self._read(query if pipeline is None else query.where(tables.DONE.c.pipeline == pipeline))
        well = {row["clip_id"] for row in found if row["problem"] is None}
        return {row["clip_id"]: None if row["clip_id"] in well else row["problem"] for row in found}

    def add_tracks(self, tracks: Sequence[PoseTrack], tubelets: Sequence[Tubelet]) -> int:
        """Add people whom annotators have drawn, in one transaction; return how many tubelets were new."""
        with self._database.write() as connection:
            return _insert_people(connection, tracks, tubelets)

    def list_tracks(self, clip_id: str | None = None) -> list[TrackRow]:
        """Return the tracks, of one clip or of all, sorted by clip, first frame and id."""
        table = tables.TRACKS
        query = select(table) if clip_id is None else select(table).where(table.c.clip_id == clip_id)
        names = ("id", "clip_id", "student", "n_frames", "first", "last")
        tracks = [TrackRow(**{name: row[name] for name in names}) for row in self._read(query)]
        return sorted(tracks, key=lambda track: (track.clip_id, track.first, track.id))

    def list_tubelets(self, clip_id: str | None = None) -> list[Tubelet]:
        """Return the tubelets, of one clip or of all, sorted by clip, first frame and track."""
        table = tables.TUBELETS
        query = select(table) if clip_id is None else select(table).where(table.c.clip_id == clip_id)
        return sorted((rows.to_tubelet(row) for row in self._read(query)), key=_tubelet_order)

    def describe_tubelets(self) -> dict[str, TubeletContext]:
        """Return tubelet id → the tubelet with its lesson, student, camera and school, in the order of `list_tubelets`."""
        clips, tracks = tables.CLIPS.c, tables.TRACKS.c
        query = select(tables.TUBELETS, clips.lesson, clips.camera, clips.school, tracks.student)
        query = query.join(tables.CLIPS, clips.id == tables.TUBELETS.c.clip_id).join(
            tables.TRACKS, tracks.id == tables.TUBELETS.c.track_id
        )
        found = [
            TubeletContext(tubelet=rows.to_tubelet(row), **{name: row[name] for name in ("lesson", "student", "camera", "school")})
            for row in self._read(query)
        ]
        return {entry.tubelet.id: entry for entry in sorted(found, key=lambda entry: _tubelet_order(entry.tubelet))}


def _tubelet_order(tubelet: Tubelet) -> tuple[str, int, str, int]:
    return tubelet.clip_id, tubelet.first, tubelet.track_id, tubelet.last


def _insert_people(
    connection: Connection, tracks: Sequence[PoseTrack | TrackRow], tubelets: Sequence[Tubelet], replace: tuple[str, ...] = ()
) -> int:
    described = [asdict(track) if isinstance(track, TrackRow) else rows.from_track(track) for track in tracks]
    insert_rows(connection, tables.TRACKS, described, replace=replace)
    return insert_rows(connection, tables.TUBELETS, [rows.from_tubelet(tubelet) for tubelet in tubelets])
