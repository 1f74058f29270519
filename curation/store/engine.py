"""Opening the catalogue's database, and its transactions, on SQLite and PostgreSQL alike.

SQLite runs in WAL mode (readers never wait for the writer) with ``synchronous=FULL``: under NORMAL a power cut may take back the
last committed transactions, and a curator's verdict cannot be computed again, while one fsync a commit costs milliseconds.
Every writing transaction takes the database's one write lock when it begins, so that `seq` grows in the order of the commits.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from curation.store.tables import HEAD, VERSION_TABLE
from schemas.errors import CurationError, StorageError, WorkspaceError

__all__ = ["Database", "connect_database", "open_database", "read_revision"]

BUSY_SECONDS = 30
_LOCK_KEY = 0x63757261  # "cura": the advisory lock that PostgreSQL's writers share
_DAMAGED = "is damaged or no catalogue (not an SQLite file); put back a copy, or move it away to start anew"
_UNWRITABLE = ("disk is full", "disk full", "No space left", "disk I/O error", "readonly database", "read-only", "unable to open")


class Database:
    """An engine with its transactions; every database error leaves as one of ours, with `where` naming the catalogue."""

    def __init__(self, engine: Engine, where: str) -> None:
        self.engine, self.where = engine, where

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection inside one reading transaction."""
        with translate_errors(self.where), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection inside one writing transaction: committed when the block ends well, else nothing happened."""
        with translate_errors(self.where), self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(address: str, *, create: bool = True) -> Database:
    """Open the database at `address`, made where it is missing and brought to the newest schema.

    Raises:
        WorkspaceError: if it is missing (and `create` is false), damaged, of a newer schema, no catalogue, or cannot be reached.
        StorageError: if it cannot be made or migrated for want of space or permission.
    """
    url = _parse_address(address)
    is_file = url.get_backend_name() == "sqlite"
    path = Path(str(url.database))
    if is_file and create and not path.exists():
        _create_sqlite(url, path)
    database = connect_database(address)
    try:
        _bring_to_head(database, may_create=create and not is_file)
    except BaseException:
        database.close()
        raise
    return database


def connect_database(address: str) -> Database:
    """Return the database at `address` as it is, without a look at its schema.

    Raises:
        WorkspaceError: if the address is not supported, or its file is missing or no SQLite file.
    """
    url = _parse_address(address)
    if url.get_backend_name() != "sqlite":
        return Database(_make_engine(url), url.render_as_string(hide_password=True))
    path = Path(str(url.database))
    if not path.exists():
        raise WorkspaceError(path, "there is no catalogue")
    _check_header(path)
    return Database(_make_engine(url), str(path))


def _parse_address(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError:
        raise WorkspaceError(address, "is no database address; write sqlite:///FILE or postgresql+psycopg://…") from None
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        return url
    shown = url.render_as_string(hide_password=True)
    raise WorkspaceError(shown, "is not supported; a catalogue is sqlite:///FILE or postgresql+psycopg://…")


def _check_header(path: Path) -> None:
    """Check what can be known of a catalogue without opening it.

    The file is never opened here: closing any descriptor of it would cancel the POSIX locks that SQLite holds for this process, and
    another process would then take the write-ahead log away under it. SQLite itself says whether the rest is a database.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise WorkspaceError(path, f"cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise WorkspaceError(path, "cannot be read: it is no file")
    if size == 0:
        raise WorkspaceError(path, _DAMAGED)


def _create_sqlite(url: URL, path: Path) -> None:
    """Make a new catalogue under a hidden name, then give it its own: it appears whole, and one of two makers wins."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        os.close(handle)
        with translate_errors(str(path)), closing(sqlite3.connect(temporary)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # kept in the file
        database = Database(_make_engine(url.set(database=str(temporary))), str(path))
        try:
            _bring_to_head(database, may_create=True)
        finally:
            database.close()
        temporary.chmod(0o644)
        with suppress(FileExistsError):
            _claim_name(temporary, path)
    except OSError as error:
        raise StorageError(path, error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{temporary}{suffix}").unlink(missing_ok=True)


def _claim_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.rename(temporary, path)


def _make_engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(_begin_statement(connection)))
        return engine
    engine = create_engine(url, connect_args={"connect_timeout": 10}, pool_pre_ping=True)
    event.listen(engine, "begin", _lock_postgresql)
    return engine


def _set_up_sqlite(connection: Any, record: object) -> None:
    """Leave BEGIN to us (Python's driver would delay it), and set what SQLite keeps per connection. Changes no file."""
    connection.isolation_level = None
    for pragma in ("foreign_keys = ON", "recursive_triggers = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_statement(connection: Connection) -> str:
    return "BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN"


def _lock_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")


def _bring_to_head(database: Database, *, may_create: bool) -> None:
    """Do nothing at the newest schema (the usual case, without importing Alembic); migrate an older one; refuse a newer one."""
    with database.read() as connection:
        revision = read_revision(connection)
    if revision == HEAD:
        return
    if revision is None and not may_create:
        raise WorkspaceError(database.where, "is a database, but not a catalogue of curate")
    from curation.store.migrate import list_revisions, migrate

    if revision is not None and revision not in list_revisions():
        raise WorkspaceError(
            database.where, f"was made by a newer curate (schema {revision}, this one knows {HEAD}); update curate"
        )
    with database.write() as connection:
        migrate(connection)


def read_revision(connection: Connection) -> str | None:
    """Return the schema revision of a database, None if it holds no catalogue."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turn the database's errors into one line each.

    Raises:
        StorageError: if the disk is full, may not be written, or stays locked.
        WorkspaceError: for anything else.
    """
    try:
        yield
    except CurationError:
        raise
    except NoSuchModuleError as error:
        raise WorkspaceError(where, str(error)) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _explain(where, error) from error


def _explain(where: str, error: SQLAlchemyError | sqlite3.Error) -> CurationError:
    reason = _first_line(error.orig if isinstance(error, DBAPIError) else error)
    if any(phrase in reason for phrase in _UNWRITABLE):
        return StorageError(where, f"cannot be written: {reason}")
    if "locked" in reason:
        return StorageError(where, f"another process has been writing for over {BUSY_SECONDS} s")
    if "not a database" in reason:
        return WorkspaceError(where, _DAMAGED)
    if "malformed" in reason:
        return WorkspaceError(where, f"is damaged ({reason}); put back a copy, or move it away to start anew")
    if "connection" in reason:
        return WorkspaceError(where, f"cannot be reached: {reason}")
    return WorkspaceError(where, reason)


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
