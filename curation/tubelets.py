"""Tubelets: a clip is cut by time into windows, and a person who is there in a window is one tubelet. Pure array code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from schemas.checks import check_range
from schemas.errors import UnknownName
from schemas.records import Clip, Gap, PoseTrack, Tubelet

__all__ = [
    "Window",
    "box_at",
    "count_samples",
    "cut_tubelets",
    "plan_windows",
    "pose_at",
    "sample_frames",
    "split_at_gaps",
    "stack_poses",
]

_EPSILON = 1e-6

T = TypeVar("T")


@frozen(kw_only=True, eq=False)
class Window:
    """One stretch of a clip.

    `samples` (S,) frame indices at S evenly spaced times, -1 where the clip has ended or nothing was shown since before the window;
    `frames` the same without -1 and without repeats, strictly increasing.
    """

    samples: NDArray[np.int64] = field(repr=False)
    frames: NDArray[np.int64]

    @property
    def first(self) -> int:
        """The first sampled frame."""
        return int(self.frames[0])

    @property
    def last(self) -> int:
        """The last sampled frame."""
        return int(self.frames[-1])

    @property
    def key_frame(self) -> int:
        """The middle sample: the frame that is shown to annotators."""
        return int(self.frames[len(self.frames) // 2])


def count_samples(window: float, fps: float) -> int:
    """Return S, the number of samples in a window of `window` seconds at `fps` samples per second; at least 1."""
    return max(1, round(window * fps))


def plan_windows(timestamps: NDArray[np.float64], *, window: float, fps: float, gaps: Sequence[Gap] = ()) -> list[Window]:
    """Cut a clip into windows of `window` seconds from its first frame on, with ``round(window * fps)`` samples each.

    A sample is the last frame shown at or before its time. A last window that the clip fills less than half is dropped, unless it
    is the only one; a window in which no frame is shown (a gap in the recording) is left out. A still image is one window of one
    frame. Where frames are lost, the frame before them stands for one sample's time at most; the samples behind that are -1, and a
    window that has lost more than half of its samples so is left out too.

    Args:
        timestamps: (F,) seconds, strictly increasing.
        window: length in seconds, > 0.
        fps: samples per second, > 0.
        gaps: where frames are lost.

    Raises:
        InvalidField: if `window` or `fps` is not positive.
    """
    check_range("window", window, _EPSILON, 1e6)
    check_range("fps", fps, _EPSILON, 1e6)
    times = np.asarray(timestamps, np.float64)
    n_samples = count_samples(window, fps)
    if len(times) == 1:
        return [Window(samples=np.zeros(n_samples, np.int64), frames=np.zeros(1, np.int64))]
    shown_for = float(np.median(np.diff(times)))
    end = float(times[-1]) + shown_for
    full = (end - times[0]) / window
    n_windows = max(1, int(full + 0.5 + _EPSILON))
    before_gap = np.isin(np.arange(len(times)) + 1, [gap.before for gap in gaps])
    windows = []
    for number in range(n_windows):
        start = times[0] + number * window
        wanted = start + np.arange(n_samples) * (window / n_samples)
        samples = np.searchsorted(times, wanted + _EPSILON, side="right") - 1
        stale = (times[samples] < start - shown_for - _EPSILON) | (wanted >= end - _EPSILON)
        lost = before_gap[samples] & (wanted - times[samples] > max(shown_for, window / n_samples) + _EPSILON)
        samples = np.where(stale | lost, -1, samples).astype(np.int64)
        frames = np.unique(samples[samples >= 0])
        is_thin = lost.any() and 2 * (samples >= 0).sum() < n_samples and number > 0
        if len(frames) and times[frames[-1]] >= start - _EPSILON and not is_thin:
            windows.append(Window(samples=samples, frames=frames))
    return windows


def split_at_gaps(frames: NDArray[np.int64], clip: Clip, *, longest: float) -> list[NDArray[np.int64]]:
    """Cut sampled frames into stretches where the clip has lost more than `longest` seconds: nobody can be followed over that."""
    times = clip.timestamps
    starts = [gap.before for gap in clip.gaps if 0 < gap.before < clip.n_frames]
    starts = [start for start in starts if times[start] - times[start - 1] > longest]
    return [stretch for stretch in np.split(frames, np.searchsorted(frames, starts)) if len(stretch)]


def sample_frames(windows: Iterable[Window]) -> NDArray[np.int64]:
    """Return the frames that the windows sample, strictly increasing: all that has to be decoded."""
    chosen = [window.frames for window in windows]
    return np.unique(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def cut_tubelets(
    tracks: Iterable[PoseTrack], clip: Clip, *, window: float, fps: float, windows: Sequence[Window] | None = None
) -> list[Tubelet]:
    """Return a tubelet for each track and window in which the person is seen in half of the window's frames or more.

    Order: by window, then as the tracks come. All tubelets of a window share `first` and `last`. Where `windows` are given, only
    these are looked at.
    """
    tracks = list(tracks)
    if windows is None:
        windows = plan_windows(clip.timestamps, window=window, fps=fps, gaps=clip.gaps)
    return [
        Tubelet.of(track.id, clip.id, plan.first, plan.last)
        for plan in windows
        for track in tracks
        if 2 * np.isin(plan.frames, track.seen_frames).sum() >= len(plan.frames)
    ]


def stack_poses(
    track_by_id: Mapping[str, PoseTrack],
    tubelets: Sequence[Tubelet],
    clip_by_id: Mapping[str, Clip],
    *,
    window: float,
    fps: float,
    windows: Mapping[str, Sequence[Window]] | None = None,
) -> NDArray[np.float32]:
    """Return the poses of the tubelets at evenly spaced times, as models take them.

    Args:
        track_by_id: the tubelets' tracks, or those rows of them that lie in and beside the tubelets.
        tubelets: N of them.
        clip_by_id: the tubelets' clips.
        window: length of a window in seconds.
        fps: samples per second.
        windows: clip id → its windows, where they are known.

    Returns:
        (N, S, V, 4) float32 = x px, y px, z, visibility with S = ``round(window * fps)``; NaN where the person was not seen, also
        where the track is filled: what is guessed of a body is nothing to learn from, and models know gaps. A
        tubelet of one frame (a still image) is S copies of its pose. A tubelet that was cut with other settings is sampled over its
        own length.

    Raises:
        UnknownName: if a tubelet's track or clip is not given.
    """
    n_samples = count_samples(window, fps)
    n_nodes = next(iter(track_by_id.values())).pose_px.shape[1] if track_by_id else 0
    stacked = np.full((len(tubelets), n_samples, n_nodes, 4), np.nan, np.float32)
    plans: dict[str, dict[tuple[int, int], Window]] = {}
    for row, tubelet in enumerate(tubelets):
        track, clip = _find("track", tubelet.track_id, track_by_id), _find("clip", tubelet.clip_id, clip_by_id)
        if clip.id not in plans:
            planned = (windows or {}).get(clip.id) or plan_windows(clip.timestamps, window=window, fps=fps, gaps=clip.gaps)
            plans[clip.id] = {(w.first, w.last): w for w in planned}
        plan = plans[clip.id].get((tubelet.first, tubelet.last))
        samples = plan.samples if plan else _sample_evenly(tubelet, clip.timestamps, n_samples)
        _copy_poses(stacked[row], track, samples, clip.timestamps, tolerance=0.5 * window / n_samples)
    return stacked


def box_at(track: PoseTrack, frame: int) -> NDArray[np.float32]:
    """Return the box (4,) xyxy px at the track's sampled frame nearest to `frame` (the earlier one of two), seen or filled."""
    box: NDArray[np.float32] = track.boxes_xyxy[np.abs(track.frames - frame).argmin()]
    return box


