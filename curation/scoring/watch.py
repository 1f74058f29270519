"""Windows to look for faults in: those of a sequence file, and those of a workspace's tracks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.scoring.bodies import measure_usual
from curation.scoring.faults import Watched, find_faults
from schemas.records import Clip, PoseTrack, Tubelet
from schemas.scores import Fault
from schemas.sequences import SequenceSet

if TYPE_CHECKING:
    from curation.store import ArrayStore, Catalogue

__all__ = ["inspect_sequences", "inspect_tubelets"]

_GAP = 1.5
"""Usual steps between two sampled frames from which on they are no neighbours."""

_Rows = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Frames (T,) and the track's rows (T,) of them; −1 = a gap."""


def inspect_sequences(sequences: SequenceSet) -> list[tuple[Fault, ...]] | None:
    """Return for each sequence the keypoints that cannot be right; frames count from its beginning. None without a skeleton."""
    if sequences.skeleton is None:
        return None
    n, n_frames = sequences.pose.shape[:2]
    seconds = None if not sequences.fps else np.tile(np.arange(n_frames) / sequences.fps, (n, 1))
    return find_faults(Watched(pose=sequences.pose, seconds=seconds), sequences.skeleton)


def inspect_tubelets(
    catalogue: Catalogue, arrays: ArrayStore, tubelets: Sequence[Tubelet], sequences: SequenceSet
) -> list[tuple[Fault, ...]]:
    """Return for each tubelet the boxes and keypoints that cannot be right, at the clip's own frames and times.

    Frames in which the person is hidden, box and pose guessed, are not judged.

    Args:
        catalogue: holds the clips.
        arrays: holds boxes and poses.
        tubelets: N of them; every clip's arrays are read once.
        sequences: their poses and the skeleton, which say what is usual.
    """
    from curation.sequences import read_by_clip

    found: list[tuple[Fault, ...]] = [()] * len(tubelets)
    if sequences.skeleton is None:
        return found
    usual = measure_usual(sequences.pose, sequences.skeleton)
    for clip_id, rows, tracks in read_by_clip(arrays, tubelets):
        chosen = [tubelets[row] for row in rows.tolist()]
        seen = _watch_clip(catalogue.get_clip(clip_id), chosen, [tracks[tubelet.track_id] for tubelet in chosen])
        for row, faults in zip(rows.tolist(), find_faults(seen, sequences.skeleton, usual=usual), strict=True):
            found[row] = faults
    return found


def _watch_clip(clip: Clip, tubelets: Sequence[Tubelet], tracks: Sequence[PoseTrack]) -> Watched:
    """Lay the tubelets' own frames side by side, one clip's; what is missing or hidden is NaN."""
    laid = [_lay_out(tubelet, track) for tubelet, track in zip(tubelets, tracks, strict=True)]
    n, longest = len(laid), max(len(frames) for frames, _ in laid)
    pose = np.full((n, longest, tracks[0].pose_px.shape[1], 4), np.nan, np.float32)
    boxes, frames = np.full((n, longest, 4), np.nan, np.float32), np.full((n, longest), -1, np.int64)
    for row, (track, (own, at)) in enumerate(zip(tracks, laid, strict=True)):
        moments = np.flatnonzero(at >= 0)
        frames[row, : len(own)] = own
        pose[row, moments], boxes[row, moments] = track.pose_px[at[moments]], track.boxes_xyxy[at[moments]]
    seconds = clip.timestamps[np.clip(frames, 0, clip.n_frames - 1)]
    return Watched(pose=pose, boxes=boxes, frames=frames, seconds=seconds)


def _lay_out(tubelet: Tubelet, track: PoseTrack) -> _Rows:
    inside = np.flatnonzero((track.frames >= tubelet.first) & (track.frames <= tubelet.last))
    frames = track.frames[inside]
    step = float(np.median(np.diff(track.frames))) if len(track.frames) > 1 else 1.0
    gaps = np.flatnonzero(np.diff(frames) > _GAP * step) + 1
    rows = np.where(track.filled[inside], -1, inside)
    return np.insert(frames, gaps, -1), np.insert(rows, gaps, -1)
