"""Videos and images as frames: what a file holds, and its pixels by 0-based index in the order in which the frames are shown.

Times come from the container's presentation timestamps, never from index / rate. A rotation that the container asks for (phones) is
applied, and so is an image's EXIF orientation: width, height and all coordinates are those of the upright picture. Every frame is
RGB, 8 bit: transparent pixels lie on white, 16-bit values are divided by 257, palettes and grey are expanded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from curation.decoding import STEP, Decoder, find_gaps, open_video
from curation.images import load_image
from schemas.errors import InvalidField, MediaError
from schemas.records import Gap

__all__ = ["IMAGE_SUFFIXES", "VIDEO_SUFFIXES", "MediaInfo", "hash_file", "iter_frames", "probe_media", "read_frame"]

IMAGE_SUFFIXES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".m2ts", ".ts", ".webm", ".wmv"}
)
_HEADER_DURATION = ("avi", "flv", "matroska", "mov")
_SEEK_MARGIN = 1.0


@frozen(kw_only=True, eq=False)
class MediaInfo:
    """What one file holds.

    `timestamps` (n_frames,) float64 seconds, strictly increasing; `width`, `height` px of the upright picture; `fps` the mean rate
    (0 for an image); `problem` says what is damaged in a file of which only `n_frames` frames can be used, None = nothing; `gaps`
    say where frames are lost, in a damaged file and in one whose recording dropped some.
    """

    path: Path
    sha256: str
    n_frames: int
    fps: float
    width: int
    height: int
    timestamps: NDArray[np.float64] = field(repr=False)
    is_image: bool
    problem: str | None = None
    gaps: tuple[Gap, ...] = ()


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes.

    Raises:
        MediaError: if the file is missing, a folder, empty or unreadable.
    """
    source = _check_file(path)
    try:
        with source.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(path, f"cannot be read ({error.strerror or error})") from error


def probe_media(path: str | Path, *, sha256: str | None = None, tick: Callable[[int], None] | None = None) -> MediaInfo:
    """Read a file to its end and say what it holds. Frames are decoded, so that `n_frames` is what can really be used.

    Args:
        path: a video or an image.
        sha256: the file's hash, where it is known already.
        tick: called with the number of frames so far, after each frame of a video.

    Raises:
        MediaError: if it is missing, empty, or not media, or if no frame of it can be decoded.
    """
    digest = sha256 or hash_file(path)
    image = load_image(_check_file(path))
    if image is None:
        return _probe_video(Path(path), digest, tick or (lambda frames: None))
    height, width = image.shape[:2]
    return MediaInfo(
        path=Path(path), sha256=digest, n_frames=1, fps=0.0, width=width, height=height, timestamps=np.zeros(1), is_image=True
    )


def iter_frames(
    path: str | Path, indices: Sequence[int] | NDArray[np.int64] | None = None, *, timestamps: NDArray[np.float64] | None = None
) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """Yield (index, seconds, rgb uint8 (H, W, 3)) in increasing order.

    Args:
        path: a video or an image.
        indices: the wanted 0-based frames, in any order; None = all.
        timestamps: the clip's timestamps, where they are known: they are what `seconds` then says, they tell which frame is which,
            and let the reader start at the key frame before the first wanted frame instead of at the beginning.

    Raises:
        MediaError: if the file cannot be read, or ends before the last wanted frame.
        InvalidField: if an index is negative.
    """
    wanted = None if indices is None else sorted({int(i) for i in indices})
    if wanted is not None and (not wanted or wanted[0] < 0):
        if wanted:
            raise InvalidField("indices", "0-based frame indices", wanted[0])
        return
    image = load_image(_check_file(path))
    if image is not None:
        if wanted not in (None, [0]):
            raise MediaError(path, f"is a still image; it has no frame {wanted[-1] if wanted else 0}")
        yield 0, 0.0, image
        return
    yield from _iter_video(Path(path), wanted, timestamps)


def read_frame(path: str | Path, index: int, *, timestamps: NDArray[np.float64] | None = None) -> NDArray[np.uint8]:
    """Return one frame, rgb uint8 (H, W, 3); see `iter_frames`.

    Raises:
        MediaError: if the file cannot be read or has no such frame.
    """
    return next(iter_frames(path, [index], timestamps=timestamps))[2]


def _check_file(path: str | Path) -> Path:
    source = Path(path)
    if not source.exists():
        raise MediaError(path, "no such file")
    if not source.is_file():
        raise MediaError(path, "is not a file")
    if source.stat().st_size == 0:
        raise MediaError(path, "is empty (0 bytes)")
    return source


