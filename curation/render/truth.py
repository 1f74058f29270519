"""What is exactly so in a rendered clip: boxes, landmarks and behaviour of every student in every frame."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from schemas.checks import check_array
from schemas.errors import FormatError, InvalidField
from schemas.files import replace_file

__all__ = ["Truth", "read_truth", "truth_path", "write_truth"]


def _floats(value: Any) -> NDArray[np.float32]:
    return np.asarray(value, np.float32)


def _strings(value: Any) -> NDArray[np.str_]:
    return np.asarray(value, np.str_)


@frozen(kw_only=True, eq=False)
class Truth:
    """F frames of P students.

    `boxes` (F, P, 4) px ``x1, y1, x2, y2`` around what is seen of each student, NaN where nothing is; `pose` (F, P, 33, 4) = x px,
    y px, z (px, 0 at the hips' middle, smaller is nearer) and visibility (1 seen, 0 hidden or out of the frame); `behaviour` (F, P)
    ids of the ``behaviour`` axis; `student` (P,); `fps` frames per second.

    `head` (F, P, 3) = yaw, pitch, roll in degrees, against the line from the camera to the head: 0, 0, 0 looks straight into the
    camera, yaw > 0 turns to the own left, pitch > 0 bows, roll > 0 tilts to the own right. `eyes` (F, P): how far the eyes are
    open, 0 closed to 1, NaN where the face is too small for its eyes to be drawn so. Both are NaN in clips of older versions.
    """

    boxes: NDArray[np.float32] = field(converter=_floats)
    pose: NDArray[np.float32] = field(converter=_floats)
    behaviour: NDArray[np.str_] = field(converter=_strings)
    student: NDArray[np.str_] = field(converter=_strings)
    fps: float
    head: NDArray[np.float32] = field(converter=_floats)
    eyes: NDArray[np.float32] = field(converter=_floats)

    @head.default
    def _no_head(self) -> NDArray[np.float32]:
        return np.full((*self.behaviour.shape, 3), np.nan, np.float32)

    @eyes.default
    def _no_eyes(self) -> NDArray[np.float32]:
        return np.full(self.behaviour.shape, np.nan, np.float32)

    def __attrs_post_init__(self) -> None:
        frames, people = check_array("truth.behaviour", self.behaviour, (None, None)).shape
        check_array("truth.boxes", self.boxes, (frames, people, 4))
        check_array("truth.pose", self.pose, (frames, people, 33, 4))
        check_array("truth.student", self.student, (people,))
        check_array("truth.head", self.head, (frames, people, 3))
        check_array("truth.eyes", self.eyes, (frames, people))


def truth_path(media: str | Path) -> Path:
    """Return where the truth of a rendered media file lies: ``<stem>.truth.npz`` beside it."""
    path = Path(media)
    return path.with_name(f"{path.stem}.truth.npz")


def write_truth(path: str | Path, truth: Truth) -> None:
    """Write the truth, byte-identical for equal content, whole or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    with replace_file(path) as stream:
        np.savez_compressed(
            stream, allow_pickle=False, boxes=truth.boxes, pose=truth.pose, behaviour=truth.behaviour, student=truth.student,
            fps=np.float64(truth.fps), head=truth.head, eyes=truth.eyes,
        )  # fmt: skip


def read_truth(path: str | Path) -> Truth:
    """Read the truth of a rendered clip, from its ``.truth.npz`` or from the media file it lies beside.

    Raises:
        FormatError: if there is none, or it is not whole.
    """
    path = Path(path)
    if path.suffix != ".npz":
        path = truth_path(path)
    try:
        with np.load(path, allow_pickle=False) as data:
            later = {name: data[name] for name in ("head", "eyes") if name in data}
            return Truth(
                boxes=data["boxes"],
                pose=data["pose"],
                behaviour=data["behaviour"],
                student=data["student"],
                fps=float(data["fps"]),
                **later,
            )
    except FileNotFoundError:
        raise FormatError(path, "file", "the truth of a rendered clip", "no such file") from None
    except InvalidField as error:
        raise FormatError(path, error.field, error.expected, error.actual) from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise FormatError(path, "file", "boxes, pose, behaviour, student and fps, without pickles", str(error)) from error
