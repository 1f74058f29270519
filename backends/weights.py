"""Models on disk: ``weights.safetensors`` and ``card.json``, checked by hash and size before a byte is parsed, never unpickled."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import ModelError
from schemas.files import write_bytes, write_text

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "CARD_NAME",
    "MAX_CARD_BYTES",
    "MAX_WEIGHT_BYTES",
    "WEIGHTS_NAME",
    "ModelCard",
    "load_network",
    "load_weights",
    "read_capped",
    "read_card",
    "refuse_misfits",
    "save_network",
    "save_weights",
]

WEIGHTS_NAME = "weights.safetensors"
CARD_NAME = "card.json"
MAX_WEIGHT_BYTES = 256 * 2**20
MAX_CARD_BYTES = 2**20

Arrays = dict[str, NDArray[Any]]


class ModelCard(BaseModel):
    """What a model is, for people and for the loader. `version` is the start of the weights' SHA-256; further keys are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1)
    version: str = Field(pattern=r"^[0-9a-f]{12}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    classes: tuple[str, ...] = Field(min_length=2)
    taxonomy: str = ""
    axis: str = ""
    input: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    licence: str = "Apache-2.0"
    rebuild: str = ""


def save_weights(folder: str | Path, arrays: Mapping[str, NDArray[Any]], card: Mapping[str, Any]) -> ModelCard:
    """Write arrays and card; equal arrays give equal bytes, so the version says what the weights are.

    The card is written last: an interrupted overwrite leaves a pair whose hash does not match, which `load_weights` refuses.

    Raises:
        ModelError: if the card lacks what a card must say.
        StorageError: if the folder cannot be written to.
    """
    from safetensors.numpy import save

    path = Path(folder)
    data = save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        checked = ModelCard.model_validate({**card, "sha256": sha256, "version": sha256[:12]})
    except ValidationError as error:
        raise ModelError(path / CARD_NAME, _first_problem(error)) from error
    write_bytes(path / WEIGHTS_NAME, data)
    write_text(path / CARD_NAME, json.dumps(checked.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return checked


def read_card(folder: str | Path) -> ModelCard:
    """Read a model's card.

    Raises:
        ModelError: if there is none, it is too large, or is no card.
    """
    path = Path(folder) / CARD_NAME
    if Path(folder).is_file():
        raise ModelError(
            folder, f"is a file; a model is a folder with {WEIGHTS_NAME} and {CARD_NAME}, and pickles are never loaded"
        )
    raw = read_capped(path, MAX_CARD_BYTES)
    try:
        card = ModelCard.model_validate(json.loads(raw))
    except ValidationError as error:
        raise ModelError(path, f"is not a model card: {_first_problem(error)}") from error
    except ValueError as error:
        raise ModelError(path, f"is not a model card: {' '.join(str(error).split())}") from error
    if card.version != card.sha256[:12]:
        raise ModelError(path, f"version {card.version} is not the start of the weights' SHA-256 {card.sha256[:12]}")
    return card


def load_weights(folder: str | Path, *, name: str | None = None, max_bytes: int = MAX_WEIGHT_BYTES) -> tuple[Arrays, ModelCard]:
    """Read a model folder after checking size, hash and, where `name` is given, the architecture.

    Raises:
        ModelError: if a file is missing, too large, changed, not safetensors, or of another architecture.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    card = read_card(folder)
    if name is not None and card.name != name:
        raise ModelError(Path(folder), f"holds a {card.name!r} model, not {name!r}")
    path = Path(folder) / WEIGHTS_NAME
    data = read_capped(path, max_bytes)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != card.sha256:
        raise ModelError(path, f"was changed: SHA-256 {sha256[:12]}… is not the card's {card.sha256[:12]}…")
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(path, f"is not a safetensors file ({' '.join(str(error).split())}); pickles are never loaded") from error
    broken = sorted(key for key, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all())
    if broken:
        raise ModelError(path, f"{broken[0]} holds NaN or inf")
    return arrays, card


def save_network(folder: str | Path, network: nn.Module, card: Mapping[str, Any]) -> ModelCard:
    """Write a torch network's weights and buffers and its card. Raises as `save_weights` does."""
    return save_weights(folder, {name: tensor.numpy(force=True) for name, tensor in network.state_dict().items()}, card)


def load_network(folder: str | Path, *, name: str, build: Callable[[ModelCard], nn.Module]) -> ModelCard:
    """Read what `save_network` wrote into the network that `build` makes, and leave that in evaluation mode.

    Args:
        folder: where to read.
        name: the architecture that the card must name.
        build: makes an untrained network of the shape that the card says; what of it makes no sense is a KeyError, TypeError or
            ValueError there.

    Raises:
        ModelError: as `load_weights`, and if card and weights do not fit each other.
    """
    import torch

    arrays, card = load_weights(folder, name=name)
    with refuse_misfits(folder, name):
        network = build(card)
        network.load_state_dict({key: torch.from_numpy(np.array(array)) for key, array in arrays.items()})
        network.eval()
    return card


@contextmanager
def refuse_misfits(folder: str | Path, name: str) -> Iterator[None]:
    """Turn what building a model from a card and weights raises into one line.

    Raises:
        ModelError: for a KeyError, IndexError, TypeError, ValueError or RuntimeError inside the block.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(Path(folder), f"the weights do not fit a {name} as its card describes it ({reason})") from error


def read_capped(path: Path, max_bytes: int) -> bytes:
    """Return a regular file's content.

    Raises:
        ModelError: if it cannot be read, is no regular file, or is larger than `max_bytes`; then nothing of it is read.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ModelError(path, "is no regular file")
        if facts.st_size > max_bytes:
            raise ModelError(path, f"is larger than the {max_bytes} bytes allowed")
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise ModelError(path, (error.strerror or str(error)).lower()) from error
    if len(data) > max_bytes:
        raise ModelError(path, f"is larger than the {max_bytes} bytes allowed")
    return data


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'card'}: {first['msg']}"
