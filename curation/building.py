"""Folders that appear whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import StorageError

__all__ = ["build_folder", "hash_file", "hash_tree", "hidden_folder", "place_folder"]

_SUFFIX = ".building"


@contextmanager
def build_folder(target: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `target` that takes its place when the block ends well, and is removed otherwise.

    What killed runs left for the same target is removed first. A target that holds exactly the same files already is left as it is.

    Raises:
        StorageError: if `target` holds something else, the disk is full, or the place cannot be written to.
    """
    with hidden_folder(target) as folder:
        yield folder
        place_folder(folder, target)


@contextmanager
def hidden_folder(target: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `target`, and remove it, unless it was placed, when the block ends.

    Raises:
        StorageError: for any write in the block that fails.
    """
    folder = target.parent / f".{target.name}.{os.getpid()}{_SUFFIX}"
    handle = -1
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        folder.mkdir()
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    except OSError as error:
        raise StorageError(target, error.strerror or str(error)) from error
    except StorageError as error:
        raise StorageError(target, error.reason) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle >= 0:
            os.close(handle)


def place_folder(folder: Path, target: Path) -> None:
    """Rename `folder` to `target`; a target that holds exactly the same files already is left as it is.

    Raises:
        StorageError: if `target` holds something else.
        OSError: if the rename fails.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        if target.is_dir() and hash_tree(folder) == hash_tree(target):
            return
        raise StorageError(target, "is there already and holds something else; choose another folder, or move that one away")
    folder.chmod(0o755)
    os.rename(folder, target)
    parent = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def hash_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_tree(folder: Path) -> dict[str, str]:
    """Return relative path → SHA-256 of every file under `folder`."""
    return {str(path.relative_to(folder)): hash_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _remove_leftovers(target: Path) -> None:
    """Remove the folders of runs that are gone: one that still runs holds a lock on its own."""
    for folder in target.parent.iterdir():
        if not (folder.name.startswith(f".{target.name}.") and folder.name.endswith(_SUFFIX) and folder.is_dir()):
            continue
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(handle)
