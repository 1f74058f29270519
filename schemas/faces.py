"""The face file: pictures of faces with expressions, attributes and subjects in one ``.npz`` without pickled objects.

``image`` (N, H, W, 3) uint8 RGB; ``expression`` (N,) str, "" = not annotated; ``attribute`` (N, A) int8, 1 = has it, 0 = has not,
-1 = not annotated; ``attributes`` (A,) their names; ``group`` (N,) str, the person: folds and test sets never share one.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from schemas.checks import check_array
from schemas.errors import FormatError, InvalidField
from schemas.files import replace_file

__all__ = ["FaceSet", "check_faces", "read_faces", "write_faces"]

_LEAST_PX = 16


def _as_strings(value: Any) -> NDArray[np.str_]:
    return np.asarray(value, np.str_)


def _as_marks(value: Any) -> NDArray[np.int8]:
    return np.asarray(value, np.int8)


def _as_names(value: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in value)


def check_faces(image: object) -> NDArray[np.uint8]:
    """Return pictures of faces (N, H, W, 3) uint8.

    Raises:
        InvalidField: if they have another shape or type, or a side is shorter than 16 px.
    """
    array = check_array("image", image, (None, None, None, 3))
    if array.dtype != np.uint8 or min(array.shape[1:3]) < _LEAST_PX:
        raise InvalidField("image", f"uint8 RGB pictures of at least {_LEAST_PX} px", f"{array.dtype} of shape {array.shape}")
    return array


@frozen(kw_only=True, eq=False)
class FaceSet:
    """N faces; see the module for shapes and values."""

    image: NDArray[np.uint8]
    expression: NDArray[np.str_] = field(converter=_as_strings)
    attribute: NDArray[np.int8] = field(converter=_as_marks)
    attributes: tuple[str, ...] = field(converter=_as_names)
    group: NDArray[np.str_] = field(converter=_as_strings)

    def __attrs_post_init__(self) -> None:
        n = len(check_faces(self.image))
        check_array("expression", self.expression, (n,))
        check_array("group", self.group, (n,))
        marks = check_array("attribute", self.attribute, (n, len(self.attributes)))
        if marks.size and (marks.min() < -1 or marks.max() > 1):
            raise InvalidField("attribute", "1, 0 or -1 (not annotated)", f"{marks.min()} to {marks.max()}")
        if len(set(self.attributes)) != len(self.attributes):
            raise InvalidField("attributes", "each name once", self.attributes)

    def __len__(self) -> int:
        return len(self.image)

    @property
    def classes(self) -> tuple[str, ...]:
        """The expressions that occur, sorted."""
        return tuple(sorted(set(self.expression.tolist()) - {""}))

    def take(self, index: NDArray[Any]) -> FaceSet:
        """Return the faces at `index` (integers or a mask)."""
        return evolve(
            self, image=self.image[index], expression=self.expression[index], attribute=self.attribute[index],
            group=self.group[index]
        )  # fmt: skip


def read_faces(path: str | Path) -> FaceSet:
    """Read a face file.

    Raises:
        FormatError: if it is not an npz, misses an array, holds pickled objects, or an array has another shape.
    """
    wanted = ("image", "expression", "attribute", "attributes", "group")
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [name for name in wanted if name not in data.files]
            if missing:
                raise FormatError(path, missing[0], "an array of that name", ", ".join(data.files) or "none")
            arrays = {name: data[name] for name in wanted}
        return FaceSet(**{**arrays, "attributes": tuple(arrays["attributes"].tolist())})
    except FileNotFoundError:
        raise FormatError(path, "file", "an existing face file (.npz)", "no such file") from None
    except InvalidField as error:
        raise FormatError(path, error.field, error.expected, error.actual) from error
    except (OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, "file", "an .npz of plain arrays (no pickled objects)", str(error)) from error


def write_faces(path: str | Path, faces: FaceSet) -> None:
    """Write a face file, byte-identical for equal content; the file appears whole or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    with replace_file(path) as stream:
        np.savez_compressed(
            stream, allow_pickle=False, image=faces.image, expression=faces.expression, attribute=faces.attribute,
            attributes=np.array(faces.attributes, np.str_), group=faces.group,
        )  # fmt: skip
