"""The review in FiftyOne: one sample per labelled tubelet, built from the catalogue and never the only copy of anything."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from curation.config import Workspace
from curation.review.bulk import Row, insert_rows
from curation.review.crops import check_layout, write_tiles
from curation.review.decide import describe_state
from curation.review.environment import owns_database, prepare_fiftyone
from curation.review.looks import MAP, arrange_dataset, declare_fields
from curation.review.neighbours import describe_motion, embed_motion, find_neighbours, find_twins
from curation.review.tiles import Tile, plan_tile, tile_path
from curation.tubelets import stack_poses
from schemas.records import Clip, PoseTrack, PredictedSpan
from schemas.scores import Fault, SampleScore

if TYPE_CHECKING:
    from curation.store import ArrayStore, Catalogue, CurrentLabel, TubeletContext

__all__ = ["build_dataset", "fill_dataset", "find_dataset", "name_dataset"]

MOST_LOSS = 1e6
"""An infinite loss is shown as this: JSON has no infinity."""


@frozen(kw_only=True)
class _Sources:
    """All that a sample is made from, by tubelet id (clips by clip id)."""

    workspace: Workspace
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
    problems: dict[str, str] = {}
    found = list(_make_rows(workspace, catalogue, arrays, chosen.id, problems))
    rows, motions = [row for row, _ in found], [motion for _, motion in found]
    fill_dataset(fresh, rows, np.concatenate(motions) if motions else np.zeros((0, 1), np.float32))
    fresh.info["curate"] = {"workspace": str(workspace.root), "axis": chosen.id, "problems": problems}
    arrange_dataset(fresh, chosen)
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    fresh.name = name
    return fresh


def fill_dataset(dataset: Any, rows: Sequence[Row], motion: NDArray[np.float32]) -> None:
    """Add a sample for each row to an empty dataset, with its neighbours and near-duplicates, and save the map of all of them.

    Args:
        dataset: its fields are declared.
        rows: (N,) the samples.
        motion: (N, D), from `describe_motion`.
    """
    points = embed_motion(motion)
    labels = np.array([row.labels["label"][0] if row.labels["label"] else "" for row in rows], np.str_)
    students = np.array([str(row.values["student"] or row.values["tubelet"]) for row in rows], np.str_)
    near = find_neighbours(points, students)
    twins = find_twins(motion, near.nearest, labels)
    marks = _mark_duplicates(twins, [str(row.values["tubelet"]) for row in rows])
    told = [
        evolve(row, values={**row.values, "duplicate": marks.get(n), "neighbours": _name_neighbours(rows, near.others[n])})
        for n, row in enumerate(rows)
    ]
    insert_rows(dataset, told)
    if len(rows) > 1:
        _save_map(dataset, points)


def _name_neighbours(rows: Sequence[Row], others: NDArray[np.int64]) -> list[str]:
    return [str(rows[n].values["tubelet"]) for n in others if n >= 0]


def _mark_duplicates(twins: NDArray[np.int64], tubelets: Sequence[str]) -> dict[int, str]:
    """Return a mark for each label that has a near-duplicate with another label; a pair has the same."""
    marks: dict[int, str] = {}
    for n in np.flatnonzero(twins >= 0).tolist():
        other = int(twins[n])
        mark = marks.get(n) or marks.get(other) or min(tubelets[n], tubelets[other])
        marks[n] = marks[other] = mark
    return marks


def _save_map(dataset: Any, points: NDArray[np.float32]) -> None:
    """Save the first two principal components as a visualisation of FiftyOne Brain, which its Embeddings panel shows."""
    import fiftyone.brain as fob

    plane = points[:, :2].astype(np.float64)
    fob.compute_visualization(dataset, points=plane, brain_key=MAP, num_dims=2, method="manual", progress=False)


def find_dataset(workspace: Workspace, axis: str | None = None) -> Any | None:
    """Return the dataset that was built last for an axis, if there is one."""
    prepare_fiftyone(workspace)
    import fiftyone as fo

    name = name_dataset(workspace, axis or workspace.taxonomy.primary.id)
    return fo.load_dataset(name) if fo.dataset_exists(name) else None


def _make_rows(
    workspace: Workspace, catalogue: Catalogue, arrays: ArrayStore, axis: str, problems: dict[str, str]
) -> Iterator[tuple[Row, NDArray[np.float32]]]:
    """Yield a row and its motion (1, D) for each label, clip by clip, so that one clip's tracks are in memory at a time."""
    contexts = catalogue.describe_tubelets()
    sources = _Sources(
        workspace=workspace,
        contexts=contexts,
        clips={clip.id: clip for clip in catalogue.list_clips()},
        scores={score.tubelet_id: score for score in catalogue.list_scores(axis)},
        proposals={span.tubelet_id: span for span in catalogue.list_predictions(axis)},
    )
    check_layout(workspace)
    labels = catalogue.current_labels(axis)
    by_clip = sorted(labels, key=lambda label: (contexts[label.tubelet_id].tubelet.clip_id, label.tubelet_id))
    for clip_id, group in groupby(by_clip, key=lambda label: contexts[label.tubelet_id].tubelet.clip_id):
        tracks = {track.id: track for track in arrays.read_tracks(clip_id)}
        yield from _make_clip_rows(sources, list(group), sources.clips[clip_id], tracks, problems)


