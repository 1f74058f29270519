"""Schema migrations, run from code. Imports Alembic: only needed when a catalogue is new or old."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

__all__ = ["list_revisions", "make_config", "migrate"]


def make_config(connection: Connection | None = None) -> Config:
    """Return Alembic's settings for the migrations that ship with the package."""
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest revision, inside the connection's transaction."""
    command.upgrade(make_config(connection), "head")


def list_revisions() -> list[str]:
    """Return the ids of the known revisions, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(make_config()).walk_revisions()]
