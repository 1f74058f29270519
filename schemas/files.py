"""Writing files so that they appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from schemas.errors import StorageError

__all__ = ["replace_file", "write_bytes", "write_text"]


@contextmanager
def replace_file(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a binary stream whose content becomes `path` when the block ends well; otherwise `path` stays as it was.

    The temporary file is hidden beside the target (``.<name>.tmp``), is synced before the rename, and is removed on any error. What
    a killed process left of it is overwritten by the next one; of two that write the same target at once, the second waits.

    Raises:
        StorageError: if the disk is full, or the folder cannot be written to.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _open_alone(temporary) as stream:
            try:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                os.fchmod(stream.fileno(), 0o644)
                os.replace(temporary, target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise StorageError(target, error.strerror or str(error)) from error


def _open_alone(path: Path) -> BinaryIO:
    """Open a file to write it from the start, locked until it is closed; wait for whoever has it."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(handle), os.lstat(path)):
                os.ftruncate(handle, 0)
                return os.fdopen(handle, "wb")
        except FileNotFoundError:  # whoever had it has renamed it meanwhile: open a new one
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replace_file(path) as stream:
        stream.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))
