"""What a curator sees of a label: a short silent video that loops, 480 x 320.

On the left one student over the window, in real time, with the skeleton drawn; a bar at the foot says where in the window it is.
On the right four moments of the same window without anything drawn, so that a page of tiles can be judged before the mouse is on
any. All pictures show the same fixed region of the frame, so that what moves is the student and not the crop. Tiles are derived:
they can be deleted at any time.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.config import Workspace
from curation.engines.local import count_cores
from curation.privacy import ShowFrames, open_shown_frames
from curation.review.draw import encode_tile, lay_out
from curation.side_by_side import map_side_by_side
from schemas.errors import MediaError
from schemas.files import write_bytes, write_text
from schemas.records import Clip, PoseTrack, Tubelet
from schemas.vocabulary import Skeleton

__all__ = ["LAYOUT", "Tile", "plan_tile", "project_pose", "tile_path", "write_tiles"]

LAYOUT: dict[str, float] = {"version": 3, "moments": 4, "width": 240, "height": 320, "most": 36, "margin": 0.15, "crf": 26}
"""How a tile looks (`width` x `height`: the moving half); tiles made with another layout are made again."""

Edges = Sequence[tuple[int, int]]

VISIBLE = 0.3
"""Keypoints below this visibility are not drawn."""

_STILL_SECONDS = 1.0
"""How long the tile of a still image lasts."""


@frozen(kw_only=True)
class Tile:
    """What a tile shows: the region `region_xyxy` (px, may reach over the frame's edge) of each of `frames`, at `seconds`.

    `rows` are the frames' rows in the track.
    """

    tubelet_id: str
    clip_id: str
    frames: tuple[int, ...]
    rows: tuple[int, ...]
    seconds: tuple[float, ...]
    region_xyxy: tuple[int, int, int, int]

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


def tile_path(workspace: Workspace, tubelet: Tubelet) -> Path:
    """Return where the tile of a tubelet lies."""
    return workspace.root / "crops" / "tubelets" / tubelet.clip_id / f"{tubelet.id}.mp4"


def plan_tile(tubelet: Tubelet, track: PoseTrack, clip: Clip) -> Tile:
    """Choose the frames of the window in which the student is seen (36 at most), and one region that holds the student in all.

    The region has the picture's proportions and lies inside the frame where it fits.
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
    )


def project_pose(tile: Tile, pose_px: NDArray[np.float32]) -> NDArray[np.float64]:
    """Map a pose (V, 4) in full-frame px to points (V, 2) in px of the moving half; NaN where unseen, faint or outside of it."""
    x1, y1, x2, y2 = tile.region_xyxy
    unit = (pose_px[:, :2].astype(np.float64) - (x1, y1)) / (x2 - x1, y2 - y1)
    with np.errstate(invalid="ignore"):
        hidden = ~((unit >= 0) & (unit <= 1)).all(axis=1) | ~(pose_px[:, 3] >= VISIBLE)
    unit[hidden] = np.nan
    return unit * (LAYOUT["width"], LAYOUT["height"])


def write_tiles(
    workspace: Workspace,
    clips: Mapping[str, Clip],
    tubelets: Iterable[Tubelet],
    tiles: Mapping[str, Tile],
    tracks: Mapping[str, PoseTrack],
) -> dict[str, str]:
    """Write the tiles that are missing, decoding each clip once; return {clip id: reason} for media that could not be read.

    Tiles are drawn and encoded beside the decoding, on the cores that there are; their bytes do not depend on how many. Heads or
    faces are covered where the workspace says so; see `curation.privacy`.

    Args:
        workspace: where `crops/` lies.
        clips: by id, the clips of the tubelets.
        tubelets: whose tiles are wanted.
        tiles: their plans, by tubelet id.
        tracks: by id, the tracks of the tubelets.
    """
    check_layout(workspace)
    wanted: dict[str, list[Tubelet]] = defaultdict(list)
    for tubelet in tubelets:
        if not tile_path(workspace, tubelet).is_file():
            wanted[tubelet.clip_id].append(tubelet)
    problems: dict[str, str] = {}
    if not wanted:
        return problems
    with open_shown_frames(workspace) as show, _Encoders(count_cores()) as encoders:

        def write_clip(clip_id: str) -> None:
            try:
                _Writer(workspace, clips[clip_id], wanted[clip_id], tiles, tracks, encoders).run(show)
            except MediaError as error:
                problems[clip_id] = str(error)

        deque(map_side_by_side(write_clip, sorted(wanted)), maxlen=0)
    return dict(sorted(problems.items()))


