"""From labels in the catalogue to the items that exporters write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from curation.formats.base import ExportItem
from curation.sequences import find_contexts, read_by_clip
from curation.tubelets import box_at, plan_windows, pose_at, stack_poses
from schemas.manifest import ManifestRecord
from schemas.records import Clip, HumanSpan, PoseTrack, Tubelet

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import ArrayStore, Catalogue

__all__ = ["collect_items"]


def collect_items(
    workspace: Workspace,
    catalogue: Catalogue,
    arrays: ArrayStore,
    spans: Sequence[HumanSpan],
    records: Sequence[ManifestRecord],
) -> list[ExportItem]:
    """Return one item per span, in their order; every clip's arrays are read once.

    Box and pose at the key frame are the annotator's own where there are any (and the key frame is then theirs), else those of the
    track at its sampled frame nearest to the key frame.

    Raises:
        InvalidField: if a span is not a person's.
        UnknownName: if a tubelet or its track is not there.
    """
    settings = workspace.config.preannotation
    contexts = find_contexts(catalogue.describe_tubelets(), [span.tubelet_id for span in spans])
    tubelets = [context.tubelet for context in contexts]
    items: dict[int, ExportItem] = {}
    for clip_id, rows, tracks in read_by_clip(arrays, tubelets):
        clip = catalogue.get_clip(clip_id)
        plans = plan_windows(clip.timestamps, window=settings.window, fps=settings.fps, gaps=clip.gaps)
        key_frames = {(plan.first, plan.last): plan.key_frame for plan in plans}
        inside = [tubelets[row] for row in rows]
        sequences = stack_poses(tracks, inside, {clip_id: clip}, window=settings.window, fps=settings.fps)
        for row, tubelet, sequence in zip(rows.tolist(), inside, sequences, strict=True):
            frame = key_frames.get((tubelet.first, tubelet.last), (tubelet.first + tubelet.last) // 2)
            items[row] = _make_item(spans[row], records[row], clip, tracks[tubelet.track_id], tubelet, (frame, sequence))
    return [items[row] for row in range(len(spans))]


def _make_item(
    span: HumanSpan,
    record: ManifestRecord,
    clip: Clip,
    track: PoseTrack,
    tubelet: Tubelet,
    rest: tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
) -> ExportItem:
    frame, sequence = rest
    own = getattr(span, "frame", None)
    if own is not None and tubelet.first <= own <= tubelet.last:
        frame = own
    box = getattr(span, "box_xyxy", None)
    pose = getattr(span, "pose_px", None)
    x1, y1, x2, y2 = (float(v) for v in (box if box is not None else box_at(track, frame)))
    return ExportItem(
        record=record,
        span=span,
        clip=clip,
        key_frame=frame,
        box_xyxy=(x1, y1, x2, y2),
        pose_px=pose if pose is not None else pose_at(track, frame),
        sequence=sequence,
    )
