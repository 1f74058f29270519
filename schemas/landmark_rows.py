"""Landmark rows: a CSV with a row for each frame, ``label`` first, then ``<landmark>_x, _y, _z, _v`` of some of MediaPipe's points.

Rows are in recording order and say nothing of videos. Stretches of one label are cut into windows; stretches that follow each
other are collected in at most ten parts of the file, and a part is a group, since neighbouring rows are nearly alike.
"""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.errors import FormatError
from schemas.sequences import SequenceSet
from schemas.vocabulary import BLAZEPOSE_33

__all__ = ["read_landmark_rows"]

WINDOW, MAX_PARTS = 8, 10
_CHANNELS = ("x", "y", "z", "v")


def read_landmark_rows(path: str | Path, *, window: int = WINDOW) -> SequenceSet:
    """Return the windows of `window` rows, each of one label: pose (N, window, 33, 4), NaN for landmarks that the file lacks.

    A stretch shorter than `window` is filled up with its last row.

    Raises:
        FormatError: if there is no such file, a column is no landmark's, a value is no number, or there are no rows.
    """
    label, rows = _read_rows(path)
    names = list(BLAZEPOSE_33.nodes)
    pose = np.full((len(label), len(names), 4), np.nan, np.float32)
    for name, columns in rows.items():
        pose[:, names.index(name)] = columns
    stretches: list[list[int]] = [list(indices) for _, indices in groupby(range(len(label)), key=lambda i: label[i])]
    n_parts = min(MAX_PARTS, len(stretches))
    windows, labels, groups = [], [], []
    for number, stretch in enumerate(stretches):
        for start in range(0, max(len(stretch) - window + 1, 1), window):
            taken = [stretch[min(start + i, len(stretch) - 1)] for i in range(window)]
            windows.append(pose[taken])
            labels.append(label[stretch[0]])
            groups.append(f"part-{number * n_parts // len(stretches) + 1:02d}")
    return SequenceSet(
        pose=np.array(windows), label=np.array(labels), group=np.array(groups), skeleton=np.array(BLAZEPOSE_33.edges, np.int64)
    )


def _read_rows(path: str | Path) -> tuple[list[str], dict[str, NDArray[np.float32]]]:
    """Return the labels (R,) and, by landmark, its x, y, z, visibility (R, 4)."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            header, *rows = [row for row in csv.reader(stream) if row] or [[]]
    except FileNotFoundError:
        raise FormatError(path, "file", "an existing CSV of landmark rows", "no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(path, "file", "a CSV of landmark rows", " ".join(str(error).split())) from error
    columns = _find_columns(path, header)
    if not rows:
        raise FormatError(path, "rows", "at least one", 0)
    short = next((i for i, row in enumerate(rows, 2) if len(row) != len(header)), None)
    if short is not None:
        raise FormatError(path, f"line {short}", f"{len(header)} columns", len(rows[short - 2]))
    try:
        values = np.array([row[1:] for row in rows], np.float32)
    except ValueError as error:
        raise FormatError(path, "rows", "numbers after the label", str(error)) from error
    if np.isinf(values).any():
        raise FormatError(path, "rows", "finite numbers, or nan for unseen", "inf")
    return [row[0] for row in rows], {name: values[:, [at - 1 for at in places]] for name, places in columns.items()}


def _find_columns(path: str | Path, header: list[str]) -> dict[str, list[int]]:
    if not header or header[0].strip() != "label":
        raise FormatError(path, "header", "label first", header[0] if header else "nothing")
    position = {name.strip(): at for at, name in enumerate(header)}
    landmarks = list(dict.fromkeys(name.rpartition("_")[0] for name in list(position)[1:]))
    for name in landmarks:
        if name not in BLAZEPOSE_33.nodes:
            raise FormatError(path, "header", "columns <landmark>_x, _y, _z, _v of MediaPipe's landmarks", name)
        missing = [f"{name}_{c}" for c in _CHANNELS if f"{name}_{c}" not in position]
        if missing:
            raise FormatError(path, "header", f"a column {missing[0]}", "none")
    if not landmarks:
        raise FormatError(path, "header", "columns <landmark>_x, _y, _z, _v", "a label alone")
    return {name: [position[f"{name}_{c}"] for c in _CHANNELS] for name in landmarks}
