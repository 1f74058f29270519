"""What the catalogue and the arrays of a workspace know of labels, beside the poses that models see."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.scoring.geometry import score_boxes
from curation.scoring.methods import Evidence
from curation.scoring.witnesses import measure_edits
from schemas.records import HumanSpan, PoseTrack

if TYPE_CHECKING:
    from curation.store import ArrayStore, Catalogue, CurrentLabel
    from curation.store.media import TubeletContext

__all__ = ["find_timelines", "gather_evidence"]

_PAUSE = 1.5
"""Windows between two starts from which on the later is not the next moment."""

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


def gather_evidence(
    catalogue: Catalogue, arrays: ArrayStore, axis: str, labels: Sequence[CurrentLabel], contexts: Mapping[str, TubeletContext]
) -> Evidence:
    """Return what annotators, proposals and boxes say of N labels; None for what nothing is known of.

    `votes` where several annotators labelled the same tubelet (their newest statements), `proposed` and `edits` where the
    annotator started from a proposal, which was made before the label and so cannot have learnt it, `geometry` of boxes that miss
    their pose. What a curator has relabelled is the curator's word: annotators and proposals are not asked about it.

    Args:
        catalogue: holds statements.
        arrays: holds boxes and poses.
        axis: of the labels.
        labels: N standing labels; classes are their values, sorted.
        contexts: tubelet id → the tubelet, see `MediaStore.describe_tubelets`.
    """
    values = sorted({label.span.value for label in labels})
    column = defaultdict(lambda: len(values), {value: i for i, value in enumerate(values)})
    settled = np.array([label.verdict is not None and label.verdict.value is not None for label in labels])
    votes = _collect_votes(catalogue.list_annotations(axis), labels, column)
    proposed = _collect_proposals(catalogue, labels, column)
    votes[settled], proposed[settled] = -1, -1
    corrected = {i: label.original for i, label in enumerate(labels) if label.original.frame is not None and not settled[i]}
    geometry, edits = _compare_boxes(arrays, [contexts[label.tubelet_id] for label in labels], corrected)
    return Evidence(
        votes=votes if (votes >= 0).any() else None,
        proposed=proposed if (proposed >= 0).any() else None,
        edits=edits,
        geometry=geometry,
    )


def find_timelines(contexts: Sequence[TubeletContext]) -> tuple[Numbers, ...]:
    """Return the rows of `contexts` (N) that follow one another without a pause: one student, one camera, in the order of time.

    Whoever has no seat is followed for as long as the track goes. Of tubelets that begin together only the first counts.
    """
    people: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, context in enumerate(contexts):
        people[context.tubelet.clip_id, context.student or context.tubelet.track_id].append(row)
    found: list[Numbers] = []
    for rows in people.values():
        spell: list[int] = []
        for row in sorted(rows, key=lambda row: (contexts[row].tubelet.first, contexts[row].tubelet.id)):
            tubelet = contexts[row].tubelet
            if spell:
                last = contexts[spell[-1]].tubelet
                if tubelet.first <= last.first:
                    continue
                if tubelet.first - last.first > _PAUSE * (last.last - last.first + 1):
                    found.append(np.array(spell))
                    spell = []
            spell.append(row)
        found.append(np.array(spell))
    return tuple(found)


def _collect_votes(annotations: Sequence[HumanSpan], labels: Sequence[CurrentLabel], column: Mapping[str, int]) -> Numbers:
    """Return (N, A) columns that annotators say, the number of columns for any other value, −1 = nothing, or no other says."""
    from curation.store.labels import find_newest

    spans: dict[str, list[HumanSpan]] = defaultdict(list)
    for span in annotations:
        spans[span.tubelet_id].append(span)
    said = [[column[span.value] for _, span in find_newest(spans[label.tubelet_id]).values()] for label in labels]
    votes = np.full((len(labels), max(map(len, said), default=0)), -1, np.int64)
    for row, own in zip(votes, said, strict=True):
        if len(own) > 1:
            row[: len(own)] = own
    return votes


def _collect_proposals(catalogue: Catalogue, labels: Sequence[CurrentLabel], column: Mapping[str, int]) -> Numbers:
    """Return (N,) columns that had been proposed to the annotator, −1 = nothing."""
    asked = {label.original.from_predicted for label in labels} - {None}
    known = {span.id: column[span.value] for span in catalogue.find_predictions([id for id in asked if id is not None])}
    return np.array([known.get(label.original.from_predicted or "", -1) for label in labels], np.int64)


def _compare_boxes(
    arrays: ArrayStore, contexts: Sequence[TubeletContext], corrected: Mapping[int, HumanSpan]
) -> tuple[Floats, Floats]:
    """Return (N,) how far boxes miss their poses, and (N,) how far annotators moved box or skeleton; 0 = not at all."""
    from curation.sequences import read_by_clip

    misses, edits = np.zeros(len(contexts)), np.zeros(len(contexts))
    for _, rows, tracks in read_by_clip(arrays, [context.tubelet for context in contexts]):
        scores = {id: score_boxes(track.boxes_xyxy[None], track.pose_px[None])[0] for id, track in tracks.items()}
        for row in rows.tolist():
            tubelet = contexts[row].tubelet
            track = tracks[tubelet.track_id]
            shown = (track.frames >= tubelet.first) & (track.frames <= tubelet.last) & ~track.filled
            misses[row] = _take_median(scores[track.id][shown])
            if row in corrected:
                edits[row] = _measure_edit(corrected[row], track)
    return misses, edits


def _measure_edit(span: HumanSpan, track: PoseTrack) -> float:
    """Return the larger of how far the box and, on average, the keypoints were moved, in [0, 1]."""
    from curation.tubelets import box_at, pose_at

    frame = span.frame or 0
    box, pose = box_at(track, frame)[None], pose_at(track, frame)[None]
    own_box: Any = box if span.box_xyxy is None else np.asarray(span.box_xyxy)[None]
    own_pose = pose if span.pose_px is None else span.pose_px[None]
    moved, points = measure_edits(own_box, box, own_pose, pose)
    seen = points[np.isfinite(points)]
    return float(max(moved[0], seen.mean() if len(seen) else 0.0))


def _take_median(values: Floats) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nan_to_num(np.nanmedian(values)))
