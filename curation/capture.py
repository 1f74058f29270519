"""Recording what cameras show, live: the stream is copied as it comes, cut into whole files, and no gap goes unnoticed.

Every file begins with a key frame and is written beside its place as ``<name>.mkv.part``; it gets its name when it is closed, so a
file that has its name is whole. When the source is lost the file is closed, the source is tried again, and the next file says for
how long nothing was seen. The sidecar beside each file says when it was filmed. Sound is not recorded.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from attrs import field, frozen

from curation.recorder import Recorder
from schemas.errors import MediaError
from schemas.files import write_text

__all__ = ["CaptureResult", "CaptureSettings", "Part", "capture_source", "hide_login"]

_OPEN_SECONDS, _READ_SECONDS = 10.0, 5.0
_AGAIN_AFTER = 1.0
_LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp")
_LONGEST_STEP = 10.0


@frozen(kw_only=True)
class CaptureSettings:
    """What to record: `source` is an address (rtsp://, http://, …), a camera (/dev/video0, or its number), or a file.

    `seconds` is how long (None = until stopped, or the end of a file); a file is closed after `segment` seconds; a source that is
    lost is tried again for `patience` seconds.
    """

    source: str
    folder: Path = field(converter=Path)
    lesson: str
    camera: str = "camera"
    school: str | None = None
    seconds: float | None = None
    segment: float = 600.0
    patience: float = 60.0


@frozen(kw_only=True)
class Part:
    """One whole file. `started_at` is the wall clock (UTC) at its first frame; before it nothing was seen for `gap_seconds`."""

    path: Path
    started_at: datetime
    seconds: float
    frames: int
    gap_seconds: float = 0.0
    gap_frames: int = 0


@frozen(kw_only=True)
class CaptureResult:
    """What was recorded from one source; `problem` says why it ended before it should have (None = it did not)."""

    source: str
    parts: tuple[Part, ...] = ()
    problem: str | None = None


def capture_source(
    settings: CaptureSettings, *, stop: threading.Event, tell: Callable[[str], None] = lambda line: None
) -> CaptureResult:
    """Record one source until `stop` is set, the time is over, a file ends, or the source stays away.

    Args:
        settings: what and where to.
        stop: set it to end; the file that is open is closed whole.
        tell: called with a line whenever a file is done or the source is lost.

    Raises:
        MediaError: if the source cannot be reached at first, or shows no video.
        StorageError: if the folder cannot be written to.
    """
    capture = _Capture(settings, stop, tell)
    problem = None
    while not capture.is_over():
        try:
            with _open_source(settings.source) as (container, stream):
                is_live = _is_live(settings.source) or container.duration is None
                capture.read(container, stream, is_live=is_live)
            if not is_live:
                break
            reason = "the stream ended"
        except MediaError as error:
            if not capture.has_begun:
                raise
            reason = error.reason
        if not capture.is_over() and not capture.wait_again(reason):
            problem = f"{reason}; it did not come back within {settings.patience:g} s"
            break
    return CaptureResult(source=hide_login(settings.source), parts=tuple(capture.parts), problem=problem)


def hide_login(source: str) -> str:
    """Return an address without the user and password in it."""
    parts = urlsplit(source)
    if "@" not in parts.netloc:
        return source
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class _Capture:
    """One recording: the file that is open, those that are done, and when something was last seen."""

    def __init__(self, settings: CaptureSettings, stop: threading.Event, tell: Callable[[str], None]) -> None:
        self.parts: list[Part] = []
        self._closed_at: float | None = None
        self._seen_at = time.time()
        self._settings, self._stop, self._tell = settings, stop, tell
        self._recorder: Recorder | None = None
        self._began: float | None = None
        self._part_began = 0.0
        self._media_seconds = 0.0
        self._is_live = True

    @property
    def has_begun(self) -> bool:
        """Whether anything was recorded."""
        return self._began is not None

    def is_over(self) -> bool:
        """Say whether to stop: asked to, or the time is over (of a file, its own time)."""
        limit = self._settings.seconds
        if self._stop.is_set() or limit is None or self._began is None:
            return self._stop.is_set()
        return (time.time() - self._began if self._is_live else self._media_seconds) >= limit

    def read(self, container: Any, stream: Any, *, is_live: bool) -> None:
        """Record from an open source until its end, its loss, or the time is over; the file that is open is closed."""
        import av

        self._is_live = is_live
        try:
            for packet in container.demux(stream):
                if packet.size:
                    self._take(packet, stream)
                if self.is_over():
                    break
        except (av.FFmpegError, OSError):
            pass  # lost: what was recorded is kept, and the caller tries again
        finally:
            self._close()

    def wait_again(self, reason: str) -> bool:
        """Wait a moment before the source is tried again; return False if it has stayed away for too long."""
        away = time.time() - self._seen_at
        if away < _READ_SECONDS + _AGAIN_AFTER:
            self._tell(f"{self._settings.camera}: {reason}; trying again for {self._settings.patience:g} s")
        self._stop.wait(_AGAIN_AFTER)
        return away + _AGAIN_AFTER < self._settings.patience

    def _take(self, packet: Any, stream: Any) -> None:
        recorder = self._recorder
        if recorder is not None:
            full = recorder.seconds >= self._settings.segment and packet.is_keyframe
            if full or not -1 < recorder.step_to(packet) < _LONGEST_STEP:
                self._close()
                recorder = None
        if recorder is None:
            if not packet.is_keyframe:
                return
            recorder = self._open(stream)
        before = recorder.seconds
        recorder.write(packet)
        self._seen_at = time.time()
        self._media_seconds += max(recorder.seconds - before, 0.0)

    def _open(self, stream: Any) -> Recorder:
        now = time.time()
        self._began, self._part_began = self._began or now, now
        moment = datetime.fromtimestamp(now, UTC)
        name = "-".join(_slug(part) for part in (self._settings.lesson, self._settings.camera))
        path = self._settings.folder / f"{name}-{moment:%Y%m%dT%H%M%S}-{len(self.parts) + 1:03d}.mkv"
        self._recorder = Recorder(path, stream, started_at=moment)
        return self._recorder

    def _close(self) -> None:
        """Close the file that is open: sidecar first, then the name that says it is whole."""
        recorder, self._recorder = self._recorder, None
        if recorder is None or not recorder.frames:
            if recorder is not None:
                recorder.discard()
            return
        moment = datetime.fromtimestamp(self._part_began, UTC)
        gap = self._part_began - self._closed_at if self._closed_at is not None and self._is_live else 0.0
        gap = gap if gap > 2 / recorder.rate else 0.0
        part = Part(
            path=recorder.path,
            started_at=moment,
            seconds=round(recorder.seconds, 3),
            frames=recorder.frames,
            gap_seconds=round(gap, 3),
            gap_frames=round(gap * recorder.rate),
        )
        recorder.close(before_rename=lambda: _write_sidecar(self._settings, part, len(self.parts) + 1))
        self._closed_at = time.time()
        self.parts.append(part)
        behind = f", {part.gap_seconds:.1f} s before it lost" if part.gap_seconds else ""
        self._tell(f"{part.path.name}: {part.frames} frames, {part.seconds:.1f} s{behind}")


def _write_sidecar(settings: CaptureSettings, part: Part, number: int) -> None:
    said = {
        "lesson": settings.lesson,
        "camera": settings.camera,
        **({"school": settings.school} if settings.school else {}),
        "context": {"time": part.started_at.isoformat()},
        "capture": {
            "source": hide_login(settings.source),
            "started_at": part.started_at.isoformat(),
            "part": number,
            "gap_seconds": part.gap_seconds,
            "gap_frames": part.gap_frames,
        },
    }
    write_text(part.path.with_suffix(".clip.json"), json.dumps(said, indent=1) + "\n")


@contextmanager
def _open_source(source: str) -> Iterator[tuple[Any, Any]]:
    import av

    device = f"/dev/video{source}" if source.isdigit() else source
    is_camera = device.startswith("/dev/")
    options = {"rtsp_flags": "prefer_tcp"} if source.startswith("rtsp") else {}
    try:
        container = av.open(
            device,
            format="v4l2" if is_camera else None,
            options=options,
            timeout=(_OPEN_SECONDS, _READ_SECONDS),
            metadata_errors="replace",
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno and 0 < error.errno < 200 else "no answer"
        raise MediaError(hide_login(source), f"cannot be opened ({reason})") from error
    with suppress(av.FFmpegError), container:
        if not container.streams.video:
            raise MediaError(hide_login(source), "shows no video")
        yield container, container.streams.video[0]


def _is_live(source: str) -> bool:
    return urlsplit(source).scheme in _LIVE or source.isdigit() or source.startswith("/dev/")


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "x"
