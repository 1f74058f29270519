"""Typed reading of JSON from elsewhere, with errors that say where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from schemas.errors import FormatError

__all__ = ["JsonReader"]


class JsonReader:
    """Takes typed fields out of JSON; a missing or wrong one is a `FormatError` that says where."""

    def __init__(self, value: object, path: str, where: str = "") -> None:
        if not isinstance(value, Mapping):
            raise FormatError(path, where or "JSON", "an object", type(value).__name__)
        self.value, self.path, self.where = value, path, where

    def take(self, name: str, kind: type | tuple[type, ...]) -> Any:
        """Return a field of that type (a bool is no number)."""
        found = self.value.get(name)
        if not isinstance(found, kind) or isinstance(found, bool):
            kinds = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise FormatError(self.path, f"{self.where}.{name}".lstrip("."), kinds, found)
        return found

    def number(self, name: str) -> float:
        """Return a finite number."""
        found = float(self.take(name, (int, float)))
        if not np.isfinite(found):
            raise FormatError(self.path, f"{self.where}.{name}", "a finite number", found)
        return found

    def inner(self, name: str) -> JsonReader:
        """Return a reader of an object inside this one."""
        return JsonReader(self.take(name, Mapping), self.path, f"{self.where}.{name}".lstrip("."))
