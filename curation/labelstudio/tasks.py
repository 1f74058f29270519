"""What annotators get: one task per clip and window, its key frame as a picture, everybody in it as a region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.config import Workspace
from curation.labelstudio.server import FRAMES
from curation.privacy import open_shown_frames
from curation.side_by_side import map_side_by_side
from curation.store import ArrayStore, Catalogue
from curation.tubelets import box_at, plan_windows, pose_at
from schemas.errors import InvalidField
from schemas.files import replace_file
from schemas.labelstudio import BODY_NODES, Person, encode_task, format_model_version
from schemas.records import Clip, PredictedSpan, Tubelet

__all__ = ["MIN_VISIBILITY", "TaskPlan", "build_task", "find_frame", "find_window", "plan_tasks", "write_frames"]

MIN_VISIBILITY = 0.5
"""Keypoints less visible than this (behind a desk, out of the frame) are not shown to annotators."""


@frozen(kw_only=True, eq=False)
class TaskPlan:
    """One task to be: a window of a clip and the tubelets in it. `key` stands for it in Label Studio, for good.

    `note` is shown with the task: why it is asked again.
    """

    key: str
    clip: Clip
    first: int
    last: int
    frame: int
    tubelets: tuple[Tubelet, ...]
    note: str = ""


def plan_tasks(workspace: Workspace, catalogue: Catalogue, tubelet_ids: Collection[str] | None = None) -> list[TaskPlan]:
    """Return the tasks of all windows with tubelets, or of those with one of `tubelet_ids`; ordered by clip and time.

    Raises:
        InvalidField: if a tubelet id is not in the catalogue.
    """
    grouped: dict[tuple[str, int, int], list[Tubelet]] = defaultdict(list)
    for tubelet in catalogue.list_tubelets():
        grouped[tubelet.clip_id, tubelet.first, tubelet.last].append(tubelet)
    if tubelet_ids is not None:
        wanted = set(tubelet_ids)
        unknown = wanted - {t.id for group in grouped.values() for t in group}
        if unknown:
            raise InvalidField("tubelet", "ids that the catalogue has", min(unknown))
        grouped = {k: group for k, group in grouped.items() if any(t.id in wanted for t in group)}
    clips = {clip.id: clip for clip in catalogue.list_clips()}
    settings = workspace.config.preannotation
    plans: list[TaskPlan] = []
    key_frames: dict[str, dict[tuple[int, int], int]] = {}
    for (clip_id, first, last), group in sorted(grouped.items()):
        clip = clips[clip_id]
        if clip_id not in key_frames:
            windows = plan_windows(clip.timestamps, window=settings.window, fps=settings.fps, gaps=clip.gaps)
            key_frames[clip_id] = {(w.first, w.last): w.key_frame for w in windows}
        frame = key_frames[clip_id].get((first, last), (first + last) // 2)
        plans.append(TaskPlan(key=f"{clip_id}:{first}", clip=clip, first=first, last=last, frame=frame, tubelets=tuple(group)))
    return plans


def find_window(key: str) -> str:
    """Return the part of a task's key that names clip and window; what follows it says why they are asked about again."""
    return ":".join(key.split(":")[:2])


def find_frame(workspace: Workspace, plan: TaskPlan) -> Path:
    """Return where the task's picture is (or will be)."""
    return workspace.root / "crops" / FRAMES / plan.clip.id / f"{plan.frame:08d}.jpg"


def write_frames(workspace: Workspace, plans: Iterable[TaskPlan]) -> Iterator[TaskPlan]:
    """Write the key frames that are missing, one pass per clip, clips side by side, and yield each plan when its picture is there.

    Heads or faces are covered where the workspace says so; see `curation.privacy`.

    Raises:
        MediaError: if a clip's file cannot be read.
        StorageError: if the disk is full.
    """
    by_clip: dict[str, list[TaskPlan]] = defaultdict(list)
    for plan in plans:
        by_clip[plan.clip.id].append(plan)
    with open_shown_frames(workspace) as show:

        def write_clip(group: list[TaskPlan]) -> list[TaskPlan]:
            missing = {plan.frame: find_frame(workspace, plan) for plan in group if not find_frame(workspace, plan).exists()}
            for index, _, rgb in show(group[0].clip, sorted(missing)):
                _write_jpeg(missing[index], rgb)
            return group

        with closing(map_side_by_side(write_clip, by_clip.values())) as groups:
            for group in groups:
                yield from group


def build_task(
    workspace: Workspace,
    plan: TaskPlan,
    tracks: Mapping[str, Any],
    proposals: Mapping[str, list[PredictedSpan]],
    document_root: str,
) -> dict[str, Any]:
    """Return the task's JSON with boxes, skeletons and proposed behaviours.

    Raises:
        InvalidField: if the server is not allowed to show the workspace's pictures.
    """
    path = find_frame(workspace, plan)
    if not path.is_relative_to(document_root):
        raise InvalidField("document_root of servers/label-studio.account.json", f"a folder above {path.parent}", document_root)
    people, spans = [], []
    for tubelet in plan.tubelets:
        said = proposals.get(tubelet.id, [])
        track = tracks[tubelet.track_id]
        people.append(Person.of(tubelet.id, box_at(track, plan.frame).tolist(), pose_at(track, plan.frame), said))
        spans += said
    data = {
        "lesson": plan.clip.lesson,
        "camera": plan.clip.camera,
        "seconds": round(float(plan.clip.timestamps[plan.frame]), 3),
        "clip": plan.clip.id,
        "first": plan.first,
        "last": plan.last,
        "frame": plan.frame,
    }
    if plan.note:
        data["review"] = plan.note
    return encode_task(
        plan.key,
        f"/data/local-files/?d={quote(path.relative_to(document_root).as_posix())}",
        (plan.clip.width, plan.clip.height),
        people,
        model_version=format_model_version(spans),
        data=data,
        nodes=BODY_NODES,
        min_visibility=MIN_VISIBILITY,
    )


def load_tracks(arrays: ArrayStore, plan: TaskPlan, cache: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the clip's tracks by id; `cache` keeps those of one clip."""
    if plan.clip.id not in cache:
        cache.clear()
        cache[plan.clip.id] = {track.id: track for track in arrays.read_tracks(plan.clip.id)}
    return cache[plan.clip.id]


def _write_jpeg(path: Path, rgb: NDArray[np.uint8]) -> None:
    from PIL import Image

    with replace_file(path) as stream:
        Image.fromarray(rgb).save(stream, format="JPEG", quality=90)
