"""The catalogue: clips, tracks, tubelets, everything that people and models said about them, and what the tool decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from sqlalchemy import select

from curation.store import tables
from curation.store.digest import compute_digest
from curation.store.engine import open_database
from curation.store.media import MediaStore, TrackRow, TubeletContext
from curation.store.rows import dump_json
from curation.store.statements import StatementStore
from schemas.checks import check_name
from schemas.errors import InvalidField, UnknownName

__all__ = ["RECORD_TABLES", "Catalogue", "TrackRow", "TubeletContext"]

RECORD_TABLES = ("models", "promotions", "exports", "rounds", "splits", "selections", "tasks", "consent")
"""What `append_record` takes."""


class Catalogue(MediaStore, StatementStore):
    """An open catalogue. Threads may share it; every write is one transaction; adding the same thing twice changes nothing.

    Every method may raise StorageError (disk full, no permission: nothing was changed), WorkspaceError (database damaged or
    out of reach), and every adding one InvalidField (a row names a clip, track or tubelet that is not there: nothing was changed).
    """

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Open the catalogue at an SQLAlchemy address, made where it is missing and brought to the newest schema.

        Raises:
            WorkspaceError: if it is missing (and `create` is false), damaged, of a newer schema, or cannot be reached.
            StorageError: if it cannot be made or migrated.
        """
        return cls(open_database(url, create=create))

    def close(self) -> None:
        """Close the connections. Closing twice is fine."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def append_record(self, table: str, id: str, payload: Mapping[str, Any]) -> bool:
        """Add what the tool did or decided; return False (and keep the old one) if the id is there already.

        Args:
            table: one of `RECORD_TABLES`.
            id: unique in that table.
            payload: anything that JSON can hold.

        Raises:
            UnknownName: if there is no such table.
            InvalidField: if `payload` is not JSON.
        """
        _check_table(table)
        check_name("record.id", id)
        try:
            text = dump_json(dict(payload))
        except (TypeError, ValueError) as error:
            raise InvalidField("record.payload", "what JSON can hold", str(error)) from error
        return self._add(tables.RECORDS, [{"kind": table, "id": id, "payload": text}]) == 1

    def list_records(self, table: str) -> list[dict[str, Any]]:
        """Return the payloads of one of `RECORD_TABLES`, in the order of adding.

        Raises:
            UnknownName: if there is no such table.
        """
        _check_table(table)
        query = select(tables.RECORDS.c.payload).where(tables.RECORDS.c.kind == table).order_by(tables.RECORDS.c.seq)
        return [json.loads(row["payload"]) for row in self._read(query)]

    def digest(self) -> str:
        """Return the SHA-256 (hex) of all that the catalogue says; equal content gives an equal digest on every database.

        Row numbers, places of files and the times at which things were made do not count; the order of verdicts does.
        """
        with self._database.read() as connection:
            return compute_digest(connection)


def _check_table(table: str) -> None:
    if table not in RECORD_TABLES:
        raise UnknownName("record table", table, RECORD_TABLES)