def pose_at(track: PoseTrack, frame: int) -> NDArray[np.float32]:
    """Return the pose (V, 4) = x px, y px, z, visibility at the sampled frame nearest to `frame` (the earlier one of two).

    In a filled frame every visibility is 0: keypoints are placed, but hidden.
    """
    pose: NDArray[np.float32] = track.pose_px[np.abs(track.frames - frame).argmin()]
    return pose


def _find(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UnknownName(kind, name, sorted(known)[:5])
    return known[name]


def _sample_evenly(tubelet: Tubelet, timestamps: NDArray[np.float64], n_samples: int) -> NDArray[np.int64]:
    last = min(tubelet.last, len(timestamps) - 1)
    wanted = np.linspace(timestamps[min(tubelet.first, last)], timestamps[last], n_samples)
    return np.searchsorted(timestamps, wanted + _EPSILON, side="right") - 1


def _copy_poses(
    out: NDArray[np.float32], track: PoseTrack, samples: NDArray[np.int64], timestamps: NDArray[np.float64], *, tolerance: float
) -> None:
    """Fill `out` (S, V, 4) with the pose seen nearest in time to each sample, where there is one within `tolerance` seconds."""
    rows = np.flatnonzero(samples >= 0)
    wanted = timestamps[samples[rows]]
    seen = np.flatnonzero(~track.filled)
    own = timestamps[track.frames[seen]]
    after = np.searchsorted(own, wanted).clip(max=len(own) - 1)
    before = (after - 1).clip(min=0)
    nearest = np.where(np.abs(own[before] - wanted) <= np.abs(own[after] - wanted), before, after)
    near = np.abs(own[nearest] - wanted) <= tolerance + _EPSILON
    out[rows[near]] = track.pose_px[seen[nearest[near]]]
