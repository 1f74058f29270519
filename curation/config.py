"""The workspace: a folder with `curate.toml`, the catalogue, arrays, crops, models, exports and logs."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Literal

from attrs import frozen
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import FormatError, WorkspaceError
from schemas.files import write_text
from schemas.vocabulary import Taxonomy, load_taxonomy

__all__ = ["CONFIG_NAME", "Config", "Workspace", "create_workspace", "find_workspace", "open_workspace"]

CONFIG_NAME = "curate.toml"
FOLDERS = ("arrays", "crops", "models", "exports", "logs", "servers")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ports(_Section):
    """Loopback ports of the servers that `curate up` starts."""

    label_studio: int = Field(default=8080, ge=1024, le=65535)
    backend: int = Field(default=9090, ge=1024, le=65535)
    fiftyone: int = Field(default=5151, ge=1024, le=65535)


class Preannotation(_Section):
    """How people and behaviours are proposed."""

    fps: float = Field(default=6.0, gt=0, le=240, description="sampled frames per second")
    window: float = Field(default=2.0, gt=0, le=60, description="length of a tubelet, seconds")
    detect_every: float = Field(default=4.0, gt=0, le=600, description="seconds between looks at the whole picture")
    detect_rarest: float = Field(default=16.0, gt=0, le=3600, description="the same in a still room")
    detector: str = "tiles"
    network: str = Field(default="", description="file of the network behind the detectors onnx and mediapipe-object")
    network_sha256: str = Field(default="", description="SHA-256 of that file")
    network_classes: tuple[str, ...] = Field(default=(), description="names of its outputs in order; empty = as the file says")
    network_confidence: float = Field(default=0.3, ge=0, le=1, description="a box counts from here on")
    pose: Literal["full", "heavy"] = Field(
        default="full", description="landmark network: heavy sees small people better, 4x slower"
    )
    tracker: str = Field(default="landmarks", description="who is who from frame to frame: landmarks, bytetrack or oc-sort")
    faces: bool = Field(default=False, description="read head angles, eyes and mouths of faces of 40 px and more (15 ms each)")
    faces_fps: float = Field(default=12.0, gt=0, le=240, description="how often a second; blinks need 12")
    hands: bool = Field(default=False, description="find 21 points of each hand (40 ms each)")
    engine: str = Field(default="local", description="where the work is done: local or ray")
    workers: int = Field(default=0, ge=0, le=256, description="worker processes; 0 = one per core")


class Privacy(_Section):
    """What annotators and curators get to see."""

    blur: Literal["none", "faces", "heads"] = Field(default="none", description="what is covered in all copies of the media")


class Learning(_Section):
    """How scores and models are computed."""

    model: str = "tcn"
    folds: int = Field(default=5, ge=2, le=100)
    seed: int = Field(default=0, ge=0)
    test_share: float = Field(default=0.25, gt=0, lt=1)


class Config(_Section):
    """What `curate.toml` says."""

    taxonomy: str = "learning-behaviours"
    catalogue: str = Field(default="", description="database address; empty = catalogue.db in the workspace")
    project: str = Field(default="curate", min_length=3, description="title of the Label Studio project")
    ports: Ports = Ports()
    preannotation: Preannotation = Preannotation()
    learning: Learning = Learning()
    privacy: Privacy = Privacy()


@frozen(kw_only=True)
class Workspace:
    """An opened workspace."""

    root: Path
    config: Config

    @property
    def catalogue_url(self) -> str:
        """SQLAlchemy address of the catalogue."""
        return self.config.catalogue or f"sqlite:///{self.root / 'catalogue.db'}"

    @property
    def taxonomy(self) -> Taxonomy:
        """The workspace's vocabulary."""
        return load_taxonomy(self.config.taxonomy)

    @property
    def config_hash(self) -> str:
        """SHA-256 (first 16 hex digits) of the configuration without ports, addresses and blur."""
        kept = self.config.model_dump(exclude={"ports", "catalogue", "privacy"})
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]

    def folder(self, name: str) -> Path:
        """Return one of the workspace's folders, made where it is missing."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def create_workspace(root: str | Path, config: Config | None = None) -> Workspace:
    """Make a workspace; one that is there already is opened and left as it is.

    Raises:
        UnknownName: if the taxonomy is unknown; nothing is made then.
        WorkspaceError: if `root` is a file or a non-empty folder that is no workspace.
    """
    folder = Path(root).expanduser().resolve()
    config = config or Config()
    load_taxonomy(config.taxonomy)
    if (folder / CONFIG_NAME).exists():
        return open_workspace(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkspaceError(folder, "is not an empty folder; choose a new one for the workspace")
    write_text(folder / CONFIG_NAME, _to_toml(config))
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    return open_workspace(folder)


def open_workspace(root: str | Path) -> Workspace:
    """Open a workspace.

    Raises:
        WorkspaceError: if there is none at `root`.
        FormatError: if its `curate.toml` is not valid.
    """
    path = Path(root).expanduser().resolve() / CONFIG_NAME
    if not path.is_file():
        raise WorkspaceError(path.parent, f"is not a workspace (no {CONFIG_NAME}); make one with `curate init`")
    try:
        config = Config.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(path, "file", "TOML", str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(path, ".".join(map(str, first["loc"])), "a known and valid setting", first["msg"]) from error
    return Workspace(root=path.parent, config=config)


def find_workspace(start: str | Path | None = None) -> Workspace:
    """Open the workspace named by `start` or CURATE_WORKSPACE, else the nearest at or above the current folder.

    Raises:
        WorkspaceError: if there is none.
    """
    named = start or os.environ.get("CURATE_WORKSPACE")
    if named:
        return open_workspace(named)
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / CONFIG_NAME).is_file():
            return open_workspace(folder)
    raise WorkspaceError(here, f"no {CONFIG_NAME} here or above; make a workspace with `curate init`, or name one with --workspace")


def _to_toml(config: Config) -> str:
    lines = ["# Settings of this workspace; every one may be left out."]
    tables = {}
    for name, value in config.model_dump().items():
        if isinstance(value, dict):
            tables[name] = value
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"
