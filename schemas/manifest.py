"""What an export holds and where it came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import FormatError
from schemas.files import write_text

__all__ = ["SCHEMA_VERSION", "Manifest", "ManifestRecord", "Provenance", "read_manifest", "write_manifest"]

SCHEMA_VERSION = 1

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version n → the function that turns a manifest of version n into one of version n + 1."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ManifestRecord(_Strict):
    """One exported tubelet: its label on the exported axis, and the groups that keep it on one side of the split."""

    tubelet_id: str
    clip_id: str
    track_id: str
    first: int = Field(ge=0)
    last: int = Field(ge=0)
    label: str
    annotator: str
    lesson: str
    student: str | None = None
    group: str


class Provenance(_Strict):
    """What an export can be rebuilt from."""

    seed: int
    config_hash: str
    code_version: str
    parents: tuple[str, ...] = ()


class Manifest(_Strict):
    """The table of contents of an export."""

    schema_version: int = SCHEMA_VERSION
    name: str
    taxonomy: str
    taxonomy_version: int
    axis: str
    classes: tuple[str, ...]
    balance: str
    splits: dict[str, tuple[ManifestRecord, ...]]
    certificate: dict[str, Any]
    files: dict[str, str]
    provenance: Provenance


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest of this or an earlier schema version.

    Raises:
        FormatError: if it is not JSON, of a newer version, or misses a field.
    """
    try:
        raw = json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise FormatError(path, "file", "an existing manifest", "no such file") from None
    except ValueError as error:
        raise FormatError(path, "file", "JSON", str(error)) from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise FormatError(path, "schema_version", f"a number from 1 to {SCHEMA_VERSION}", version)
    for step in range(version, SCHEMA_VERSION):
        raw = MIGRATIONS[step](raw)
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(path, ".".join(map(str, first["loc"])), "a valid value", first["msg"]) from error


def write_manifest(path: str | Path, manifest: Manifest) -> None:
    """Write `manifest` as JSON with sorted keys, whole or not at all: equal manifests give equal bytes."""
    write_text(path, json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