def check_layout(workspace: Workspace) -> None:
    """Delete tiles of another layout, and the filmstrips of earlier versions."""
    folder = workspace.root / "crops" / "tubelets"
    stamp, text = folder / "layout.json", json.dumps(LAYOUT, sort_keys=True) + "\n"
    if stamp.is_file() and stamp.read_text("utf-8") == text:
        return
    for stale in (*folder.glob("*/*.jpg"), *folder.glob("*/*.mp4")):
        stale.unlink()
    write_text(stamp, text)


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


class _Encoders:
    """Threads that draw, encode and write tiles; who hands in a tile waits while many are under way, so that few are held."""

    def __init__(self, threads: int) -> None:
        self._pool, self._most = ThreadPoolExecutor(threads, thread_name_prefix="tiles"), 2 * threads
        self._under_way: deque[Future[None]] = deque()
        self._turn = Lock()

    def __enter__(self) -> _Encoders:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        while self._under_way and kind is None:
            self._under_way.popleft().result()

    def hand_in(self, path: Path, pictures: list[NDArray[np.uint8]], tile: Tile, poses: NDArray[np.float32], edges: Edges) -> None:
        """Write the tile of `pictures`, later; raises what went wrong with an earlier one. May be called by several threads."""
        with self._turn:
            while len(self._under_way) >= self._most:
                self._under_way.popleft().result()
            self._under_way.append(self._pool.submit(_write_tile, path, pictures, tile, poses, edges))


def _write_tile(path: Path, pictures: list[NDArray[np.uint8]], tile: Tile, poses: NDArray[np.float32], edges: Edges) -> None:
    points = [project_pose(tile, poses[row]) for row in tile.rows]
    since = [second - tile.seconds[0] for second in tile.seconds]
    frames = lay_out(pictures, points, edges, moments=tile.moments, seconds=since)
    frames = frames * 2 if len(frames) == 1 else frames
    write_bytes(path, encode_tile(frames, rate=tile.rate, crf=int(LAYOUT["crf"])))


class _Writer:
    """Writes the tiles of one clip as its frames go by; a tile's pictures are held until its last one is there."""

    def __init__(
        self,
        workspace: Workspace,
        clip: Clip,
        tubelets: Sequence[Tubelet],
        tiles: Mapping[str, Tile],
        tracks: Mapping[str, PoseTrack],
        encoders: _Encoders,
    ) -> None:
        self.clip, self.tiles, self.encoders = clip, tiles, encoders
        self.paths = {tubelet.id: tile_path(workspace, tubelet) for tubelet in tubelets}
        self.poses = {tubelet.id: tracks[tubelet.track_id].pose_px for tubelet in tubelets}
        self.skeleton: Skeleton = workspace.taxonomy.skeleton
        self.pictures: dict[str, list[NDArray[np.uint8]]] = {tubelet.id: [] for tubelet in tubelets}

    def run(self, show: ShowFrames) -> None:
        waiting: dict[int, list[str]] = defaultdict(list)
        for tubelet_id in self.paths:
            for frame in self.tiles[tubelet_id].frames:
                waiting[frame].append(tubelet_id)
        for frame, _, rgb in show(self.clip, sorted(waiting)):
            for tubelet_id in waiting.pop(frame, ()):
                self._take(tubelet_id, rgb)
        if waiting:
            raise MediaError(self.clip.uri, f"ended before frame {min(waiting)}")

    def _take(self, tubelet_id: str, rgb: NDArray[np.uint8]) -> None:
        tile, pictures = self.tiles[tubelet_id], self.pictures[tubelet_id]
        pictures.append(cut_region(rgb, tile.region_xyxy))
        if len(pictures) < len(tile.frames):
            return
        self.encoders.hand_in(
            self.paths[tubelet_id], self.pictures.pop(tubelet_id), tile, self.poses[tubelet_id], self.skeleton.edges
        )


def cut_region(rgb: NDArray[np.uint8], region_xyxy: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Cut a region out of a frame in the size of the moving half; what lies over the frame's edge is dark."""
    import cv2

    x1, y1, x2, y2 = region_xyxy
    height, width = rgb.shape[:2]
    crop = rgb[max(y1, 0) : min(y2, height), max(x1, 0) : min(x2, width)]
    edges = max(-y1, 0), max(y2 - height, 0), max(-x1, 0), max(x2 - width, 0)
    if any(edges):
        crop = cv2.copyMakeBorder(crop, *edges, cv2.BORDER_CONSTANT, value=(40, 40, 40))
    size = int(LAYOUT["width"]), int(LAYOUT["height"])
    picture = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if crop.shape[0] > size[1] else cv2.INTER_CUBIC)
    return np.asarray(picture, np.uint8)
