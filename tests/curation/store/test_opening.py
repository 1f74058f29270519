"""A catalogue that opens, and every way in which it must not."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from curation.store import Catalogue
from curation.store.migrate import list_revisions, make_config
from curation.store.tables import HEAD, METADATA, VERSION_TABLE
from schemas.errors import StorageError, WorkspaceError


def _hash_folder(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}


@pytest.fixture
def database(tmp_path, maker):
    """The file of a catalogue that holds 200 clips, closed."""
    path = tmp_path / "catalogue.db"
    with Catalogue.open(f"sqlite:///{path}") as catalogue:
        catalogue.add_clips([maker.clip(f"clip {i}") for i in range(200)])
    return path


def _refuse(path: Path, match: str) -> None:
    before = _hash_folder(path.parent)
    with pytest.raises(WorkspaceError, match=match) as caught:
        Catalogue.open(f"sqlite:///{path}").close()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert _hash_folder(path.parent) == before


def test_reopening_changes_nothing(catalogue_url, maker):
    with Catalogue.open(catalogue_url) as catalogue:
        assert catalogue.add_clips([maker.clip()]) == 1
        digest = catalogue.digest()
    for _ in range(2):
        with Catalogue.open(catalogue_url) as catalogue:
            assert catalogue.digest() == digest
            assert catalogue.list_clips() == [maker.clip()]


def test_a_new_catalogue_leaves_no_other_file(database):
    assert [p.name for p in database.parent.iterdir()] == ["catalogue.db"]


def test_opening_at_the_newest_schema_is_quick_and_needs_no_alembic(database):
    code = (
        "import sys, time; from curation.store import Catalogue; start = time.perf_counter()\n"
        f"Catalogue.open('sqlite:///{database}').close(); print(time.perf_counter() - start, 'alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, has_alembic = done.stdout.split()
    assert has_alembic == "False"
    assert float(seconds) < 0.3


def test_sqlite_runs_in_wal_mode_with_foreign_keys_and_full_sync(database):
    with Catalogue.open(f"sqlite:///{database}") as catalogue, catalogue._database.read() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys", "synchronous")]
        assert found == ["wal", 1, 2]
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() >= 10_000


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not an SQLite file"),
        (b"garbage" * 1000, "not an SQLite file"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "damaged"),
        (b"SQLite format 3\0", "damaged"),
    ],
)
def test_what_is_no_database_is_refused_untouched(tmp_path, content, match):
    path = tmp_path / "catalogue.db"
    path.write_bytes(content)
    _refuse(path, match)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.01])
def test_a_truncated_catalogue_is_refused_untouched(database, share):
    data = database.read_bytes()
    database.write_bytes(data[: int(len(data) * share)])
    _refuse(database, "damaged")


def test_damage_inside_is_told_on_reading(database):
    data = bytearray(database.read_bytes())
    data[4096 * 20 :] = b"\x55" * (len(data) - 4096 * 20)
    database.write_bytes(data)
    with (
        pytest.raises(WorkspaceError, match=r"catalogue\.db: is damaged"),
        Catalogue.open(f"sqlite:///{database}") as catalogue,
    ):
        catalogue.list_clips()


def test_another_programs_database_is_refused_untouched(tmp_path):
    path = tmp_path / "catalogue.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
    _refuse(path, "not a catalogue of curate")


def test_a_newer_schema_is_refused(catalogue_url):
    Catalogue.open(catalogue_url).close()
    engine = create_engine(catalogue_url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(WorkspaceError, match=r"newer curate \(schema 9999, this one knows 0004\); update curate"):
        Catalogue.open(catalogue_url)


def test_missing_is_made_only_when_allowed(tmp_path):
    path = tmp_path / "deep" / "catalogue.db"
    with pytest.raises(WorkspaceError, match="there is no catalogue"):
        Catalogue.open(f"sqlite:///{path}", create=False)
    assert not path.parent.exists()
    Catalogue.open(f"sqlite:///{path}").close()
    Catalogue.open(f"sqlite:///{path}", create=False).close()


def test_a_folder_is_no_catalogue(tmp_path):
    with pytest.raises(WorkspaceError, match="cannot be read"):
        Catalogue.open(f"sqlite:///{tmp_path}")


def test_a_place_that_cannot_hold_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="nothing was changed"):
        Catalogue.open(f"sqlite:///{tmp_path / 'file' / 'catalogue.db'}")


@pytest.mark.parametrize("address", ["catalogue.db", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "oracle+nope://x"])
def test_an_address_that_is_not_supported(address):
    with pytest.raises(WorkspaceError, match=r"sqlite:///FILE or postgresql"):
        Catalogue.open(address)


@pytest.mark.integration
class TestPostgresql:
    def test_an_unreachable_server_is_one_line_without_the_password(self):
        with pytest.raises(WorkspaceError, match="cannot be reached") as caught:
            Catalogue.open("postgresql+psycopg://someone:hushhush@127.0.0.1:1/db")
        assert "hushhush" not in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_wrong_password_is_one_line_without_it(self, postgres_server):
        url = postgres_server.make_url().replace("kept-out-of-messages", "wrong-word")
        with pytest.raises(WorkspaceError, match="password authentication failed") as caught:
            Catalogue.open(url)
        assert "wrong-word" not in str(caught.value)

    def test_the_driver_need_not_be_named(self, postgres_server, maker):
        url = postgres_server.make_url().replace("+psycopg", "")
        with Catalogue.open(url) as catalogue:
            assert catalogue.add_clips([maker.clip()]) == 1

    def test_an_empty_database_is_no_catalogue_unless_one_may_be_made(self, postgres_server):
        with pytest.raises(WorkspaceError, match="not a catalogue"):
            Catalogue.open(postgres_server.make_url(), create=False)

    def test_a_lost_connection_is_one_line_and_the_next_try_works(self, postgres_server, maker):
        url = postgres_server.make_url()
        with Catalogue.open(url) as catalogue:
            catalogue.add_clips([maker.clip()])
            with catalogue._database.engine.connect() as held:
                engine = create_engine(url)
                with engine.connect() as other:
                    other.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))
                engine.dispose()
                with pytest.raises(WorkspaceError), catalogue._database.read() as connection:
                    connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
                held.invalidate()
            assert len(catalogue.list_clips()) == 1


def test_the_migrations_make_what_the_tables_say(catalogue_url):
    Catalogue.open(catalogue_url).close()
    engine = create_engine(catalogue_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_the_newest_revision_is_the_one_the_code_knows():
    assert ScriptDirectory.from_config(make_config()).get_heads() == [HEAD]
    assert list_revisions()[0] == HEAD


def test_a_move_keeps_everything(database, tmp_path):
    moved = tmp_path / "copy of workspace, 50 % ä" / "catalogue.db"
    moved.parent.mkdir()
    shutil.move(database, moved)
    with Catalogue.open(f"sqlite:///{moved}") as catalogue:
        assert len(catalogue.list_clips()) == 200


def test_many_openings_are_cheap(database):
    start = time.perf_counter()
    for _ in range(20):
        Catalogue.open(f"sqlite:///{database}").close()
    assert time.perf_counter() - start < 3
