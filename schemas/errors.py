"""Every error this project raises on purpose.

One root, a few subclasses with fields, so that a caller can act on the field and a person can read the line. The CLI shows
``str(error)`` as one line and exits with ``error.exit_code``; nothing else is ever shown to a user.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = [
    "AuthError",
    "CurationError",
    "DuplicateName",
    "FormatError",
    "InvalidField",
    "LeakError",
    "MediaError",
    "ModelError",
    "NotEnoughData",
    "ServerError",
    "StorageError",
    "UnknownName",
    "WorkspaceError",
]


class CurationError(Exception):
    """Root of every expected failure: a user's input, a file, a server or a machine that is not as it must be."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error travel between processes with its message and fields, whatever its constructor takes."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[CurationError], args: tuple[Any, ...], fields: dict[str, Any]) -> CurationError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class InvalidField(CurationError, ValueError):
    """A value that a record or a parameter cannot take."""

    def __init__(self, field: str, expected: str, actual: object) -> None:
        self.field, self.expected, self.actual = field, expected, actual
        super().__init__(f"{field}: expected {expected}, got {_shorten(actual)}")


class FormatError(CurationError, ValueError):
    """A file that can be read but does not say what its format promises."""

    def __init__(self, path: str | Path, where: str, expected: str, actual: object = None) -> None:
        self.path, self.where, self.expected, self.actual = str(path), where, expected, actual
        got = "" if actual is None else f", got {_shorten(actual)}"
        super().__init__(f"{path}: {where}: expected {expected}{got}")


class MediaError(CurationError):
    """A video or an image that is missing, empty, truncated or not what its name says."""

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"{path}: {reason}")


class UnknownName(CurationError, KeyError):
    """A name that a registry, a taxonomy or a workspace does not hold."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(self.known) or 'none'}")

    def __str__(self) -> str:
        return str(self.args[0])


class DuplicateName(CurationError):
    """A name that a registry or a vocabulary already holds."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        super().__init__(f"{kind} {name!r} is already there; a name stands for one thing")


class WorkspaceError(CurationError):
    """A workspace that is missing, unreadable or damaged."""

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"{path}: {reason}")


class StorageError(CurationError):
    """A write that did not happen (disk full, no permission). What was there before is untouched."""

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"{path}: {reason}; nothing was changed")


class ServerError(CurationError):
    """A server (Label Studio, MongoDB, FiftyOne's app, the ML backend) that is down or answers with an error."""

    def __init__(self, service: str, url: str, reason: str) -> None:
        self.service, self.url, self.reason = service, url, reason
        super().__init__(f"{service} at {url}: {reason}")


class AuthError(ServerError):
    """A server that refuses the token it is given."""


class ModelError(CurationError):
    """Weights or a model card that are missing, changed, too large or of another architecture."""

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"{path}: {reason}")


class LeakError(CurationError):
    """A split in which one lesson or one student stands on two sides."""

    def __init__(self, kind: str, name: str, sides: Iterable[str]) -> None:
        self.kind, self.name, self.sides = kind, name, tuple(sides)
        super().__init__(f"{kind} {name!r} is on more than one side: {', '.join(self.sides)}")


class NotEnoughData(CurationError):
    """A step that needs more samples, classes or groups than there are."""

    def __init__(self, what: str, need: int, have: int) -> None:
        self.what, self.need, self.have = what, need, have
        super().__init__(f"{what}: need at least {need}, have {have}")


def _shorten(value: object, limit: int = 120) -> str:
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
