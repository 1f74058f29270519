"""Writing frames as H.264 in mp4: one encoder thread and no clock in the file, so that equal frames give equal bytes."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.files import replace_file

__all__ = ["write_video"]


def write_video(path: str | Path, frames: Iterable[NDArray[np.uint8]], *, fps: float, size: tuple[int, int], crf: int = 23) -> None:
    """Encode RGB frames (H, W, 3) of `size` (width, height) at `fps`; the file appears whole or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    import av

    with replace_file(path) as stream, av.open(stream, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1
        video.options = {"preset": "superfast", "crf": str(crf), "flags": "+bitexact"}
        for image in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
