"""The plain files that `curate rank` reads, and the one that names faults."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.checks import check_array
from schemas.errors import FormatError, InvalidField
from schemas.files import write_text
from schemas.scores import Fault

__all__ = ["read_array", "read_probabilities", "refuse_in_sample", "write_faults"]

FAULT_COLUMNS = ("part", "kind", "times", "beside", "frame", "first", "last", "second", "said")


def read_array(path: Path) -> NDArray[Any]:
    """Return the array of a ``.npy`` file.

    Raises:
        FormatError: if it is missing, holds pickled objects, or is something else.
    """
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        raise FormatError(path, "file", "one .npy array", "an .npz of several")
    return loaded


def read_probabilities(path: Path) -> NDArray[Any]:
    """Return the probabilities (N, K) of a ``.npy`` file, or those of an ``.npz`` that says of whom they are.

    The ``.npz`` has ``probs`` and may have ``in_sample``, ``out_of_sample`` (a flag for all, or (N,)) and ``fold`` (N,), −1 = the
    model was only trained on it, as `curate crossval` writes it.

    Raises:
        FormatError: if the file is none of these.
        InvalidField: if a row is in-sample: a model has memorised the labels that it was taught, wrong ones too.
    """
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        return loaded
    if "probs" not in loaded.files:
        raise FormatError(path, "file", "one .npy array, or an .npz with probs", "an .npz of several")
    try:
        arrays: dict[str, NDArray[Any]] = {
            name: loaded[name] for name in ("probs", "in_sample", "out_of_sample", "fold") if name in loaded.files
        }
    except (ValueError, zipfile.BadZipFile) as error:
        raise FormatError(path, "file", "an .npz without pickled objects", str(error)) from error
    probs, seen = arrays["probs"], np.zeros(len(np.atleast_1d(arrays["probs"])), bool)
    if "in_sample" in arrays:
        seen |= _spread("in_sample", arrays["in_sample"], len(seen)).astype(bool)
    if "out_of_sample" in arrays:
        seen |= ~_spread("out_of_sample", arrays["out_of_sample"], len(seen)).astype(bool)
    if "fold" in arrays:
        seen |= _spread("fold", arrays["fold"], len(seen)) < 0
    if seen.any():
        refuse_in_sample(f"{int(seen.sum())} of {len(seen)} rows in-sample, the first at index {int(seen.argmax())}")
    return probs


def refuse_in_sample(found: str) -> None:
    """Raise what is said of in-sample probabilities.

    Raises:
        InvalidField: always.
    """
    raise InvalidField("probs", "out-of-sample probabilities, of models that were not trained on these samples", found)


def _spread(name: str, flags: NDArray[Any], n: int) -> NDArray[Any]:
    return np.full(n, flags) if flags.ndim == 0 else check_array(name, flags, (n,))


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FormatError(path, "file", "an existing .npy array", "no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(path, "file", "a .npy array without pickled objects", str(error)) from error


def write_faults(path: Path, key: str, keys: Sequence[object], faults: Sequence[Sequence[Fault]]) -> int:
    """Write a CSV row for each keypoint or box that cannot be right, whole or not at all; return how many there are.

    Columns: `key`, then those of `schemas.scores.Fault`, then the fault in words; empty = not known.

    Args:
        path: where to.
        key: what names a sample, as "index".
        keys: (N,) the samples' names.
        faults: (N,) what is wrong with each, the worst first.

    Raises:
        StorageError: if it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([key, *FAULT_COLUMNS])
    rows = [(name, fault) for name, own in zip(keys, faults, strict=True) for fault in own]
    writer.writerows([name, *(getattr(fault, column) for column in FAULT_COLUMNS[:-1]), fault.describe()] for name, fault in rows)
    write_text(path, text.getvalue())
    return len(rows)
