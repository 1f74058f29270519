"""A hash over what the catalogue says, whatever database says it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from curation.store import tables
from curation.store.rows import dump_json

__all__ = ["compute_digest"]

# Left out: when and where something was made. An id that holds a time in its hash goes with it.
_LEFT_OUT = {
    "clips": ("uri",),
    "annotations": ("id", "made_at"),
    "verdicts": ("id", "made_at"),
}
_TIMES = ("made_at", "created_at", "started_at", "ended_at", "seconds")


def compute_digest(connection: Connection) -> str:
    """Return the SHA-256 (hex) over every table's rows, sorted; see `Catalogue.digest` for what does not count."""
    digest = hashlib.sha256()
    for table in tables.METADATA.sorted_tables:
        found = connection.execute(select(table).order_by(table.c.seq)).mappings()
        lines = [dump_json([table.name, *parts]) for parts in _describe_rows(table.name, list(found))]
        for line in sorted(lines):
            digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def _describe_rows(name: str, found: list[RowMapping]) -> list[list[Any]]:
    """Return each row's content; rows whose order matters carry their place among their kind."""
    left_out = {"seq", *_LEFT_OUT.get(name, ())}
    places: dict[tuple[str, ...], int] = defaultdict(int)
    described = []
    for row in found:
        content = {key: _plain(value) for key, value in row.items() if key not in left_out}
        if name == "records":
            content["payload"] = _without_times(json.loads(row["payload"]))
        place = 0
        if name in ("verdicts", "records"):
            kind = (row["tubelet_id"], row["axis"]) if name == "verdicts" else (row["kind"],)
            places[kind] += 1
            place = places[kind]
        described.append([place, content])
    return described


def _plain(value: object) -> object:
    return hashlib.sha256(value).hexdigest() if isinstance(value, (bytes, memoryview)) else value


def _without_times(payload: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key not in _TIMES}
