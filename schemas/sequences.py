"""The sequence file: pose sequences with labels and groups in one ``.npz`` without pickled objects.

``pose`` (N, T, V, C) float32, NaN for unseen, C = 2, 3 or 4 (x, y[, z][, visibility]; with C = 3 the third is whatever the
producer says: models here read x and y, and use the rest as features); ``label`` (N,) str; ``group`` (N,) str (video or person:
folds and test sets never share one); optional ``skeleton`` (E, 2) int edges, ``fps`` (scalar), ``id`` (N,) str and ``crops``
(N, F, H, W, 3) uint8 RGB: F pictures of the person, evenly spaced over the same time, all of one region of the frame.
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

__all__ = ["SequenceSet", "read_sequences", "write_sequences"]


def _as_floats(value: Any) -> NDArray[np.float32]:
    return np.asarray(value, np.float32)


def _as_strings(value: Any) -> NDArray[np.str_]:
    return np.asarray(value, np.str_)


@frozen(kw_only=True, eq=False)
class SequenceSet:
    """N labelled pose sequences; see the module for shapes and units."""

    pose: NDArray[np.float32] = field(converter=_as_floats)
    label: NDArray[np.str_] = field(converter=_as_strings)
    group: NDArray[np.str_] = field(converter=_as_strings)
    id: NDArray[np.str_] | None = None
    skeleton: NDArray[np.int64] | None = None
    fps: float | None = None
    crops: NDArray[np.uint8] | None = None

    def __attrs_post_init__(self) -> None:
        check_array("pose", self.pose, (None, None, None, None))
        n, n_frames, n_nodes, n_channels = self.pose.shape
        if n < 1 or n_frames < 1 or n_nodes < 1:
            raise InvalidField("pose", "at least one sequence, frame and keypoint", f"shape {self.pose.shape}")
        if n_channels not in (2, 3, 4):
            raise InvalidField("pose", "2, 3 or 4 channels (x, y[, z][, visibility])", f"{n_channels} channels")
        if np.isinf(self.pose).any():
            raise InvalidField("pose", "finite values, or NaN for unseen", "inf")
        check_array("label", self.label, (n,))
        check_array("group", self.group, (n,))
        if self.id is not None:
            check_array("id", self.id, (n,))
        if self.crops is not None:
            _check_crops(self.crops, n)
        if self.skeleton is not None:
            edges = check_array("skeleton", self.skeleton, (None, 2))
            if edges.size and (edges.min() < 0 or edges.max() >= n_nodes):
                raise InvalidField("skeleton", f"keypoint indices below {n_nodes}", f"up to {edges.max()}")

    def __len__(self) -> int:
        return len(self.pose)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted(set(self.label.tolist())))

    def take(self, index: NDArray[Any]) -> SequenceSet:
        """Return the sequences at `index` (integers or a mask)."""
        ids = None if self.id is None else self.id[index]
        crops = None if self.crops is None else self.crops[index]
        return evolve(self, pose=self.pose[index], label=self.label[index], group=self.group[index], id=ids, crops=crops)

    def with_labels(self, label: NDArray[np.str_]) -> SequenceSet:
        """Return the same sequences with other labels."""
        return evolve(self, label=label)


def _check_crops(crops: object, n: int) -> None:
    array = check_array("crops", crops, (n, None, None, None, 3))
    if array.dtype != np.uint8 or 0 in array.shape[1:]:
        raise InvalidField("crops", "uint8 (N, F, H, W, 3) with F, H, W >= 1", f"{array.dtype} of shape {array.shape}")


def read_sequences(path: str | Path) -> SequenceSet:
    """Read a sequence file, or a CSV of landmark rows (see `schemas.landmark_rows`).

    Raises:
        FormatError: if it is not an npz, misses an array, holds pickled objects, or an array has another shape.
    """
    if Path(path).suffix.lower() == ".csv":
        from schemas.landmark_rows import read_landmark_rows

        return read_landmark_rows(path)
    wanted = ("pose", "label", "group")
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [name for name in wanted if name not in data.files]
            if missing:
                raise FormatError(path, missing[0], "an array of that name", ", ".join(data.files) or "none")
            arrays = {name: data[name] for name in (*wanted, "skeleton", "fps", "id", "crops") if name in data.files}
    except FileNotFoundError:
        raise FormatError(path, "file", "an existing sequence file (.npz)", "no such file") from None
    except (OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, "file", "an .npz of plain arrays (no pickled objects)", str(error)) from error
    for name in ("label", "group", "id"):
        if name in arrays and arrays[name].dtype.kind not in "Ui":
            raise FormatError(path, name, "strings", f"dtype {arrays[name].dtype}")
    try:
        return SequenceSet(
            pose=arrays["pose"],
            label=arrays["label"].astype(np.str_),
            group=arrays["group"].astype(np.str_),
            id=arrays["id"].astype(np.str_) if "id" in arrays else None,
            skeleton=arrays.get("skeleton"),
            fps=float(arrays["fps"]) if "fps" in arrays else None,
            crops=arrays.get("crops"),
        )
    except InvalidField as error:
        raise FormatError(path, error.field, error.expected, error.actual) from error
    except (TypeError, ValueError) as error:
        raise FormatError(path, "arrays", "numbers and strings", str(error)) from error


def write_sequences(path: str | Path, sequences: SequenceSet) -> None:
    """Write a sequence file, byte-identical for equal content; the file appears whole or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {"pose": sequences.pose, "label": sequences.label, "group": sequences.group}
    if sequences.id is not None:
        arrays["id"] = sequences.id
    if sequences.skeleton is not None:
        arrays["skeleton"] = np.asarray(sequences.skeleton, np.int64)
    if sequences.fps is not None:
        arrays["fps"] = np.asarray(sequences.fps, np.float64)
    if sequences.crops is not None:
        arrays["crops"] = sequences.crops
    with replace_file(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
