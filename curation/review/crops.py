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
from numpy.typing import NDArray

from curation.config import Workspace
from curation.engines.local import count_cores
from curation.privacy import ShowFrames, open_shown_frames
from curation.review.draw import encode_tile, lay_out
from curation.review.tiles import LAYOUT, Tile, find_marks, project_pose, tile_path
from curation.side_by_side import map_side_by_side
from schemas.errors import MediaError
from schemas.files import write_bytes, write_text
from schemas.records import Clip, PoseTrack, Tubelet
from schemas.vocabulary import Skeleton

__all__ = ["check_layout", "write_tiles"]


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
        if not tile_path(workspace, tubelet, tiles[tubelet.id].faults).is_file():
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

    def hand_in(self, path: Path, pictures: list[NDArray[np.uint8]], tile: Tile, track: PoseTrack, skeleton: Skeleton) -> None:
        """Write the tile of `pictures`, later; raises what went wrong with an earlier one. May be called by several threads."""
        with self._turn:
            while len(self._under_way) >= self._most:
                self._under_way.popleft().result()
            self._under_way.append(self._pool.submit(_write_tile, path, pictures, tile, track, skeleton))


def _write_tile(path: Path, pictures: list[NDArray[np.uint8]], tile: Tile, track: PoseTrack, skeleton: Skeleton) -> None:
    """Write a tile in the place of any other of the same tubelet."""
    points = [project_pose(tile, track.pose_px[row]) for row in tile.rows]
    since = [second - tile.seconds[0] for second in tile.seconds]
    marks = find_marks(tile, track, skeleton.nodes) if tile.faults else None
    frames = lay_out(pictures, points, skeleton.edges, moments=tile.moments, seconds=since, marks=marks)
    frames = frames * 2 if len(frames) == 1 else frames
    write_bytes(path, encode_tile(frames, rate=tile.rate, crf=int(LAYOUT["crf"])))
    for other in path.parent.glob(f"{tile.tubelet_id}*.mp4"):
        if other != path:
            other.unlink(missing_ok=True)


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
        self.paths = {tubelet.id: tile_path(workspace, tubelet, tiles[tubelet.id].faults) for tubelet in tubelets}
        self.tracks = {tubelet.id: tracks[tubelet.track_id] for tubelet in tubelets}
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
        self.encoders.hand_in(self.paths[tubelet_id], self.pictures.pop(tubelet_id), tile, self.tracks[tubelet_id], self.skeleton)


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
