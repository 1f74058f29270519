"""Name → "module:attribute", loaded on use: listing what there is imports nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from schemas.errors import DuplicateName, UnknownName

__all__ = ["Registry"]


class Registry:
    """A table of lazily imported entries of one kind.

    Examples:
        >>> shapes = Registry("shape", {"counter": "collections:Counter"})
        >>> shapes.load("counter")("aab")
        Counter({'a': 2, 'b': 1})
    """

    def __init__(self, kind: str, entries: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, str] = {}
        for name, target in (entries or {}).items():
            self.add(name, target)

    def add(self, name: str, target: str) -> None:
        """Add an entry; `target` reads "package.module:attribute".

        Raises:
            DuplicateName: if the name is taken.
        """
        if name in self._entries:
            raise DuplicateName(self.kind, name)
        self._entries[name] = target

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for.

        Raises:
            UnknownName: if nothing has that name; the message lists what there is.
        """
        if name not in self._entries:
            raise UnknownName(self.kind, name, self)
        module, _, attribute = self._entries[name].partition(":")
        return getattr(import_module(module), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