def _probe_video(path: Path, sha256: str, tick: Callable[[int], None]) -> MediaInfo:
    times: list[float] = []
    shape = None
    with open_video(path) as (container, stream):
        decoder = Decoder(container, stream)
        for seconds, frame in decoder:
            times.append(seconds)
            tick(len(times))
            shape = shape or ((frame.height, frame.width) if _count_turns(frame) % 2 else (frame.width, frame.height))
        if shape is None:
            raise MediaError(path, "is damaged or truncated: no frame of it can be decoded")
        damage = _find_damage(container, stream, path.stat().st_size, decoder)
        expected = max(int(stream.frames or 0), round((container.duration or 0) / 1e6 * decoder.rate))
        timestamps = np.array(times)
        gaps = find_gaps(timestamps, decoder.list_lost(timestamps))
    if damage == "is truncated" and expected > len(times) + sum(gap.frames for gap in gaps):
        missing = expected - len(times) - sum(gap.frames for gap in gaps if gap.before < len(times))
        gaps = (*(gap for gap in gaps if gap.before < len(times)), Gap(before=len(times), frames=missing))
    about = f" of about {expected}" if expected > len(times) else ""
    return MediaInfo(
        path=path,
        sha256=sha256,
        n_frames=len(times),
        fps=(len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else decoder.rate,
        width=shape[0],
        height=shape[1],
        timestamps=timestamps,
        is_image=False,
        problem=f"{damage}: {len(times)}{about} frames can be decoded" if damage else None,
        gaps=gaps,
    )


def _find_damage(container: Any, stream: Any, size: int, decoder: Decoder) -> str | None:
    """Return what is wrong with a file that was read to its end, or None."""
    if any(entry.pos + entry.size > size for entry in stream.index_entries):
        return "is truncated"
    if container.format.name == "mpegts" and size % 188 and size % 192:
        return "is truncated"
    has_header = container.format.name.startswith(_HEADER_DURATION) and container.duration
    end = max(decoder.end, decoder.end - (container.start_time or 0) / 1e6)
    if has_header and end < container.duration / 1e6 - 0.5:
        return "is truncated"
    return "is damaged" if decoder.failed else None


def _iter_video(
    path: Path, wanted: list[int] | None, timestamps: NDArray[np.float64] | None
) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    todo = None if wanted is None else set(wanted)
    last = -1
    size = None
    for last, seconds, frame in _number_frames(path, wanted[0] if wanted else 0, timestamps):
        size = size or (frame.width, frame.height)
        if todo is None or last in todo:
            rgb = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
            upright = np.ascontiguousarray(np.rot90(rgb, _count_turns(frame)))
            yield last, seconds if timestamps is None else float(timestamps[last]), upright
            todo = todo if todo is None else todo - {last}
        if wanted and last >= wanted[-1]:
            break
    if todo and timestamps is not None and wanted and last >= wanted[-1] and wanted[0] > 0:
        # Behind the key frame where the reading began some frames could not be trusted: read again from the beginning.
        yield from ((i, s, rgb) for i, s, rgb in _iter_video(path, [0, *sorted(todo)], timestamps) if i in todo)
        return
    if todo:
        reason = f"has no frame {max(todo)}; its last is {last}" if max(todo) > last else f"frame {min(todo)} is not there any more"
        raise MediaError(path, reason)


def _count_turns(frame: Any) -> int:
    """Return how many quarter turns to the left make a frame upright: 0 to 3; an angle between them counts as the nearest."""
    return round(float(frame.rotation) / 90) % 4


def _number_frames(path: Path, first: int, timestamps: NDArray[np.float64] | None) -> Iterator[tuple[int, float, Any]]:
    """Yield (index, seconds, frame): by the frames' own times where `timestamps` hold them, else counted from the beginning.

    With times the reading starts at the key frame before frame `first`.
    """
    known = timestamps if timestamps is not None and first < len(timestamps) else None
    if known is not None and known[first] - known[0] >= 2 * _SEEK_MARGIN:
        with open_video(path) as (container, stream):
            if _seek(container, stream, known[first] - _SEEK_MARGIN):
                frames = _match_frames(Decoder(container, stream), known, first)
                if frames is not None:
                    yield from frames
                    return
    with open_video(path) as (container, stream):
        frames = None if known is None else _match_frames(Decoder(container, stream), known, first)
        if frames is not None:
            yield from frames
            return
    with open_video(path) as (container, stream):
        for index, (seconds, frame) in enumerate(Decoder(container, stream)):
            yield index, seconds, frame


def _match_frames(decoder: Decoder, timestamps: NDArray[np.float64], first: int) -> Iterator[tuple[int, float, Any]] | None:
    """Number the frames by their times; None if the first one's is not among `timestamps`, or lies behind frame `first`."""
    frames = iter(decoder)
    head = next(frames, None)
    index = None if head is None or not decoder.has_times else _find_time(timestamps, head[0])
    if head is None or index is None or index > first:
        return None
    return ((i, *frame) for frame in chain([head], frames) if (i := _find_time(timestamps, frame[0])) is not None)


def _seek(container: Any, stream: Any, seconds: float) -> bool:
    """Go to the key frame before that time; return False where the stream has no times to go by, or cannot be sought in."""
    import av

    if stream.start_time is None:  # a raw stream of H.264 or HEVC
        return False
    try:
        container.seek(int(seconds / stream.time_base), stream=stream)
    except (av.FFmpegError, OSError):
        return False
    return True


def _find_time(timestamps: NDArray[np.float64], seconds: float) -> int | None:
    """Return the index of the frame at that time, or None if there is none."""
    index = int(np.searchsorted(timestamps, seconds - STEP / 2))
    return index if index < len(timestamps) and timestamps[index] - seconds < STEP / 2 else None
