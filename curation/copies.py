"""Whole copies of clips with heads or faces covered, to show or to hand on: the same frames at the same times, without sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.blur import Blurrer, Level
from curation.config import Workspace
from schemas.errors import InvalidField, WorkspaceError
from schemas.files import replace_file
from schemas.records import Clip

__all__ = ["write_copy"]

_TICKS = 90_000


def write_copy(
    workspace: Workspace, clip: Clip, folder: str | Path, blurrer: Blurrer, *, tick: Callable[[int], object] = lambda frames: None
) -> Path:
    """Write the covered copy of one clip and return its path: ``<name>-<level>.mp4`` (H.264), or ``.png`` of a still image.

    Frame i of the copy is frame i of the clip, at the same time to 1/90 000 s. Voices tell who is who as well: there is no sound.

    Args:
        workspace: whose clip it is; the people who were found in it are covered too where no face is seen.
        clip: what to copy.
        folder: where to.
        blurrer: how much to cover.
        tick: called with 1 for each frame.

    Raises:
        WorkspaceError: if nobody has looked for the people in the clip yet.
        InvalidField: if the copy would take the source's place.
        MediaError: if the clip's file cannot be read.
        StorageError: if the copy cannot be written.
    """
    from curation.store import ArrayStore

    arrays = ArrayStore(workspace.folder("arrays"))
    if not arrays.has_tracks(clip.id):
        raise WorkspaceError(clip.uri, "nobody has been looked for in it yet; run `curate preannotate`")
    target = name_copy(clip, folder, blurrer.level)
    if target.resolve() == Path(clip.uri).resolve():
        raise InvalidField("out", "another folder than the source's", str(folder))
    frames = _count(blurrer.iter_frames(clip, arrays.read_tracks(clip.id)), tick)
    with replace_file(target) as stream:
        if clip.n_frames == 1:
            _write_png(stream, next(frames))
        else:
            _write_video(stream, clip, frames)
    return target


def name_copy(clip: Clip, folder: str | Path, level: Level) -> Path:
    """Return the path of a clip's copy."""
    return Path(folder) / f"{Path(clip.uri).stem}-{level}{'.png' if clip.n_frames == 1 else '.mp4'}"


def _count(frames: Iterable[tuple[int, float, NDArray[np.uint8]]], tick: Callable[[int], object]) -> Iterator[NDArray[np.uint8]]:
    for _, _, rgb in frames:
        yield rgb
        tick(1)


def _write_png(stream: Any, rgb: NDArray[np.uint8]) -> None:
    from PIL import Image

    Image.fromarray(rgb).save(stream, format="PNG")


def _write_video(stream: Any, clip: Clip, frames: Iterable[NDArray[np.uint8]]) -> None:
    import av

    ticks = np.rint(clip.timestamps * _TICKS).astype(np.int64)
    ticks = np.maximum.accumulate(ticks - np.arange(len(ticks))) + np.arange(len(ticks))  # strictly increasing
    even = clip.width % 2 == 0 and clip.height % 2 == 0
    with av.open(stream, "w", format="mp4", options={"video_track_timescale": str(_TICKS)}) as out:
        video = out.add_stream("libx264", rate=max(1, round(clip.fps)), options={"crf": "20", "bf": "0"})
        video.width, video.height, video.pix_fmt = clip.width, clip.height, "yuv420p" if even else "yuv444p"
        video.codec_context.time_base = Fraction(1, _TICKS)
        for rgb, pts in zip(frames, ticks.tolist(), strict=True):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, _TICKS)
            out.mux(video.encode(frame))
        out.mux(video.encode())