def _make_clip_rows(
    sources: _Sources, labels: Sequence[CurrentLabel], clip: Clip, tracks: Mapping[str, PoseTrack], problems: dict[str, str]
) -> Iterator[tuple[Row, NDArray[np.float32]]]:
    settings = sources.workspace.config.preannotation
    tubelets = [sources.contexts[label.tubelet_id].tubelet for label in labels]
    tiles = {t.id: plan_tile(t, tracks[t.track_id], clip, _find_faults(sources.scores.get(t.id))) for t in tubelets}
    problems.update(write_tiles(sources.workspace, {clip.id: clip}, tubelets, tiles, tracks))
    motions = describe_motion(stack_poses(tracks, tubelets, {clip.id: clip}, window=settings.window, fps=settings.fps))
    for label, tubelet, motion in zip(labels, tubelets, motions, strict=True):
        if tile_path(sources.workspace, tubelet, tiles[tubelet.id].faults).is_file():
            yield _make_row(label, tiles[tubelet.id], sources), motion[None]


def _make_row(label: CurrentLabel, tile: Tile, sources: _Sources) -> Row:
    context, clip = sources.contexts[label.tubelet_id], sources.clips[tile.clip_id]
    score, proposal = sources.scores.get(label.tubelet_id), sources.proposals.get(label.tubelet_id)
    state = describe_state(label, None if score is None else score.suggested)
    begin, end = (float(clip.timestamps[min(f, clip.n_frames - 1)]) for f in (context.tubelet.first, context.tubelet.last))
    path = tile_path(sources.workspace, context.tubelet, tile.faults)
    return Row(
        filepath=str(path),
        metadata=_describe_video(tile, path.stat().st_size),
        labels={
            "label": (state.pop("label"), None),
            "suggested": None if score is None else (score.suggested, None),
            "proposal": None if proposal is None else (proposal.value, proposal.score),
        },
        values={
            **state,
            **_describe_score(label, score, proposal),
            "agreement": label.agreement if label.n_annotators > 1 else None,
            "annotator": label.original.annotator,
            "student": context.student,
            "lesson": context.lesson,
            "camera": context.camera,
            "school": context.school,
            "start": round(begin, 3),
            "end": round(end, 3),
            "clip": clip.uri,
            "tubelet": label.tubelet_id,
            "faulty": sorted({fault.part for fault in tile.faults}) or None,
            "faults": [fault.describe(begin) for fault in tile.faults] or None,
        },
    )


def _describe_video(tile: Tile, size: int) -> dict[str, Any]:
    width, height = tile.size
    return {
        "size_bytes": size,
        "mime_type": "video/mp4",
        "frame_width": width,
        "frame_height": height,
        "frame_rate": tile.rate,
        "total_frame_count": tile.n_pictures,
        "duration": tile.n_pictures / tile.rate,
        "encoding_str": "avc1",
    }


def _describe_score(label: CurrentLabel, score: SampleScore | None, proposal: PredictedSpan | None) -> dict[str, Any]:
    return {
        "p_wrong": None if score is None else _find_p_wrong(score),
        "trouble": None if score is None or score.kind in (None, "none") else score.kind.replace("-", " "),
        "reason": (score.reason if score is not None else None) or _explain(label, score, proposal),
        "loss": None if score is None else min(float(score.loss), MOST_LOSS),
        "suspicion": None if score is None else float(score.value),
    }


def _find_faults(score: SampleScore | None) -> tuple[Fault, ...]:
    return () if score is None else score.faults or ()


def _find_p_wrong(score: SampleScore) -> float:
    """Return the score's own probability that the label is wrong, else what the model gives to all other values together."""
    return float(score.wrong) if score.wrong is not None else 1 - math.exp(-float(score.loss))


def _explain(label: CurrentLabel, score: SampleScore | None, proposal: PredictedSpan | None) -> str:
    """Say in one line why a label is where it is in the list."""
    said = f"{label.original.annotator} says {label.original.value}"
    if score is None:
        return f"{said}; not scored yet"
    seen = "a model that never saw this lesson" if score.out_of_sample else "the model"
    against = "agrees" if score.suggested == score.label else f"says {score.suggested}"
    first = "" if proposal is None else f"; first proposal {proposal.value} ({proposal.score:.0%})"
    return f"{said}; {seen} {against} (loss {score.loss:.2f}, {score.method}){first}"
