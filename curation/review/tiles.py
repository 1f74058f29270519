"""What a tile shows: which frames, which region of them, what is marked, and where it lies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.config import Workspace
from curation.review.draw import Marks
from schemas.records import Clip, PoseTrack, Tubelet
from schemas.scores import Fault

__all__ = ["LAYOUT", "Tile", "find_marks", "plan_tile", "project_pose", "tile_path"]

LAYOUT: dict[str, float] = {"version": 3, "moments": 4, "width": 240, "height": 320, "most": 36, "margin": 0.15, "crf": 26}
"""How a tile looks (`width` x `height`: the moving half); tiles made with another layout are made again."""

VISIBLE = 0.3
"""Keypoints below this visibility are not drawn."""

_STILL_SECONDS = 1.0
"""How long the tile of a still image lasts."""


@frozen(kw_only=True)
class Tile:
    """What a tile shows: the region `region_xyxy` (px, may reach over the frame's edge) of each of `frames`, at `seconds`.

    `rows` are the frames' rows in the track. `faults` are marked: keypoints and boxes that cannot be right.
    """

    tubelet_id: str
    clip_id: str
    frames: tuple[int, ...]
    rows: tuple[int, ...]
    seconds: tuple[float, ...]
    region_xyxy: tuple[int, int, int, int]
    faults: tuple[Fault, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the video, px."""
        return 2 * int(LAYOUT["width"]), int(LAYOUT["height"])

    @property
    def n_pictures(self) -> int:
        """Pictures of the video: a still image is shown twice, since a video of one picture has no length."""
        return max(len(self.frames), 2)

    @property
    def rate(self) -> float:
        """Pictures a second, so that the video takes as long as the window did."""
        span = self.seconds[-1] - self.seconds[0]
        return round((len(self.frames) - 1) / span, 3) if span > 0 else 2 / _STILL_SECONDS

    @property
    def moments(self) -> tuple[int, ...]:
        """Which of `frames` are the still pictures: up to four, evenly spaced, first and last among them."""
        n = len(self.frames)
        return tuple(int(i) for i in np.unique(np.linspace(0, n - 1, int(LAYOUT["moments"])).round().astype(int)))


def tile_path(workspace: Workspace, tubelet: Tubelet, faults: Sequence[Fault] = ()) -> Path:
    """Return where the tile of a tubelet lies; one with marks has a name of its own, so that a browser never keeps an old one."""
    told = [f"{fault.part} {fault.frame} {fault.first} {fault.last}" for fault in faults]
    mark = f"-{hashlib.sha256('; '.join(told).encode()).hexdigest()[:8]}" if told else ""
    return workspace.root / "crops" / "tubelets" / tubelet.clip_id / f"{tubelet.id}{mark}.mp4"


def plan_tile(tubelet: Tubelet, track: PoseTrack, clip: Clip, faults: Sequence[Fault] = ()) -> Tile:
    """Choose the frames of the window in which the student is seen (36 at most), and one region that holds the student in all.

    The region has the picture's proportions and lies inside the frame where it fits. `faults` are marked in the tile.
    """
    inside = np.flatnonzero((track.frames >= tubelet.first) & (track.frames <= tubelet.last))
    if inside.size == 0:
        inside = np.array([np.abs(track.frames - (tubelet.first + tubelet.last) / 2).argmin()])
    most = int(LAYOUT["most"])
    picked = inside if inside.size <= most else inside[np.linspace(0, inside.size - 1, most).round().astype(int)]
    boxes = track.boxes_xyxy[picked]
    union = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    frames = track.frames[picked].clip(0, clip.n_frames - 1)
    return Tile(
        tubelet_id=tubelet.id,
        clip_id=clip.id,
        frames=tuple(int(f) for f in frames),
        rows=tuple(int(row) for row in picked),
        seconds=tuple(float(clip.timestamps[f]) for f in frames),
        region_xyxy=_fit_region(union.astype(np.float64), clip.width, clip.height),
        faults=tuple(faults),
    )


def project_pose(tile: Tile, pose_px: NDArray[np.float32]) -> NDArray[np.float64]:
    """Map a pose (V, 4) in full-frame px to points (V, 2) in px of the moving half; NaN where unseen, faint or outside of it."""
    unit = _to_region(tile, pose_px[:, :2])
    with np.errstate(invalid="ignore"):
        hidden = ~((unit >= 0) & (unit <= 1)).all(axis=1) | ~(pose_px[:, 3] >= VISIBLE)
    unit[hidden] = np.nan
    return unit * (LAYOUT["width"], LAYOUT["height"])


def find_marks(tile: Tile, track: PoseTrack, names: Sequence[str]) -> list[Marks]:
    """Return what cannot be right in each of the tile's pictures, in px of the moving half, where a thing is outside of it too.

    Args:
        tile: its faults are looked for.
        track: the person.
        names: (V,) of the keypoints.
    """
    size = LAYOUT["width"], LAYOUT["height"]
    marks = []
    for number, row in enumerate(tile.rows):
        told = {fault.part for fault in tile.faults if _is_shown(tile, fault, number)}
        chosen = range(len(names)) if "skeleton" in told else [i for i, name in enumerate(names) if name in told]
        places = _to_region(tile, track.pose_px[row, :, :2]) * size
        box = (_to_region(tile, track.boxes_xyxy[row].reshape(2, 2)) * size).ravel() if "box" in told else None
        marks.append(Marks(points={i: places[i] for i in chosen if np.isfinite(places[i]).all()}, box=box))
    return marks


def _is_shown(tile: Tile, fault: Fault, number: int) -> bool:
    """Say whether a fault is in a picture: between its first and last frame, or, where all those are left out, nearest to it."""
    frames = np.array(tile.frames)
    inside = (frames >= fault.first) & (frames <= fault.last)
    return bool(inside[number]) if inside.any() else number == int(np.abs(frames - fault.frame).argmin())


def _to_region(tile: Tile, places_px: NDArray[np.float32]) -> NDArray[np.float64]:
    x1, y1, x2, y2 = tile.region_xyxy
    return np.asarray((places_px.astype(np.float64) - (x1, y1)) / (x2 - x1, y2 - y1))


def _fit_region(box_xyxy: NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = box_xyxy
    w, h = (x2 - x1) * (1 + 2 * LAYOUT["margin"]), (y2 - y1) * (1 + 2 * LAYOUT["margin"])
    aspect = LAYOUT["width"] / LAYOUT["height"]
    tall = max(h, w / aspect, 8.0)
    size = np.ceil([tall * aspect, tall])
    corner = np.floor(np.array([x1 + x2, y1 + y2]) / 2 - size / 2)
    room = np.array([width, height]) - size
    corner = np.where(room >= 0, corner.clip(0, np.maximum(room, 0)), np.floor(room / 2))
    left, top = (int(v) for v in corner)
    return left, top, left + int(size[0]), top + int(size[1])
