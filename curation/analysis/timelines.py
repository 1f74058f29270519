"""One student's tubelets after one another: what they say, smoothed, and how surprising each of them is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from schemas.errors import NotEnoughData

if TYPE_CHECKING:
    from curation.config import Workspace
    from curation.store import Catalogue, TubeletContext
    from schemas.records import Clip

__all__ = ["Timeline", "collect_timelines", "smooth_timelines"]


@frozen(kw_only=True, eq=False)
class Timeline:
    """L tubelets of one student in one lesson, in the order of time, without overlap.

    `start_s` and `end_s` (L,) count from the start of the lesson (its clips of this camera one after another); `probs` (L, K) are
    over `values`: 1 for what a person labelled, else a model's proposal; `labelled` (L,); `surprise` (L,) in [0, 1], 1 = fits
    neither what comes before nor after, NaN before `smooth_timelines`.
    """

    lesson: str
    student: str
    values: tuple[str, ...]
    tubelet_ids: tuple[str, ...]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    probs: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    surprise: NDArray[np.float64]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """How long each tubelet is (L,)."""
        return self.end_s - self.start_s

    @property
    def spells(self) -> list[tuple[str, float, float]]:
        """Return (value, start, end in seconds) of each run of tubelets with the same likeliest value."""
        found: list[tuple[str, float, float]] = []
        for value, start, end in zip(self.probs.argmax(axis=1).tolist(), self.start_s.tolist(), self.end_s.tolist(), strict=True):
            name = self.values[value]
            joins = found and found[-1][0] == name and start - found[-1][2] < max(end - start, 0.5)
            if joins:
                found[-1] = (name, found[-1][1], end)
            else:
                found.append((name, start, end))
        return found


def collect_timelines(workspace: Workspace, catalogue: Catalogue, *, axis: str | None = None) -> list[Timeline]:
    """Return the timelines of every lesson and student, as labelled, else as proposed.

    Whoever is not known by a seat is a student of their own for each track. A student whom several cameras see is taken from the
    one with most tubelets; of tubelets that overlap in time the first is taken.

    Raises:
        UnknownName: for an unknown axis.
        NotEnoughData: if nothing is labelled or proposed on it.
    """
    chosen = workspace.taxonomy.axis(axis or workspace.taxonomy.primary.id)
    values = tuple(chosen.values)
    said = _read_statements(catalogue, chosen.id, values)
    contexts = {key: one for key, one in catalogue.describe_tubelets().items() if key in said}
    if not contexts:
        raise NotEnoughData(f"tubelets labelled or proposed on the axis {chosen.id}", 1, 0)
    clips = {clip.id: clip for clip in catalogue.list_clips()}
    offsets = _chain_clips(clips.values())
    people: dict[tuple[str, str], list[TubeletContext]] = defaultdict(list)
    for one in contexts.values():
        people[one.lesson, one.student or one.tubelet.track_id].append(one)
    found = [_line_up(lesson, who, rows, said, values, clips, offsets) for (lesson, who), rows in people.items()]
    return sorted(found, key=lambda one: (one.lesson, one.student))


def smooth_timelines(timelines: Sequence[Timeline], *, seed: int = 0) -> list[Timeline]:
    """Return timelines with proposals smoothed by a two-layer HMM learnt from all of them, and the surprise of every tubelet.

    What people labelled stays as it is; the surprise of a labelled tubelet is that of its label.
    """
    from backends.behaviour.hmm import fit_hmm

    model = fit_hmm([one.probs for one in timelines], seed=seed)
    done = []
    for one in timelines:
        smoothed = np.where(one.labelled[:, None], one.probs, model.smooth(one.probs))
        done.append(evolve(one, probs=smoothed, surprise=model.compute_surprise(one.probs, one.probs.argmax(axis=1))))
    return done


def _read_statements(catalogue: Catalogue, axis: str, values: Sequence[str]) -> dict[str, tuple[NDArray[np.float64], bool]]:
    """Return tubelet → ((K,) probabilities, whether a person said so)."""
    said: dict[str, tuple[NDArray[np.float64], bool]] = {}
    for span in catalogue.list_predictions(axis):
        row = np.array([span.scores.get(value, 0.0) for value in values], np.float64)
        if row.sum() > 0:
            said[span.tubelet_id] = (row / row.sum(), False)
    for label in catalogue.current_labels(axis):
        if not label.dropped and label.span.value in values:
            said[label.tubelet_id] = (np.eye(len(values))[values.index(label.span.value)], True)
    return said


def _chain_clips(clips: Any) -> dict[str, float]:
    """Return clip → seconds of its start after the start of the lesson's first clip of the same camera."""
    offsets: dict[str, float] = {}
    ends: dict[tuple[str, str, str], float] = defaultdict(float)
    for clip in sorted(clips, key=lambda clip: clip.uri):
        key = (clip.school, clip.lesson, clip.camera)
        offsets[clip.id] = ends[key] - float(clip.timestamps[0])
        ends[key] += float(clip.timestamps[-1] - clip.timestamps[0]) + 1 / max(clip.fps, 1e-3)
    return offsets


def _line_up(
    lesson: str,
    who: str,
    rows: Sequence[TubeletContext],
    said: Mapping[str, tuple[NDArray[np.float64], bool]],
    values: tuple[str, ...],
    clips: Mapping[str, Clip],
    offsets: Mapping[str, float],
) -> Timeline:
    camera = Counter(row.camera for row in sorted(rows, key=lambda row: row.camera)).most_common(1)[0][0]
    placed = []
    for row in rows:
        clip = clips[row.tubelet.clip_id]
        last = min(row.tubelet.last, clip.n_frames - 1)
        start = float(clip.timestamps[min(row.tubelet.first, last)]) + offsets[clip.id]
        end = float(clip.timestamps[last]) + offsets[clip.id] + 1 / max(clip.fps, 1e-3)
        if row.camera == camera:
            placed.append((start, end, row.tubelet.id))
    kept: list[tuple[float, float, str]] = []
    for one in sorted(placed):
        if not kept or one[0] >= kept[-1][1] - 0.5 * (one[1] - one[0]):
            kept.append((max(one[0], kept[-1][1]) if kept else one[0], one[1], one[2]))
    return Timeline(
        lesson=lesson,
        student=who,
        values=values,
        tubelet_ids=tuple(one[2] for one in kept),
        start_s=np.array([one[0] for one in kept]),
        end_s=np.array([one[1] for one in kept]),
        probs=np.array([said[one[2]][0] for one in kept]),
        labelled=np.array([said[one[2]][1] for one in kept]),
        surprise=np.full(len(kept), np.nan),
    )
