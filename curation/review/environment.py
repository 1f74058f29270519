"""FiftyOne, pointed at one workspace before its first import: own database, own plug-ins, no telemetry, loopback only."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from curation.config import Workspace
from curation.review.mongo import join_mongod
from schemas.errors import WorkspaceError
from schemas.files import write_bytes

__all__ = ["PLUGIN", "owns_database", "prepare_fiftyone"]

PLUGIN = "@curate/review"
"""Name of the plug-in; its operators are ``@curate/review/<name>``."""

_MARK, _OURS = "CURATE_FIFTYONE_WORKSPACE", "CURATE_FIFTYONE_URI"


def prepare_fiftyone(workspace: Workspace) -> None:
    """Set what FiftyOne reads at its first import, and have the workspace's MongoDB running for as long as this process lives.

    A FIFTYONE_DATABASE_URI set by the user is kept, and no MongoDB is started then. Nothing is read from ``~/.fiftyone``.

    Raises:
        WorkspaceError: if this process has imported FiftyOne already for something else: it connects once.
        ServerError: if MongoDB does not start.
    """
    if "fiftyone" in sys.modules and os.environ.get(_MARK) != str(workspace.root):
        other = os.environ.get(_MARK) or "its default settings"
        raise WorkspaceError(
            workspace.root, f"FiftyOne is in use in this process for {other}; use a new process for this workspace"
        )
    servers = workspace.folder("servers")
    home = servers / "fiftyone"
    if not _user_uri():
        uri = join_mongod(servers)
        os.environ.update({"FIFTYONE_DATABASE_URI": uri, _OURS: uri})
    os.environ[_MARK] = str(workspace.root)
    os.environ.update(_settings(home))
    _install_plugin(home / "plugins" / "curate-review")


def owns_database() -> bool:
    """Say whether the database is the workspace's own, not one that the user named."""
    return not _user_uri()


def _user_uri() -> str | None:
    uri = os.environ.get("FIFTYONE_DATABASE_URI")
    return None if uri == os.environ.get(_OURS) else uri


def _settings(home: Path) -> dict[str, str]:
    files = ("CONFIG", "APP_CONFIG", "ANNOTATION_CONFIG", "EVALUATION_CONFIG", "BRAIN_CONFIG")
    return {
        **{f"FIFTYONE_{name}_PATH": str(home / f"{name.lower()}.json") for name in files},
        "FIFTYONE_ALLOWED_ORIGINS": "",
        "FIFTYONE_APP_LOOP_VIDEOS": "true",
        "FIFTYONE_DATABASE_DIR": str(home.parent / "mongo"),
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DATASET_ZOO_DIR": str(home / "datasets"),
        "FIFTYONE_DEFAULT_APP_ADDRESS": "127.0.0.1",
        "FIFTYONE_DEFAULT_DATASET_DIR": str(home / "datasets"),
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_MODEL_ZOO_DIR": str(home / "models"),
        "FIFTYONE_PLUGINS_CACHE_ENABLED": "true",
        "FIFTYONE_PLUGINS_DIR": str(home / "plugins"),
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    }


def _install_plugin(target: Path) -> None:
    """Copy the plug-in's files into the workspace; a copy works from a checkout and a read-only install alike."""
    source = Path(__file__).parent / "plugin"
    if target.is_symlink():
        target.unlink()
    for stray in target.glob("__pycache__"):
        shutil.rmtree(stray, ignore_errors=True)
    for name in ("fiftyone.yml", "__init__.py", "dist/index.umd.js"):
        data = (source / name).read_bytes()
        if not (target / name).is_file() or (target / name).read_bytes() != data:
            write_bytes(target / name, data)
