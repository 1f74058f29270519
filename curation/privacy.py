"""The one way from a clip to a picture that annotators or curators see: covered as the workspace says, and never less than before.

Label Studio and FiftyOne see copies below ``crops/`` only. How much is covered there is the stronger of what ``curate.toml`` says
(``[privacy] blur``) and what a ``--blur`` option ever said, which is kept in ``privacy.json`` beside it. When it becomes stronger,
every copy that shows more is deleted before anything else happens. Sources are only read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from curation.blur import LEVELS, Blurrer, Level
from curation.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES, iter_frames
from schemas.errors import FormatError, InvalidField, StorageError
from schemas.files import write_text

if TYPE_CHECKING:
    from curation.config import Workspace
    from schemas.records import Clip

__all__ = ["ShowFrames", "find_level", "open_shown_frames", "protect_copies"]


class ShowFrames(Protocol):
    """Yields the frames of a clip as they may be shown; may be used by several threads, on different clips."""

    def __call__(self, clip: Clip, indices: Sequence[int]) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """Yield (index, seconds, rgb) in increasing order; see `curation.media.iter_frames`."""
        ...


def find_level(workspace: Workspace) -> Level:
    """Return how much is covered in the workspace's copies.

    Raises:
        FormatError: if ``privacy.json`` is damaged.
    """
    return max(workspace.config.privacy.blur, _read_stamp(workspace)[0], key=LEVELS.index)


def protect_copies(workspace: Workspace, blur: Level | None = None) -> int:
    """Make sure that no copy shows more than it may, and return how many were deleted because they did; they are made again.

    Args:
        workspace: whose copies.
        blur: what is asked for now; None = what the workspace says.

    Raises:
        InvalidField: if less is asked for than the workspace says.
        FormatError: if ``privacy.json`` is damaged.
        StorageError: if a copy cannot be deleted.
    """
    level = find_level(workspace)
    if blur is not None:
        if blur not in LEVELS[LEVELS.index(level) :]:
            raise InvalidField("blur", f"{level!r}, as this workspace says (curate.toml, privacy.json), or stronger", blur)
        level = blur
    before, is_clean = _read_stamp(workspace)
    if level == before and is_clean:
        return 0
    _write_stamp(workspace, level, is_clean=False)
    removed = [path for path in _list_copies(workspace) if _remove(path)]
    _write_stamp(workspace, level, is_clean=True)
    return len(removed)


@contextmanager
def open_shown_frames(workspace: Workspace) -> Iterator[ShowFrames]:
    """Yield the function that reads frames for copies, covered where the workspace says so; copies that show more go first.

    Raises:
        FormatError: if ``privacy.json`` is damaged.
        StorageError: if a copy cannot be deleted.
        ModelError: if the face detector is not there.
    """
    from curation.store import ArrayStore

    protect_copies(workspace)
    level = find_level(workspace)
    if level == "none":
        yield lambda clip, indices: iter_frames(clip.uri, indices, timestamps=clip.timestamps)
        return
    arrays = ArrayStore(workspace.folder("arrays"))
    with Blurrer(level) as blurrer:

        def show(clip: Clip, indices: Sequence[int]) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
            tracks = arrays.read_tracks(clip.id) if arrays.has_tracks(clip.id) else []
            yield from blurrer.iter_frames(clip, tracks, indices)

        yield show


def _stamp_path(workspace: Workspace) -> Path:
    return workspace.root / "privacy.json"


def _read_stamp(workspace: Workspace) -> tuple[Level, bool]:
    """Return the level of the copies, and whether all that show more are deleted; without a file nothing was ever covered."""
    path = _stamp_path(workspace)
    try:
        said = json.loads(path.read_text("utf-8"))
        level, is_clean = said["blur"], said["clean"]
    except FileNotFoundError:
        return "none", True
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(path, "file", "what curate wrote; set blur in curate.toml, and delete it together with crops/") from error
    if level not in LEVELS:
        raise FormatError(path, "blur", ", ".join(LEVELS), level)
    return level, bool(is_clean)


def _write_stamp(workspace: Workspace, level: str, *, is_clean: bool) -> None:
    write_text(_stamp_path(workspace), json.dumps({"blur": level, "clean": is_clean}) + "\n")


def _list_copies(workspace: Workspace) -> list[Path]:
    suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES | {".tmp"}
    return [path for path in sorted((workspace.root / "crops").rglob("*")) if path.suffix.lower() in suffixes and path.is_file()]


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        raise StorageError(path, error.strerror or str(error)) from error
    return path.suffix != ".tmp"
