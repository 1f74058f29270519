"""What ``curate train CONFIG`` trains on: an export's folder, a small file that names one, or the newest export."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import FormatError, NotEnoughData

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import Catalogue

__all__ = ["Training", "find_training"]


@frozen(kw_only=True)
class Training:
    """What to train; None = as in the workspace's settings."""

    export: Path
    model: str | None = None
    seed: int | None = None


class _TrainingFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    export: str | None = None
    model: str | None = None
    seed: int | None = Field(None, ge=0)


def find_training(
    workspace: Workspace, catalogue: Catalogue, config: str | Path | None, *, model: str | None = None, seed: int | None = None
) -> Training:
    """Return what to train: `model` and `seed` come before what the file says.

    Args:
        workspace: whose exports are meant.
        catalogue: where they are recorded.
        config: folder of an export; YAML or TOML file (a relative `export` in it counts from the file); None = the newest export.
        model: overrides the file.
        seed: overrides the file.

    Raises:
        FormatError: if `config` does not exist or says something unknown.
        NotEnoughData: if no export is named and none is recorded.
    """
    if config is None:
        return Training(export=_find_newest(workspace, catalogue), model=model, seed=seed)
    path = Path(config).expanduser()
    if path.is_dir():
        return Training(export=path, model=model, seed=seed)
    said = _read_file(path)
    export = _find_newest(workspace, catalogue) if said.export is None else path.parent / Path(said.export).expanduser()
    return Training(export=export, model=model or said.model, seed=said.seed if seed is None else seed)


def _find_newest(workspace: Workspace, catalogue: Catalogue) -> Path:
    records = catalogue.list_records("exports")
    if not records:
        raise NotEnoughData("exports to train on (`curate export OUT` writes one)", 1, 0)
    return workspace.root / str(records[-1]["path"])


def _read_file(path: Path) -> _TrainingFile:
    import yaml

    parsed: Any
    try:
        text = path.read_text("utf-8")
        parsed = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
        return _TrainingFile.model_validate(parsed)
    except FileNotFoundError:
        raise FormatError(path, "file", "the folder of an export, or a YAML or TOML file", "no such file") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise FormatError(path, "file", "YAML or TOML", " ".join(str(error).split())) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(
            path, ".".join(map(str, first["loc"])) or "file", "the keys export, model and seed", first["msg"]
        ) from error
