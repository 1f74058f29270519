"""Pictures of one student over one window, all of the same square region: what models of pictures are given beside the poses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from curation.sequences import read_by_clip
from curation.tubelets import plan_windows
from schemas.checks import check_array
from schemas.errors import InvalidField, MediaError
from schemas.records import Clip, PoseTrack, Tubelet

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.formats.base import ExportItem
    from curation.store import ArrayStore

__all__ = ["CROP_LIMITS", "add_crops", "cut_region", "find_region"]

CROP_LIMITS = (8, 512)
"""Smallest and largest side of a crop in px."""
_MARGIN = 0.1

Region = tuple[float, float, float, float]
ReadFrames = Callable[[Clip, Sequence[int]], Iterator[tuple[int, float, NDArray[np.uint8]]]]


def find_region(boxes_xyxy: NDArray[Any], *, margin: float = _MARGIN) -> Region:
    """Return the square (x1, y1, x2, y2) px around all boxes (S, 4) that are known, wider by `margin` of its side all around.

    What moves in pictures of it is the student, not the region. It may reach over the frame's edge.

    Raises:
        InvalidField: if no box is known.
    """
    boxes = check_array("boxes_xyxy", boxes_xyxy, (None, 4)).astype(np.float64)
    known = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(known):
        raise InvalidField("boxes_xyxy", "a box in at least one frame", "none")
    low, high = known[:, :2].min(axis=0), known[:, 2:].max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()), 2.0) * (0.5 + margin)
    (x1, y1), (x2, y2) = (middle - half).tolist(), (middle + half).tolist()
    return x1, y1, x2, y2


def cut_region(rgb: NDArray[np.uint8], region: Region, size: int) -> NDArray[np.uint8]:
    """Return the region of a frame (H, W, 3) as (size, size, 3); beyond the frame its edge is repeated."""
    import cv2

    x1, y1, x2, y2 = (round(v) for v in region)
    height, width = rgb.shape[:2]
    inside = rgb[np.clip(y1, 0, height - 1) : np.clip(y2, 1, height), np.clip(x1, 0, width - 1) : np.clip(x2, 1, width)]
    edges = max(-y1, 0), max(y2 - height, 0), max(-x1, 0), max(x2 - width, 0)
    whole = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REPLICATE) if any(edges) else inside
    method = cv2.INTER_AREA if whole.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(whole, (size, size), interpolation=method), np.uint8)


def add_crops(
    workspace: Workspace, arrays: ArrayStore, items: Sequence[ExportItem], read: ReadFrames, size: int
) -> list[ExportItem]:
    """Return the items with `crops` (S, size, size, 3): the frames that the poses were sampled from; every clip is read once.

    Args:
        workspace: gives window and fps.
        arrays: holds the boxes.
        items: what is exported.
        read: gives frames as they may be shown; see `curation.privacy.open_shown_frames`.
        size: px.

    Raises:
        InvalidField: if `size` is out of `CROP_LIMITS`.
        MediaError: if a clip's file is gone, cannot be read, or is not what was added.
    """
    from curation.media import hash_file

    if not CROP_LIMITS[0] <= size <= CROP_LIMITS[1]:
        raise InvalidField("crops", f"a side from {CROP_LIMITS[0]} to {CROP_LIMITS[1]} px", size)
    tubelets = [_as_tubelet(item) for item in items]
    cut: dict[int, NDArray[np.uint8]] = {}
    for clip_id, rows, tracks in read_by_clip(arrays, tubelets):
        clip = next(items[row].clip for row in rows if items[row].clip.id == clip_id)
        if hash_file(clip.uri) != clip.sha256:
            raise MediaError(clip.uri, "has changed since it was added; its pictures would not fit the labels")
        plans = _plan_samples(workspace, clip)
        samples = {row: _choose_samples(plans, tubelets[row], len(items[row].sequence)) for row in rows.tolist()}
        regions = {row: _choose_region(tracks[tubelets[row].track_id], tubelets[row]) for row in samples}
        cut |= _read_crops(clip, samples, regions, read, size)
    return [evolve(item, crops=cut[row]) for row, item in enumerate(items)]


def _as_tubelet(item: ExportItem) -> Tubelet:
    record = item.record
    return Tubelet(
        id=record.tubelet_id, clip_id=record.clip_id, track_id=record.track_id, first=record.first, last=record.last
    )  # fmt: skip


def _plan_samples(workspace: Workspace, clip: Clip) -> dict[tuple[int, int], NDArray[np.int64]]:
    settings = workspace.config.preannotation
    plans = plan_windows(clip.timestamps, window=settings.window, fps=settings.fps, gaps=clip.gaps)
    return {(plan.first, plan.last): plan.samples for plan in plans}


def _choose_samples(plans: dict[tuple[int, int], NDArray[np.int64]], tubelet: Tubelet, n_samples: int) -> NDArray[np.int64]:
    """Return the frames (S,) of a tubelet; where nothing was shown, the frame before, or the first one."""
    planned = plans.get((tubelet.first, tubelet.last))
    if planned is None:
        return np.linspace(tubelet.first, tubelet.last, n_samples).round().astype(np.int64)
    shown = np.maximum.accumulate(planned)
    return np.where(shown < 0, tubelet.first, shown)


def _choose_region(track: PoseTrack, tubelet: Tubelet) -> Region:
    inside = (track.frames >= tubelet.first) & (track.frames <= tubelet.last)
    boxes = track.boxes_xyxy[inside & ~track.filled] if (inside & ~track.filled).any() else track.boxes_xyxy
    return find_region(boxes)


def _read_crops(
    clip: Clip, samples: dict[int, NDArray[np.int64]], regions: dict[int, Region], read: ReadFrames, size: int
) -> dict[int, NDArray[np.uint8]]:
    waiting: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, frames in samples.items():
        for place, frame in enumerate(frames.tolist()):
            waiting[frame].append((row, place))
    crops: dict[int, NDArray[np.uint8]] = {row: np.zeros((len(frames), size, size, 3), np.uint8) for row, frames in samples.items()}
    for index, _, rgb in read(clip, sorted(waiting)):
        for row, place in waiting.pop(index, ()):
            crops[row][place] = cut_region(rgb, regions[row], size)
    if waiting:
        raise MediaError(clip.uri, f"ended before frame {min(waiting)}")
    return crops
