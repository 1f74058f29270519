"""Filmstrips: one JPEG per tubelet that shows one student at up to four moments of the window, side by side.

A behaviour is a motion, so one picture of it is not enough to judge a label. All panels of a strip show the same fixed region of
the frame, so that what moves is the student and not the crop. Strips are derived: they can be deleted at any time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.config import Workspace
from curation.privacy import ShowFrames, open_shown_frames
from schemas.errors import FormatError, MediaError
from schemas.files import write_bytes, write_text
from schemas.records import Clip, PoseTrack, Tubelet

__all__ = ["LAYOUT", "Strip", "plan_strip", "project_pose", "strip_path", "write_strips"]

LAYOUT: dict[str, float] = {"version": 2, "moments": 4, "width": 240, "height": 320, "gap": 4, "margin": 0.15, "quality": 90}
"""How a strip looks; strips made with another layout are made again."""

VISIBLE = 0.3
"""Keypoints below this visibility are not drawn."""


@frozen(kw_only=True)
class Strip:
    """What a strip shows: the region `region_xyxy` (px, may reach over the frame's edge) of each of `frames`, at `seconds`."""

    tubelet_id: str
    clip_id: str
    frames: tuple[int, ...]
    seconds: tuple[float, ...]
    region_xyxy: tuple[int, int, int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture, px."""
        n = len(self.frames)
        return int(n * LAYOUT["width"] + (n - 1) * LAYOUT["gap"]), int(LAYOUT["height"])


def strip_path(workspace: Workspace, tubelet: Tubelet) -> Path:
    """Return where the strip of a tubelet lies."""
    return workspace.root / "crops" / "tubelets" / tubelet.clip_id / f"{tubelet.id}.jpg"


def plan_strip(tubelet: Tubelet, track: PoseTrack, clip: Clip) -> Strip:
    """Choose up to four evenly spaced moments at which the student is seen, and one region that holds the student at all of them.

    The region has the panels' proportions and lies inside the frame where it fits.
    """
    inside = np.flatnonzero((track.frames >= tubelet.first) & (track.frames <= tubelet.last))
    if inside.size == 0:
        inside = np.array([np.abs(track.frames - (tubelet.first + tubelet.last) / 2).argmin()])
    picked = inside[np.unique(np.linspace(0, inside.size - 1, int(LAYOUT["moments"])).round().astype(int))]
    boxes = track.boxes_xyxy[picked]
    union = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    frames = track.frames[picked].clip(0, clip.n_frames - 1)
    return Strip(
        tubelet_id=tubelet.id,
        clip_id=clip.id,
        frames=tuple(int(f) for f in frames),
        seconds=tuple(float(clip.timestamps[f]) for f in frames),
        region_xyxy=_fit_region(union.astype(np.float64), clip.width, clip.height),
    )


def project_pose(strip: Strip, panel: int, pose_px: NDArray[np.float32]) -> NDArray[np.float64]:
    """Map a pose (V, 4) in full-frame px to points (V, 2) in [0, 1] of the strip; NaN where unseen, faint or outside the panel."""
    x1, y1, x2, y2 = strip.region_xyxy
    width, height = strip.size
    unit = (pose_px[:, :2].astype(np.float64) - (x1, y1)) / (x2 - x1, y2 - y1)
    with np.errstate(invalid="ignore"):
        hidden = ~((unit >= 0) & (unit <= 1)).all(axis=1) | ~(pose_px[:, 3] >= VISIBLE)
    unit[hidden] = np.nan
    left = panel * (LAYOUT["width"] + LAYOUT["gap"])
    return np.stack([(left + unit[:, 0] * LAYOUT["width"]) / width, unit[:, 1] * LAYOUT["height"] / height], axis=1)


def write_strips(
    workspace: Workspace, clips: Mapping[str, Clip], tubelets: Iterable[Tubelet], strips: Mapping[str, Strip]
) -> dict[str, str]:
    """Write the strips that are missing, decoding each clip once; return {clip id: reason} for media that could not be read.

    Heads or faces are covered where the workspace says so; see `curation.privacy`.

    Args:
        workspace: where `crops/` lies.
        clips: by id, the clips of the tubelets.
        tubelets: whose strips are wanted.
        strips: their plans, by tubelet id.
    """
    _check_layout(workspace)
    problems: dict[str, str] = {}
    with open_shown_frames(workspace) as show:
        wanted: dict[str, list[Tubelet]] = defaultdict(list)
        for tubelet in tubelets:
            if not strip_path(workspace, tubelet).is_file():
                wanted[tubelet.clip_id].append(tubelet)
        for clip_id in sorted(wanted):
            try:
                _write_clip(workspace, clips[clip_id], wanted[clip_id], strips, show)
            except MediaError as error:
                problems[clip_id] = str(error)
    return problems


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


def _check_layout(workspace: Workspace) -> None:
    """Delete strips of another layout: their keypoints would not lie on them."""
    folder = workspace.root / "crops" / "tubelets"
    stamp, text = folder / "layout.json", json.dumps(LAYOUT, sort_keys=True) + "\n"
    if stamp.is_file() and stamp.read_text("utf-8") == text:
        return
    for stale in folder.glob("*/*.jpg"):
        stale.unlink()
    write_text(stamp, text)


def _write_clip(
    workspace: Workspace, clip: Clip, tubelets: Sequence[Tubelet], strips: Mapping[str, Strip], show: ShowFrames
) -> None:
    waiting: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for tubelet in tubelets:
        for panel, frame in enumerate(strips[tubelet.id].frames):
            waiting[frame].append((tubelet.id, panel))
    by_id = {tubelet.id: tubelet for tubelet in tubelets}
    panels: dict[str, list[Any]] = {tubelet.id: [None] * len(strips[tubelet.id].frames) for tubelet in tubelets}
    for frame, _, rgb in show(clip, sorted(waiting)):
        for tubelet_id, panel in waiting.pop(frame, ()):
            strip = strips[tubelet_id]
            panels[tubelet_id][panel] = _cut_panel(rgb, strip, panel)
            if all(p is not None for p in panels[tubelet_id]):
                write_bytes(strip_path(workspace, by_id[tubelet_id]), _encode(panels.pop(tubelet_id)))
    if waiting:
        raise MediaError(clip.uri, f"ended before frame {min(waiting)}")


def _cut_panel(rgb: NDArray[np.uint8], strip: Strip, panel: int) -> NDArray[np.uint8]:
    import cv2

    x1, y1, x2, y2 = strip.region_xyxy
    height, width = rgb.shape[:2]
    crop = rgb[max(y1, 0) : min(y2, height), max(x1, 0) : min(x2, width)]
    edges = max(-y1, 0), max(y2 - height, 0), max(-x1, 0), max(x2 - width, 0)
    if any(edges):
        crop = cv2.copyMakeBorder(crop, *edges, cv2.BORDER_CONSTANT, value=(40, 40, 40))
    size = int(LAYOUT["width"]), int(LAYOUT["height"])
    picture = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if crop.shape[0] > size[1] else cv2.INTER_CUBIC)
    if len(strip.frames) > 1:
        text = f"+{strip.seconds[panel] - strip.seconds[0]:.1f} s"
        width, height = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.55, 1)[0]
        right, bottom = size[0] - 6, height + 16
        cv2.rectangle(picture, (right - width - 10, 6), (right, bottom), (30, 30, 30), -1)
        cv2.putText(picture, text, (right - width - 5, bottom - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


def _encode(panels: Sequence[NDArray[np.uint8]]) -> bytes:
    import cv2

    gap = np.full((int(LAYOUT["height"]), int(LAYOUT["gap"]), 3), 255, np.uint8)
    row = [part for panel in panels for part in (panel, gap)][:-1]
    done, data = cv2.imencode(".jpg", np.concatenate(row, axis=1)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(LAYOUT["quality"])])
    if not done:
        raise FormatError("strip", "encoder", "a JPEG")
    return bytes(data)
