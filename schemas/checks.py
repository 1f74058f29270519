"""Small checks shared by the records. Each names the field, what was expected and what came, and raises `InvalidField`."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InvalidField

__all__ = ["check_array", "check_interval", "check_name", "check_probabilities", "check_range", "compute_id", "freeze_array"]

_NAME = re.compile(r"[^\s\x00-\x1f](?:[^\x00-\x1f]*[^\s\x00-\x1f])?")


def check_name(field: str, value: object) -> str:
    """Return `value` if it is a non-empty string without control characters or outer blanks.

    Raises:
        InvalidField: if it is anything else.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidField(field, "a non-empty string without outer blanks", value)
    return value


def check_range(field: str, value: float, low: float, high: float) -> float:
    """Return `value` if low <= value <= high (NaN never is).

    Raises:
        InvalidField: if it is outside.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low <= value <= high:
        raise InvalidField(field, f"a number in [{low}, {high}]", value)
    return value


def check_interval(first_name: str, first: int, last: int) -> None:
    """Check a closed, 0-based frame interval.

    Raises:
        InvalidField: if it starts before 0 or ends before it starts.
    """
    check_range(first_name, first, 0, 2**62)
    check_range("last", last, first, 2**62)


def check_array(field: str, value: object, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Return `value` as an array of the given shape; None in `shape` accepts any length.

    Raises:
        InvalidField: if the number of dimensions or a fixed length differs.
    """
    array = np.asarray(value)
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise InvalidField(field, f"an array of shape {wanted}", f"shape {array.shape}")
    return array


def check_probabilities(field: str, value: object, *, atol: float = 1e-3) -> NDArray[np.float64]:
    """Return (N, K) class probabilities as float64.

    Raises:
        InvalidField: if a value is not finite or outside [0, 1], or a row does not sum to 1 within `atol`.
    """
    probs = check_array(field, value, (None, None)).astype(np.float64)
    low, high = (probs.min(), probs.max()) if probs.size else (0.0, 1.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InvalidField(field, "finite probabilities", f"row {int(np.argmin(np.isfinite(probs).all(axis=1)))} has NaN or inf")
    if low < 0 or high > 1:
        raise InvalidField(field, "probabilities in [0, 1]", f"values from {low:.4g} to {high:.4g}")
    off = np.abs(probs @ np.ones(probs.shape[1]) - 1)
    if off.size and off.max() > atol:
        row = int(off.argmax())
        raise InvalidField(field, "rows that sum to 1", f"row {row} sums to {probs[row].sum():.4g}")
    return probs


def freeze_array(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only copy of `array`."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy


def compute_id(prefix: str, *parts: object) -> str:
    """Return a stable content id, ``prefix_`` + 16 hex digits of SHA-256 over the parts' canonical JSON.

    Equal parts give an equal id on every machine, so that adding the same thing twice changes nothing.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"{prefix}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
