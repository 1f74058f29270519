"""Reading and inserting rows: what the parts of the catalogue share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from sqlalchemy import Connection, Select, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError

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
    is_postgresql = connection.dialect.name == "postgresql"
    insert = _copy_rows if is_postgresql and not replace else _execute_rows
    try:
        # PostgreSQL answers no question after an error, SQLite undoes savepoints by itself when the disk is full
        with connection.begin_nested() if is_postgresql else nullcontext():
            return insert(connection, table, rows, replace)
    except IntegrityError as error:
        raise _find_missing_parent(connection, table, rows) or error from error


def _execute_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], replace: tuple[str, ...]) -> int:
    statement = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)
    if replace:
        new = {name: statement.excluded[name] for name in rows[0] if name not in replace}
        statement = statement.on_conflict_do_update(index_elements=list(replace), set_=new)
    else:
        statement = statement.on_conflict_do_nothing()
    return connection.execute(statement, list(rows)).rowcount


def _copy_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], replace: tuple[str, ...]) -> int:
    """Insert by COPY through a temporary table: 100 000 rows one by one would take PostgreSQL's driver most of a minute."""
    names = ", ".join(f'"{name}"' for name in rows[0])
    connection.exec_driver_sql(f"CREATE TEMP TABLE incoming AS SELECT 0::bigint AS n, {names} FROM {table.name} WITH NO DATA")
    cursor = connection.connection.cursor()
    try:
        with cursor.copy(f"COPY incoming (n, {names}) FROM STDIN") as stream:
            for n, row in enumerate(rows):
                stream.write_row((n, *row.values()))
    except connection.dialect.loaded_dbapi.Error as error:
        raise OperationalError("COPY", None, error) from error
    insert = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM incoming ORDER BY n ON CONFLICT DO NOTHING"
    n_new = connection.exec_driver_sql(insert).rowcount
    connection.exec_driver_sql("DROP TABLE incoming")
    return n_new


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
