"""One file of a live recording: packets copied as they come, or raw pictures as H.264."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from schemas.errors import StorageError

__all__ = ["Recorder"]

_RAW = ("rawvideo", "wrapped_avframe")
_FLUSH_OFTEN = {"cluster_time_limit": "1000", "flush_packets": "1"}
"""A power cut costs a second: what is in the .part file until then can be read, and added as a truncated file."""
_H264 = {"preset": "veryfast", "crf": "20"}


class Recorder:
    """Writes the packets of a stream to ``<path>.part`` in Matroska; `close` gives the file its name.

    `seconds` and `frames` say how much is in it, `rate` the frames per second that the stream promises.

    Raises:
        StorageError: also from `write` and `close`: if the file cannot be written.
    """

    def __init__(self, path: Path, stream: Any, *, started_at: datetime) -> None:
        import av

        self.path, self.frames, self.seconds = path, 0, 0.0
        self.rate = float(stream.average_rate or stream.guessed_rate or 25)
        self._part = path.with_name(path.name + ".part")
        self._origin: int | None = None
        self._last: int | None = None
        self._timeless: list[Any] = []
        self._source = stream
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._out = av.open(str(self._part), "w", format="matroska", options=_FLUSH_OFTEN)
            self._out.metadata["creation_time"] = started_at.isoformat()
            self._stream = self._add_stream(stream)
        except (av.FFmpegError, OSError) as error:
            raise StorageError(path, str(error)) from error

    def step_to(self, packet: Any) -> float:
        """Return the seconds from the last packet to this one; negative if the source's clock was set back."""
        ticks = packet.pts if packet.dts is None else packet.dts
        return 0.0 if ticks is None or self._last is None else float((ticks - self._last) * packet.time_base)

    def write(self, packet: Any) -> None:
        """Add one packet; one that comes again, or late, is left out; one without a time lies a frame from its neighbour."""
        step = round(1 / (self.rate * packet.time_base))
        ticks = packet.pts if packet.dts is None else packet.dts
        if ticks is None and self._last is None:
            self._timeless.append(packet)  # RTSP gives the first picture no time
            return
        waiting, self._timeless = self._timeless, []
        for number, early in enumerate(waiting):
            early.pts = early.dts = ticks - (len(waiting) - number) * step
            self.write(early)
        if ticks is None:
            packet.pts = packet.dts = ticks = self._last + step
        if self._last is not None and packet.dts is not None and ticks <= self._last:
            return
        self._last = ticks
        self._origin = ticks if self._origin is None else self._origin
        self.frames += 1
        self.seconds = max(self.seconds, float((ticks - self._origin) * packet.time_base) + 1 / self.rate)
        self._add(packet, ticks)

    def _add(self, packet: Any, ticks: int) -> None:
        import av

        try:
            if self._source.codec_context.name in _RAW:
                self._encode(packet)
            else:
                packet.pts = (ticks if packet.pts is None else packet.pts) - (self._origin or 0)
                packet.dts = None if packet.dts is None else packet.dts - (self._origin or 0)
                packet.stream = self._stream
                self._out.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise StorageError(self.path, str(error)) from error

    def close(self, *, before_rename: Callable[[], None]) -> None:
        """End the file, call `before_rename`, and give the file its name."""
        import av

        try:
            if self._source.codec_context.name in _RAW:
                self._out.mux(self._stream.encode())
            self._out.close()
            with self._part.open("rb") as stream:
                os.fsync(stream.fileno())
            before_rename()
            os.replace(self._part, self.path)
        except (av.FFmpegError, OSError) as error:
            raise StorageError(self.path, str(error)) from error

    def discard(self) -> None:
        """End the file without giving it its name; nothing is left of it."""
        self._out.close()
        self._part.unlink(missing_ok=True)

    def _add_stream(self, source: Any) -> Any:
        if source.codec_context.name not in _RAW:
            return self._out.add_stream_from_template(source)
        stream = self._out.add_stream("libx264", rate=round(self.rate), options=_H264)
        stream.width, stream.height, stream.pix_fmt = source.width // 2 * 2, source.height // 2 * 2, "yuv420p"
        stream.gop_size = round(2 * self.rate)
        stream.codec_context.time_base = Fraction(1, 1000)
        return stream

    def _encode(self, packet: Any) -> None:
        for frame in packet.decode():
            milliseconds = round((frame.pts - (self._origin or 0)) * frame.time_base * 1000)
            picture = frame.reformat(width=self._stream.width, height=self._stream.height, format="yuv420p")
            picture.pts, picture.time_base = milliseconds, Fraction(1, 1000)
            self._out.mux(self._stream.encode(picture))
