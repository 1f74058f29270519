"""Looking a catalogue over without changing it."""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Connection, func, select

from curation.store import tables
from curation.store.engine import connect_database, read_revision
from schemas.errors import CurationError

__all__ = ["Health", "inspect_catalogue", "is_current"]


@frozen(kw_only=True)
class Health:
    """`revision` is the schema's (None = no catalogue yet); `problems` is empty when all is well; `rows` counts each table's."""

    where: str
    revision: str | None
    problems: tuple[str, ...] = ()
    rows: dict[str, int]

    @property
    def is_old(self) -> bool:
        """Whether a migration is due."""
        return self.revision is not None and self.revision != tables.HEAD


def inspect_catalogue(address: str) -> Health:
    """Read all of a catalogue and return what is wrong with it; nothing is migrated or repaired.

    Raises:
        WorkspaceError: if it is missing, no database, of a newer schema, or cannot be reached.
    """
    database = connect_database(address)
    try:
        with database.read() as connection:
            revision = read_revision(connection)
        if revision != tables.HEAD:
            return Health(where=database.where, revision=revision, rows={})
        try:
            with database.read() as connection:
                problems = _check_sqlite(connection) if connection.dialect.name == "sqlite" else []
                rows = {table.name: _count(connection, table.name) for table in tables.METADATA.sorted_tables}
        except CurationError as error:
            return Health(where=database.where, revision=revision, problems=(str(error),), rows={})
        return Health(where=database.where, revision=revision, problems=tuple(problems), rows=rows)
    finally:
        database.close()


def is_current(address: str) -> bool:
    """Say whether a catalogue is there and has the newest schema, without migrating it.

    Raises:
        WorkspaceError: if it is missing, no database, or cannot be reached.
    """
    database = connect_database(address)
    try:
        with database.read() as connection:
            return read_revision(connection) == tables.HEAD
    finally:
        database.close()


def _check_sqlite(connection: Connection) -> list[str]:
    problems = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(5)") if row[0] != "ok"]
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if orphans:
        problems.append(f"{len(orphans)} rows of {', '.join(sorted({row[0] for row in orphans}))} belong to nothing")
    return problems


def _count(connection: Connection, name: str) -> int:
    return int(connection.execute(select(func.count()).select_from(tables.METADATA.tables[name])).scalar_one())
