"""From tubelets in the catalogue to pose sequences that models take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.split import group_lessons
from curation.tubelets import count_samples, stack_poses
from schemas.errors import InvalidField, NotEnoughData, UnknownName
from schemas.records import PoseTrack, Tubelet
from schemas.sequences import SequenceSet

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import ArrayStore, Catalogue
    from curation.store.media import TubeletContext

__all__ = ["collect_sequences", "find_contexts", "read_by_clip", "skeleton_edges", "stack_sequences"]


def collect_sequences(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    tubelet_ids: Sequence[str],
    labels: Sequence[str],
    *,
    groups: Mapping[str, str] | None = None,
) -> SequenceSet:
    """Return the pose sequences of tubelets, in the order asked for; every clip's arrays are read once.

    Poses are px of the full frame: (N, S, V, 4) = x, y, z, visibility, S = window · fps of the workspace's settings, NaN = unseen.

    Args:
        workspace: gives window, fps and skeleton.
        catalogue: holds the tubelets.
        arrays: holds the poses.
        tubelet_ids: (N,) which, each id as often as wanted.
        labels: (N,) the label of each.
        groups: lesson → group. By default lessons that share a student, directly or through any other lesson, are one group.

    Raises:
        NotEnoughData: if no tubelet is asked for.
        InvalidField: if there are not as many labels as tubelets.
        UnknownName: if a tubelet is not in the catalogue.
    """
    if len(labels) != len(tubelet_ids):
        raise InvalidField("labels", f"{len(tubelet_ids)}, one for each tubelet", len(labels))
    if not len(tubelet_ids):
        raise NotEnoughData("tubelets to collect", 1, 0)
    everything = catalogue.describe_tubelets()
    contexts = find_contexts(everything, tubelet_ids)
    if groups is None:
        groups = group_lessons((c.lesson, c.student) for c in everything.values())
    return SequenceSet(
        pose=stack_sequences(workspace, catalogue, arrays, [c.tubelet for c in contexts]),
        label=np.asarray(labels, np.str_),
        group=np.array([groups.get(c.lesson, c.lesson) for c in contexts], np.str_),
        id=np.asarray(tubelet_ids, np.str_),
        skeleton=skeleton_edges(workspace),
        fps=workspace.config.preannotation.fps,
    )


def stack_sequences(
    workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, tubelets: Sequence[Tubelet]
) -> NDArray[np.float32]:
    """Return the poses (N, S, V, 4) float32 px of `tubelets`, in their order; see `collect_sequences`."""
    settings = workspace.config.preannotation
    n_nodes = len(workspace.taxonomy.skeleton.nodes)
    pose = np.full((len(tubelets), count_samples(settings.window, settings.fps), n_nodes, 4), np.nan, np.float32)
    for clip_id, rows, tracks in read_by_clip(arrays, tubelets):
        clips = {clip_id: catalogue.get_clip(clip_id)}
        pose[rows] = stack_poses(tracks, [tubelets[i] for i in rows], clips, window=settings.window, fps=settings.fps)
    return pose


def find_contexts(contexts: Mapping[str, TubeletContext], tubelet_ids: Sequence[str]) -> list[TubeletContext]:
    """Return what is known about each of `tubelet_ids`.

    Raises:
        UnknownName: if one is not there.
    """
    for tubelet_id in tubelet_ids:
        if tubelet_id not in contexts:
            raise UnknownName("tubelet", str(tubelet_id), sorted(contexts)[:3])
    return [contexts[str(tubelet_id)] for tubelet_id in tubelet_ids]


def read_by_clip(arrays: ArrayStore, tubelets: Sequence[Tubelet]) -> Iterator[tuple[str, NDArray[np.int64], dict[str, PoseTrack]]]:
    """Yield clip id, the rows of `tubelets` that lie in it, and its tracks by id; clips by id, each read once.

    Raises:
        UnknownName: if a tubelet's track has no arrays.
    """
    rows_of: dict[str, list[int]] = {}
    for row, tubelet in enumerate(tubelets):
        rows_of.setdefault(tubelet.clip_id, []).append(row)
    for clip_id in sorted(rows_of):
        rows = rows_of[clip_id]
        wanted = {tubelets[row].track_id for row in rows}
        tracks = {track.id: track for track in arrays.read_tracks(clip_id) if track.id in wanted}
        for track_id in sorted(wanted - set(tracks)):
            raise UnknownName(f"track of {clip_id}", track_id, sorted(tracks)[:3])
        yield clip_id, np.asarray(rows, np.int64), tracks


def skeleton_edges(workspace: Workspace) -> NDArray[np.int64]:
    """Return the limbs (E, 2) of the workspace's skeleton as 0-based keypoint indices."""
    return np.asarray(workspace.taxonomy.skeleton.edges, np.int64)
