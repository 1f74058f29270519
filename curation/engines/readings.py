"""The stage that reads faces and hands of the people found in a clip. Imported by worker processes only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.engines.base import Step
from curation.media import hash_file, iter_frames
from curation.tubelets import plan_windows, sample_frames
from schemas.errors import MediaError
from schemas.records import Clip, PoseTrack

if TYPE_CHECKING:
    from backends.people.readings import FaceReadings, HandReadings
    from curation.store.readings import Readings

__all__ = ["open_reading_stage", "poses_at"]

_STEP_EVERY = 8
_N_POINTS = 33
_REACH = 0.5
"""Seconds: between two poses further apart nobody knows where the head was."""


@contextmanager
def open_reading_stage(
    *, arrays: str, kinds: Sequence[str], window: float, fps: float, faces_fps: float
) -> Iterator[Callable[[Clip], Iterator[Step]]]:
    """Load the models and yield a function from a clip to steps through it; their parts are lists of `Readings`.

    Faces are read `faces_fps` times a second (between two poses where the head must be), hands at the frames that have poses.

    Args:
        arrays: where the tracks are.
        kinds: of `curation.store.readings.KINDS`.
        window: length of a window in seconds.
        fps: samples per second of the poses.
        faces_fps: samples per second of the faces.

    Raises:
        ModelError: if the models are not there.
        MediaError, WorkspaceError: from the function: if the clip's file is gone or changed, or its tracks are.
    """
    from backends.people.readings import FaceReader, HandReader
    from curation.store import ArrayStore

    store = ArrayStore(arrays)
    with ExitStack() as stack:
        faces = stack.enter_context(FaceReader()) if "faces" in kinds else None
        hands = stack.enter_context(HandReader()) if "hands" in kinds else None

        def read_clip(clip: Clip) -> Iterator[Step]:
            if hash_file(clip.uri) != clip.sha256:
                raise MediaError(clip.uri, "has changed since it was added; add it again")
            tracks = store.read_tracks(clip.id)
            plans = {"faces": faces and faces_fps, "hands": hands and fps}
            frames = {kind: _plan(clip, window, rate) for kind, rate in plans.items() if rate}
            wanted = np.unique(np.concatenate([np.zeros(0, np.int64), *frames.values()]))
            units, parts = 0, []
            for index, seconds, image in iter_frames(Path(clip.uri), wanted, timestamps=clip.timestamps):
                ids, pose = poses_at(tracks, index, clip.timestamps)
                if faces is not None and index in frames["faces"]:
                    parts.append(_tabulate_faces(ids, index, faces.read(image, pose, ids=ids.tolist(), seconds=seconds)))
                if hands is not None and index in frames["hands"]:
                    parts.append(_tabulate_hands(ids, index, hands.read(image, pose)))
                units += 1
                if units == _STEP_EVERY:
                    yield Step(units=units, part=parts)
                    units, parts = 0, []
            yield Step(units=units, part=parts)

        yield read_clip


def _plan(clip: Clip, window: float, fps: float) -> NDArray[np.int64]:
    return sample_frames(plan_windows(clip.timestamps, window=window, fps=fps, gaps=clip.gaps))


def poses_at(tracks: Sequence[PoseTrack], frame: int, timestamps: NDArray[np.float64]) -> tuple[NDArray[np.str_], NDArray[Any]]:
    """Return who is there at a frame, ids (N,), and their poses (N, V, 4).

    Between two frames in which a person was seen, at most half a second apart, the pose lies on the straight line; a frame in which
    the person was not seen does not count.
    """
    ids, poses = [], []
    for track in tracks:
        after = int(np.searchsorted(track.seen_frames, frame))
        pair = track.seen_frames[max(after - 1, 0) : after + 1]
        if after == len(track.seen_frames) or (after == 0 and pair[-1] != frame):
            continue
        start, end = timestamps[pair[0]], timestamps[pair[-1]]
        if end - start > _REACH and pair[-1] != frame:
            continue
        share = (timestamps[frame] - start) / (end - start) if end > start else 0.0
        rows = np.searchsorted(track.frames, pair)
        ids.append(track.id)
        poses.append((1 - share) * track.pose_px[rows[0]] + share * track.pose_px[rows[-1]])
    return np.array(ids, np.str_), np.stack(poses) if poses else np.zeros((0, _N_POINTS, 4))


def _tabulate_faces(ids: NDArray[np.str_], frame: int, read: FaceReadings) -> Readings:
    from curation.store.readings import Readings

    seen = np.isfinite(read.scores)
    values = np.column_stack([read.size_px, read.scores, read.angles, read.eyes, read.mouth])[seen]
    return Readings(kind="faces", track_id=ids[seen], frame=np.full(len(values), frame), values=values)


def _tabulate_hands(ids: NDArray[np.str_], frame: int, read: HandReadings) -> Readings:
    from curation.store.readings import HAND_COLUMNS, Readings

    person, side = np.nonzero(np.isfinite(read.points_px[..., 0, 0]))
    points = read.points_px[person, side].reshape(len(person), len(HAND_COLUMNS) - 2)
    values = np.column_stack([side, read.scores[person, side], points])
    return Readings(kind="hands", track_id=ids[person], frame=np.full(len(values), frame), values=values)
