"""Decoding one video stream: frames that can be trusted, in the order of showing, with their times; what was lost is counted.

A damaged packet spoils more than its own frame: until the next key frame every frame is built on pictures that are not there, and
decoders make up what is missing and hand it out as if it were whole; only their log tells. Frames from a packet about which the
decoder complains to the next key frame therefore count as lost.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import MediaError
from schemas.records import Gap

__all__ = ["STEP", "Decoder", "find_gaps", "open_video"]

STEP = 1e-5
"""Seconds between two frames to which the container gives one time."""

_FORMATS = (
    "apng", "asf", "av1", "avi", "dv", "flv", "gif", "h264", "hevc", "ivf", "m4v", "matroska", "mjpeg", "mov", "mpeg", "mpegts",
    "mpegvideo", "mxf", "nut", "obu", "ogg", "webp_pipe",
)  # fmt: skip
_MOST_FAILURES = 64
_HARMLESS = re.compile(r"mmco|co located POCs|exceeds max|SEI|APP\d* ?field")
"""What decoders complain about although the picture is whole."""
_LEAST_STEPS = 10


def _is_complaint(said: list[tuple[int, str, str]]) -> bool:
    return any(not _HARMLESS.search(message) for *_, message in said)


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file and yield (container, its first video stream). Playlists are refused: they would open other files or addresses.

    Raises:
        MediaError: if the file is no video that can be read.
    """
    import av

    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    logging.getLogger("libav").propagate = False
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}
    try:
        container = av.open(str(path.absolute()), options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(path, "cannot be read as a video or an image (not media, or truncated before its index)") from error
    with container:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams or streams[0].codec_context is None:
            raise MediaError(
                path, f"holds no video stream that can be read (truncated, or {container.format.name} without pictures)"
            )
        # Threads would report a failure at another packet than the damaged one, and conceal it another way each time.
        streams[0].codec_context.thread_count = 1
        yield container, streams[0]


class Decoder:
    """The frames of one stream, from where the container stands to its end, and what was met: read it once, by iterating.

    `failed` counts damaged packets, `end` is where the last packet of any stream ends (seconds), `rate` the frames per second that
    the container promises.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self._clock = _Clock(stream, by_decoding=container.format.name == "avi")
        self.rate = self._clock.rate
        self.failed = 0
        self.end = 0.0
        self._trusted, self._key_fed = True, False
        self._newest_key: int | None = None
        self._is_numbered = False
        self._missed: set[int] = set()
        self._uncounted: Counter[int] = Counter()
        self._fed, self._shown, self._behind = 0, 0, 0

    def __iter__(self) -> Iterator[tuple[float, Any]]:
        """Yield (seconds, frame); seconds increase strictly."""
        for packet in self._demux():
            frames = self._decode(packet)
            for frame in frames:
                if self._trust(frame):
                    self._shown += 1
                    self._missed.discard(frame.pts)
                    yield self._clock.read(frame, has_time=not self._is_numbered), frame
                elif frame.pts is not None:
                    self._missed.add(frame.pts)
        if not self._trusted:
            self._settle()

    @property
    def has_times(self) -> bool:
        """Whether the newest frame's time comes from the container."""
        return self._clock.has_times

    def list_lost(self, times: NDArray[np.float64]) -> list[Gap]:
        """Return where frames were lost among those that came at `times` (n,) seconds, after reading to the end."""
        lost = Counter(self._uncounted)
        missed = () if self._is_numbered else self._missed
        ticks = np.array(sorted(missed), np.float64) * float(self._stream.time_base)
        lost.update(np.searchsorted(times, ticks).tolist())
        return [Gap(before=int(before), frames=count) for before, count in sorted(lost.items())]

    def _demux(self) -> Iterator[Any]:
        """Yield all packets; one that cannot be read is counted, as is what the container's reader skips with a complaint."""
        import av

        failures = 0
        packets = self._container.demux()
        while failures < _MOST_FAILURES:
            with av.logging.Capture(local=True) as said:
                try:
                    packet = next(packets, None)
                except (av.FFmpegError, OSError):
                    failures += 1
                    self._distrust()
                    packets = self._container.demux()
                    continue
            if packet is None:
                return
            if _is_complaint(said):
                self._distrust()
            failures = 0
            yield packet

    def _decode(self, packet: Any) -> list[Any]:
        import av

        if packet.pts is not None:
            self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != self._stream.index:
            return []
        self._fed += bool(packet.size)
        if packet.size and packet.pts is None and packet.dts is None:
            packet.pts, self._is_numbered = self._fed, True  # no time, but it tells which packet a frame comes from
        if packet.is_corrupt:
            self._distrust()
        elif packet.is_keyframe:
            self._key_fed, self._newest_key = not self._trusted, packet.pts
        if not self._trusted and packet.pts is not None and packet.size and not packet.is_discard:
            self._missed.add(packet.pts)
        with av.logging.Capture(local=True) as said:
            try:
                frames = list(packet.decode())
            except (av.FFmpegError, OSError):
                frames = None
        if frames is None or _is_complaint(said):
            self._distrust()
            if packet.pts is not None and packet.size:
                self._missed.add(packet.pts)
        return frames or []

    def _distrust(self) -> None:
        """A packet is damaged: what comes out from here to the next key frame is built on a picture that is not there."""
        self.failed += 1
        if self._trusted:
            self._behind = self._fed - self._shown - 1
        self._trusted = self._key_fed = False

    def _trust(self, frame: Any) -> bool:
        """Say whether a frame is what was filmed."""
        if frame.is_corrupt:
            self._distrust()
            late = frame.pts is not None and self._newest_key is not None and frame.pts < self._newest_key
            self._key_fed = late  # it comes out when the key frame that ends the damage is in already
        elif frame.key_frame and self._key_fed and (self._newest_key is None or (frame.pts or 0) >= self._newest_key):
            self._settle()
            self._trusted, self._key_fed = True, False
        return self._trusted

    def _settle(self) -> None:
        """Count what a damage has cost in a stream whose packets have no times, and let its clock go on by as much."""
        if not self._is_numbered:
            return
        lost = max(1, self._fed - self._shown - self._behind)
        self._uncounted[self._shown] += lost
        self._clock.skip(lost)


class _Clock:
    """Strictly increasing seconds from presentation times: a missing one lies a step, a repeated one 10 µs after the last.

    AVI knows no presentation times, only the order of its packets: the time at which a frame comes out of the decoder counts there.
    """

    def __init__(self, stream: Any, *, by_decoding: bool) -> None:
        self.rate = float(stream.average_rate or stream.guessed_rate or 25)
        self.has_times = True
        self._by_decoding = by_decoding
        self._step = 1 / self.rate
        self._last: float | None = None
        self._next = 0.0

    def read(self, frame: Any, *, has_time: bool) -> float:
        """Return the time of the next frame."""
        ticks = frame.dts if self._by_decoding else frame.pts if has_time else None
        self.has_times = self._by_decoding or ticks is not None
        time = self._next if ticks is None else float(ticks * frame.time_base)
        if self._last is not None:
            if time > self._last + STEP:
                self._step = time - self._last
            time = max(time, self._last + STEP)
        self._last, self._next = time, time + self._step
        return time

    def skip(self, frames: int) -> None:
        """Let the time of so many frames go by."""
        self._next += frames / self.rate


def find_gaps(times: NDArray[np.float64], lost: Sequence[Gap]) -> tuple[Gap, ...]:
    """Return all gaps of a video in order: what its decoder lost, and at a constant rate every step of 1.5 frames and more.

    The rate is constant if nine in ten steps are within a fifth of their median; a step there says where and how many, and `lost`
    adds only what is missing before the first frame and after the last.

    Args:
        times: (n,) seconds of the frames, strictly increasing.
        lost: what `Decoder.list_lost` returned.
    """
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) >= _LEAST_STEPS else 0.0
    if usual <= 0 or (np.abs(steps - usual) < 0.2 * usual).mean() < 0.9:
        return tuple(lost)
    missing = np.rint(steps / usual).astype(np.int64) - 1
    jumps = [Gap(before=int(i) + 1, frames=int(missing[i])) for i in np.flatnonzero(missing >= 1)]
    ends = [gap for gap in lost if gap.before in (0, len(times))]
    return tuple(sorted([*jumps, *ends], key=lambda gap: gap.before))
