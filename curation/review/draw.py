"""The pictures of a tile: skeleton, still moments, the bar of time; and the video that they become."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

__all__ = ["encode_tile", "lay_out"]

_BONE, _JOINT, _BAR = (53, 224, 255), (255, 255, 255), (255, 205, 60)
_BAR_HEIGHT = 4
_GAP = 2

_Picture = NDArray[np.uint8]


def lay_out(
    pictures: Sequence[_Picture],
    points: Sequence[NDArray[np.float64]],
    edges: Sequence[tuple[int, int]],
    *,
    moments: Sequence[int],
    seconds: Sequence[float],
) -> list[_Picture]:
    """Return the pictures of a tile: the moving half with its skeleton on the left, the still moments on the right.

    Args:
        pictures: (H, W, 3) each, RGB; width and height even.
        points: (V, 2) px for each picture, NaN where unseen.
        edges: pairs of keypoints.
        moments: which of the pictures stand still on the right, 1 to 4.
        seconds: of each picture, since the first one.
    """
    stills = _draw_stills(pictures, moments, seconds)
    total = seconds[-1] or 1.0
    tiles = []
    for picture, pose, second in zip(pictures, points, seconds, strict=True):
        left = _draw_skeleton(picture.copy(), pose, edges)
        if len(pictures) > 1:
            left[-_BAR_HEIGHT:] = (30, 30, 30)
            left[-_BAR_HEIGHT:, : round(left.shape[1] * second / total)] = _BAR
        tiles.append(np.concatenate([left, stills], axis=1))
    return tiles


def encode_tile(pictures: Sequence[_Picture], *, rate: float, crf: int) -> bytes:
    """Return an MP4 (H.264, no sound) of pictures (H, W, 3) RGB; equal pictures give equal bytes."""
    import av

    stream_of_bytes = io.BytesIO()
    options = {"fflags": "+bitexact"}
    with av.open(stream_of_bytes, "w", format="mp4", options=options) as out:
        stream = out.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "fastdecode", "crf": str(crf), "threads": "1", "g": "12"}
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
    return stream_of_bytes.getvalue()


def _draw_skeleton(picture: _Picture, points: NDArray[np.float64], edges: Sequence[tuple[int, int]]) -> _Picture:
    import cv2

    seen: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=1))
    at = np.where(seen[:, None], points, 0).round().astype(int)
    for a, b in edges:
        if seen[a] and seen[b]:
            cv2.line(picture, tuple(map(int, at[a])), tuple(map(int, at[b])), _BONE, 2, cv2.LINE_AA)
    for node in np.flatnonzero(seen):
        cv2.circle(picture, tuple(map(int, at[node])), 2, _JOINT, -1, cv2.LINE_AA)
    return picture


def _draw_stills(pictures: Sequence[_Picture], moments: Sequence[int], seconds: Sequence[float]) -> _Picture:
    """Return up to four pictures as a square of two by two; one alone fills the half."""
    import cv2

    height, width = pictures[0].shape[:2]
    if len(moments) == 1:
        return pictures[moments[0]]
    canvas = np.full((height, width, 3), 24, np.uint8)
    small = width // 2 - _GAP, height // 2 - _GAP
    for place, moment in enumerate(moments):
        picture = cv2.resize(pictures[moment], small, interpolation=cv2.INTER_AREA)
        _write_seconds(picture, seconds[moment])
        x, y = (place % 2) * width // 2 + _GAP, (place // 2) * height // 2 + _GAP
        canvas[y : y + small[1], x : x + small[0]] = picture[: height - y, : width - x]
    return canvas


def _write_seconds(picture: _Picture, second: float) -> None:
    import cv2

    text = f"{second:.1f} s"
    width, height = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.38, 1)[0]
    cv2.rectangle(picture, (3, 3), (width + 9, height + 9), (30, 30, 30), -1)
    cv2.putText(picture, text, (6, height + 6), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1, cv2.LINE_AA)
