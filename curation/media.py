"""Videos and images as frames: what a file holds, and its pixels by 0-based index in the order in which the frames are shown.

Times come from the container's presentation timestamps, never from index / rate. A rotation that the container asks for (phones) is
applied, and so is an image's EXIF orientation: width, height and all coordinates are those of the upright picture. Every frame is
RGB, 8 bit: transparent pixels lie on white, 16-bit values are divided by 257, palettes and grey are expanded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from curation.images import load_image
from schemas.errors import InvalidField, MediaError

__all__ = ["IMAGE_SUFFIXES", "VIDEO_SUFFIXES", "MediaInfo", "hash_file", "iter_frames", "probe_media", "read_frame"]

IMAGE_SUFFIXES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".m2ts", ".ts", ".webm", ".wmv"}
)
_HEADER_DURATION = ("avi", "flv", "matroska", "mov")
_SEEK_MARGIN = 1.0
_STEP = 1e-5


@frozen(kw_only=True, eq=False)
class MediaInfo:
    """What one file holds.

    `timestamps` (n_frames,) float64 seconds, strictly increasing; `width`, `height` px of the upright picture; `fps` the mean rate
    (0 for an image); `problem` says what is damaged in a file of which only `n_frames` frames can be decoded, None = nothing.
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


def probe_media(path: str | Path, *, sha256: str | None = None) -> MediaInfo:
    """Read a file to its end and say what it holds. Frames are decoded, so that `n_frames` is what can really be used.

    Args:
        path: a video or an image.
        sha256: the file's hash, where it is known already.

    Raises:
        MediaError: if it is missing, empty, or not media, or if no frame of it can be decoded.
    """
    digest = sha256 or hash_file(path)
    image = load_image(_check_file(path))
    if image is None:
        return _probe_video(Path(path), digest)
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
        timestamps: the clip's timestamps, where they are known: they are what `seconds` then says, and let the reader start at
            the key frame before the first wanted frame instead of at the beginning.

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


@contextmanager
def _open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(path, "cannot be read as a video or an image (not media, or truncated before its index)") from error
    with container:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams or streams[0].codec_context is None:
            raise MediaError(
                path, f"holds no video stream that can be read (truncated, or {container.format.name} without pictures)"
            )
        streams[0].thread_type = "AUTO"
        yield container, streams[0]


class _Reading:
    """What was met while a video was decoded: packets that failed, and where the last packet of any stream ends (seconds)."""

    def __init__(self) -> None:
        self.failed = 0
        self.end = 0.0

    def decode(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield the frames of `stream` that can be decoded, in the order of showing; a damaged packet is counted, not fatal."""
        import av

        packets = container.demux()
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if packet.pts is not None:
                    self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                frames = packet.decode() if packet.stream_index == stream.index else ()
                self.failed += bool(packet.is_corrupt and packet.stream_index == stream.index)
            except (av.FFmpegError, OSError):
                self.failed += 1
                continue
            yield from frames


def _probe_video(path: Path, sha256: str) -> MediaInfo:
    reading = _Reading()
    times: list[float] = []
    shape = None
    with _open_video(path) as (container, stream):
        clock = _Clock(stream)
        for frame in reading.decode(container, stream):
            times.append(clock.read(frame))
            shape = shape or ((frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height))
        lost = _find_loss(container, stream, path.stat().st_size, reading)
        expected = max(int(stream.frames or 0), round((container.duration or 0) / 1e6 * clock.rate))
    if shape is None:
        raise MediaError(path, "is damaged or truncated: no frame of it can be decoded")
    about = f" of about {expected}" if expected > len(times) else ""
    return MediaInfo(
        path=path,
        sha256=sha256,
        n_frames=len(times),
        fps=(len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else clock.rate,
        width=shape[0],
        height=shape[1],
        timestamps=np.array(times),
        is_image=False,
        problem=f"{lost}: {len(times)}{about} frames can be decoded" if lost else None,
    )


def _find_loss(container: Any, stream: Any, size: int, reading: _Reading) -> str | None:
    """Return what is wrong with a file that was read to its end, or None."""
    if any(entry.pos + entry.size > size for entry in stream.index_entries):
        return "is truncated"
    if container.format.name == "mpegts" and size % 188 and size % 192:
        return "is truncated"
    has_header = container.format.name.startswith(_HEADER_DURATION) and container.duration
    end = max(reading.end, reading.end - (container.start_time or 0) / 1e6)
    if has_header and end < container.duration / 1e6 - 0.5:
        return "is truncated"
    return "is damaged" if reading.failed else None


class _Clock:
    """Strictly increasing seconds from presentation times: a missing one lies a mean step, a repeated one 10 µs after the last."""

    def __init__(self, stream: Any) -> None:
        self.rate = float(stream.average_rate or stream.guessed_rate or 25)
        self._last: float | None = None

    def read(self, frame: Any) -> float:
        """Return the time of the next frame."""
        if frame.pts is not None:
            time = float(frame.pts * frame.time_base)
        else:
            time = 0.0 if self._last is None else self._last + 1 / self.rate
        if self._last is not None:
            time = max(time, self._last + _STEP)
        self._last = time
        return time


def _iter_video(
    path: Path, wanted: list[int] | None, timestamps: NDArray[np.float64] | None
) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    todo = None if wanted is None else set(wanted)
    last = -1
    size = None
    with _open_video(path) as (container, stream):
        clock = _Clock(stream)
        start, frames = _start_before(container, stream, wanted, timestamps)
        for last, frame in enumerate(frames, start):
            seconds = clock.read(frame)
            size = size or (frame.width, frame.height)
            if todo is None or last in todo:
                rgb = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
                upright = np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90 % 4))
                yield last, seconds if timestamps is None else float(timestamps[last]), upright
            if wanted and last >= wanted[-1]:
                return
    if wanted:
        raise MediaError(path, f"has no frame {wanted[-1]}; its last is {last}")


def _start_before(
    container: Any, stream: Any, wanted: list[int] | None, timestamps: NDArray[np.float64] | None
) -> tuple[int, Iterator[Any]]:
    """Return (index of the first frame, frames), from the key frame before the first wanted one where the times tell it."""
    first = wanted[0] if wanted else 0
    if timestamps is None or first >= len(timestamps) or timestamps[first] - timestamps[0] < 2 * _SEEK_MARGIN:
        return 0, _Reading().decode(container, stream)
    container.seek(int((timestamps[first] - _SEEK_MARGIN) / stream.time_base), stream=stream)
    frames = _Reading().decode(container, stream)
    head = next(frames, None)
    if head is not None and head.pts is not None:
        seconds = float(head.pts * head.time_base)
        index = int(np.abs(timestamps - seconds).argmin())
        if index <= first and abs(timestamps[index] - seconds) < _STEP / 2:
            return index, chain([head], frames)
    container.seek(int(timestamps[0] / stream.time_base) - 1, stream=stream)
    return 0, _Reading().decode(container, stream)
