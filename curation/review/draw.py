"""The pictures of a tile: skeleton, still moments, the bar of time; and the video that they become."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["Marks", "encode_tile", "lay_out"]

_BONE, _JOINT, _BAR = (53, 224, 255), (255, 255, 255), (255, 205, 60)
_WRONG = (255, 45, 85)
"""What cannot be right, wherever it is drawn."""
_BAR_HEIGHT = 4
_GAP, _TICK = 2, 3

_Picture = NDArray[np.uint8]


@frozen(kw_only=True, eq=False)
class Marks:
    """What cannot be right in one picture: keypoints with their places (2,) px, which may lie outside, and the box (4,) px."""

    points: Mapping[int, NDArray[np.float64]]
    box: NDArray[np.float64] | None = None

    def __bool__(self) -> bool:
        return bool(self.points) or self.box is not None


def lay_out(
    pictures: Sequence[_Picture],
    points: Sequence[NDArray[np.float64]],
    edges: Sequence[tuple[int, int]],
    *,
    moments: Sequence[int],
    seconds: Sequence[float],
    marks: Sequence[Marks] | None = None,
) -> list[_Picture]:
    """Return the pictures of a tile: the moving half with its skeleton on the left, the still moments on the right.

    What cannot be right is drawn in red, and so are its moments in the bar of time.

    Args:
        pictures: (H, W, 3) each, RGB; width and height even.
        points: (V, 2) px for each picture, NaN where unseen.
        edges: pairs of keypoints.
        moments: which of the pictures stand still on the right, 1 to 4.
        seconds: of each picture, since the first one.
        marks: what cannot be right in each picture.
    """
    stills = _draw_stills(pictures, moments, seconds)
    total = seconds[-1] or 1.0
    wrong = [second / total for mark, second in zip(marks or (), seconds, strict=False) if mark]
    tiles = []
    for number, (picture, pose, second) in enumerate(zip(pictures, points, seconds, strict=True)):
        left = _draw_skeleton(picture.copy(), pose, edges)
        if marks is not None and marks[number]:
            _draw_marks(left, pose, edges, marks[number])
        if len(pictures) > 1:
            _draw_bar(left, second / total, wrong)
        tiles.append(np.concatenate([left, stills], axis=1))
    return tiles


def _draw_bar(picture: _Picture, share: float, wrong: Sequence[float]) -> None:
    width = picture.shape[1]
    picture[-_BAR_HEIGHT:] = (30, 30, 30)
    picture[-_BAR_HEIGHT:, : round(width * share)] = _BAR
    for moment in wrong:
        at = min(round(width * moment), width - _TICK)
        picture[-2 * _BAR_HEIGHT :, at : at + _TICK] = _WRONG


def _draw_marks(picture: _Picture, points: NDArray[np.float64], edges: Sequence[tuple[int, int]], marks: Marks) -> None:
    import cv2

    places = {**{i: points[i] for i in range(len(points)) if np.isfinite(points[i]).all()}, **marks.points}
    at = {i: (round(float(x)), round(float(y))) for i, (x, y) in places.items()}
    for a, b in edges:
        if a in at and b in at and (a in marks.points or b in marks.points):
            cv2.line(picture, at[a], at[b], _WRONG, 2, cv2.LINE_AA)
    for node in marks.points:
        cv2.circle(picture, at[node], 5, _WRONG, -1, cv2.LINE_AA)
        cv2.circle(picture, at[node], 6, _JOINT, 1, cv2.LINE_AA)
    if marks.box is not None:
        x1, y1, x2, y2 = (round(float(v)) for v in marks.box)
        cv2.rectangle(picture, (x1, y1), (x2, y2), _WRONG, 2, cv2.LINE_AA)


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
