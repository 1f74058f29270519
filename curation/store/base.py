"""Reading and inserting rows: what the parts of the catalogue share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from curation.store.engine import Database
from schemas.errors import InvalidField

__all__ = ["Store"]

_CHUNK = 500


class Store:
    """A database and the two things done with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _read(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _add(self, table: Table, rows: Sequence[dict[str, Any]]) -> int:
        """Insert rows in one transaction and return how many were new."""
        if not rows:
            return 0
        with self._database.write() as connection:
            return insert_rows(connection, table, rows)


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, replace: tuple[str, ...] = ()) -> int:
    """Insert rows inside a transaction and return how many were new; those that are there already stay as they are.

    Args:
        connection: inside a writing transaction.
        table: where to.
        rows: one dict per row, all with the same keys.
        replace: columns that identify a row whose other values the new row replaces.

    Raises:
        InvalidField: if a row's parent is not in the catalogue.
    """
    if not rows:
        return 0
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(table)
    if replace:
        new = {name: statement.excluded[name] for name in rows[0] if name not in replace}
        statement = statement.on_conflict_do_update(index_elements=list(replace), set_=new)
    else:
        statement = statement.on_conflict_do_nothing()
    try:
        with connection.begin_nested():
            return max(0, connection.execute(statement, list(rows)).rowcount)
    except IntegrityError as error:
        raise _find_missing_parent(connection, table, rows) or error from error


def _find_missing_parent(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> InvalidField | None:
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        wanted = sorted({row[key.parent.name] for row in rows})
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            there = set(connection.execute(select(key.column).where(key.column.in_(chunk))).scalars())
            for value in chunk:
                if value not in there:
                    return InvalidField(key.parent.name, f"an id among the catalogue's {key.column.table.name}", value)
    return None
