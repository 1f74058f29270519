"""The review in FiftyOne: one sample per labelled tubelet, built from the catalogue and never the only copy of anything."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from attrs import frozen

from curation.config import Workspace
from curation.review.crops import Strip, plan_strip, project_pose, strip_path, write_strips
from curation.review.decide import describe_state
from curation.review.environment import owns_database, prepare_fiftyone
from curation.review.looks import arrange_dataset, declare_fields
from schemas.records import Clip, PoseTrack, PredictedSpan
from schemas.scores import SampleScore

if TYPE_CHECKING:
    from curation.store import ArrayStore, Catalogue, CurrentLabel, TubeletContext

__all__ = ["build_dataset", "find_dataset", "name_dataset"]

MOST_LOSS = 1e6
"""An infinite loss is shown as this: JSON has no infinity."""


@frozen(kw_only=True)
class _Sources:
    """All that a sample is made from, by tubelet id (clips by clip id)."""

    contexts: Mapping[str, TubeletContext]
    clips: Mapping[str, Clip]
    scores: Mapping[str, SampleScore]
    proposals: Mapping[str, PredictedSpan]


def name_dataset(workspace: Workspace, axis: str) -> str:
    """Return the name of the dataset that reviews `axis`; in a database shared by workspaces it holds a hash of the path too."""
    slug = re.sub(r"[^a-z0-9]+", "-", workspace.root.name.lower()).strip("-") or "workspace"
    mark = "" if owns_database() else "-" + hashlib.sha256(str(workspace.root).encode()).hexdigest()[:6]
    return f"{slug}-{axis}{mark}"


def build_dataset(workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, *, axis: str | None = None) -> Any:
    """Build the review of one axis, and put it in the place of the one before; verdicts in the catalogue are shown.

    Samples whose media cannot be read are left out; ``dataset.info["curate"]["problems"]`` says which clips and why.

    Args:
        workspace: whose labels are reviewed.
        catalogue: labels, proposals, scores, verdicts.
        arrays: poses.
        axis: the axis; by default the taxonomy's first.

    Returns:
        The `fiftyone.Dataset`; it is persistent, and named by `name_dataset`.

    Raises:
        UnknownName: if the taxonomy has no such axis.
        WorkspaceError: if this process uses FiftyOne for another workspace.
        ServerError: if MongoDB does not start.
    """
    chosen = workspace.taxonomy.primary if axis is None else workspace.taxonomy.axis(axis)
    prepare_fiftyone(workspace)
    import fiftyone as fo

    name = name_dataset(workspace, chosen.id)
    fresh = fo.Dataset(f"{name}.building", overwrite=True, persistent=True)
    declare_fields(fresh)
    labels = catalogue.current_labels(chosen.id)
    problems: dict[str, str] = {}
    fresh.add_samples(list(_make_samples(workspace, catalogue, arrays, chosen.id, labels, problems)), progress=False)
    fresh.info["curate"] = {"workspace": str(workspace.root), "axis": chosen.id, "problems": problems}
    arrange_dataset(fresh, chosen, workspace.taxonomy.skeleton)
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    fresh.name = name
    return fresh


def find_dataset(workspace: Workspace, axis: str | None = None) -> Any | None:
    """Return the dataset that was built last for an axis, if there is one."""
    prepare_fiftyone(workspace)
    import fiftyone as fo

    name = name_dataset(workspace, axis or workspace.taxonomy.primary.id)
    return fo.load_dataset(name) if fo.dataset_exists(name) else None


def _make_samples(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    axis: str,
    labels: Sequence[CurrentLabel],
    problems: dict[str, str],
) -> Iterator[Any]:
    """Yield a sample per label, clip by clip, so that one clip's tracks are in memory at a time."""
    contexts = catalogue.describe_tubelets()
    sources = _Sources(
        contexts=contexts,
        clips={clip.id: clip for clip in catalogue.list_clips()},
        scores={score.tubelet_id: score for score in catalogue.list_scores(axis)},
        proposals={span.tubelet_id: span for span in catalogue.list_predictions(axis)},
    )
    by_clip = sorted(labels, key=lambda label: (contexts[label.tubelet_id].tubelet.clip_id, label.tubelet_id))
    for clip_id, group in groupby(by_clip, key=lambda label: contexts[label.tubelet_id].tubelet.clip_id):
        clip, tracks = sources.clips[clip_id], {track.id: track for track in arrays.read_tracks(clip_id)}
        current = list(group)
        tubelets = [contexts[label.tubelet_id].tubelet for label in current]
        strips = {t.id: plan_strip(t, tracks[t.track_id], clip) for t in tubelets}
        problems.update(write_strips(workspace, sources.clips, tubelets, strips))
        for label, tubelet in zip(current, tubelets, strict=True):
            if strip_path(workspace, tubelet).is_file():
                yield _make_sample(workspace, label, strips[tubelet.id], tracks[tubelet.track_id], sources)


def _make_sample(workspace: Workspace, label: CurrentLabel, strip: Strip, track: PoseTrack, sources: _Sources) -> Any:
    import fiftyone as fo

    context, clip = sources.contexts[label.tubelet_id], sources.clips[strip.clip_id]
    score, proposal = sources.scores.get(label.tubelet_id), sources.proposals.get(label.tubelet_id)
    path, (width, height) = strip_path(workspace, context.tubelet), strip.size
    begin, end = (float(clip.timestamps[min(f, clip.n_frames - 1)]) for f in (context.tubelet.first, context.tubelet.last))
    return fo.Sample(
        filepath=str(path),
        metadata=fo.ImageMetadata(
            size_bytes=path.stat().st_size, mime_type="image/jpeg", width=width, height=height, num_channels=3
        ),
        **describe_state(label, None if score is None else score.suggested),
        proposal=None if proposal is None else fo.Classification(label=proposal.value, confidence=proposal.score),
        suggested=None if score is None else fo.Classification(label=score.suggested),
        loss=None if score is None else min(float(score.loss), MOST_LOSS),
        suspicion=None if score is None else float(score.value),
        reason=_explain(label, score, proposal),
        annotator=label.original.annotator,
        student=context.student,
        lesson=context.lesson,
        camera=context.camera,
        school=context.school,
        start=round(begin, 3),
        end=round(end, 3),
        clip=clip.uri,
        tubelet=label.tubelet_id,
        pose=fo.Keypoints(keypoints=list(_draw_poses(strip, track))),
    )


def _draw_poses(strip: Strip, track: PoseTrack) -> Iterator[Any]:
    import fiftyone as fo
    import numpy as np

    rows = {int(frame): row for row, frame in enumerate(track.frames)}
    for panel, frame in enumerate(strip.frames):
        points = project_pose(strip, panel, track.pose_px[rows[frame]])
        if np.isfinite(points).any():
            yield fo.Keypoint(label="pose", points=[(float(x), float(y)) for x, y in points])


def _explain(label: CurrentLabel, score: SampleScore | None, proposal: PredictedSpan | None) -> str:
    """Say in one line why a label is where it is in the list."""
    said = f"{label.original.annotator} says {label.original.value}"
    if score is None:
        return f"{said}; not scored yet"
    seen = "a model that never saw this lesson" if score.out_of_sample else "the model"
    against = "agrees" if score.suggested == score.label else f"says {score.suggested}"
    first = "" if proposal is None else f"; first proposal {proposal.value} ({proposal.score:.0%})"
    return f"{said}; {seen} {against} (loss {score.loss:.2f}, {score.method}){first}"
