"""Which box or keypoint cannot be right, when, and why: what a curator is shown, where `geometry` only says how suspect.

What is told is far beyond what bodies do (`curation.scoring.bodies`): of 7200 windows of rendered poses without an estimator's
errors, ten are accused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from curation.scoring.bodies import Compared, Usual, check_edges, compare_bodies, measure_usual, see_points
from curation.scoring.culprits import Graph, blame_keypoints
from curation.scoring.geometry import score_boxes
from schemas.scores import Fault, FaultKind
from schemas.vocabulary import BLAZEPOSE_33

__all__ = ["Watched", "find_faults", "name_keypoints"]

Floats = NDArray[np.float64]

_BOX = 0.5
_ROWS = 2048
_NOBODY, _BOX_ITSELF, _SKELETON = -1, -2, -3
_ORDER: tuple[FaultKind, ...] = ("outside", "loose", "stretched", "leaps")


@frozen(kw_only=True, eq=False)
class Watched:
    """N windows of T moments.

    `pose` (N, T, V, 2 to 4), NaN = unseen; where known, `boxes` (N, T, 4) in the pose's unit, `frames` (N, T) 0-based, −1 = none,
    and `seconds` (N, T); without frames the moments count.
    """

    pose: NDArray[Any]
    boxes: NDArray[Any] | None = None
    frames: NDArray[np.int64] | None = None
    seconds: Floats | None = None


def name_keypoints(n_nodes: int) -> tuple[str, ...]:
    """Return the names of a skeleton's keypoints: those of the 33 landmarks where there are so many, else "keypoint 0" and on."""
    return BLAZEPOSE_33.nodes if n_nodes == len(BLAZEPOSE_33.nodes) else tuple(f"keypoint {i}" for i in range(n_nodes))


def find_faults(watched: Watched, edges: NDArray[Any], *, usual: Usual | None = None) -> list[tuple[Fault, ...]]:
    """Return for each of N windows the keypoints and boxes that cannot be right, the worst first.

    Stretched bones are blamed on the fewest keypoints that explain them (`curation.scoring.culprits`), and the longest of them is
    told; where most keypoints leap away and back at once, it is the skeleton. A box is wrong where more than half of its keypoints
    lie outside, or it is ten times as large as they need. The same fault in several frames is one, told at its worst.

    Args:
        watched: the windows.
        edges: (E, 2) keypoint indices.
        usual: what bodies are like; by default measured on these windows.

    Raises:
        InvalidField: if shapes do not fit.
    """
    ends = check_edges(edges)
    usual = usual or measure_usual(watched.pose, ends)
    found: list[tuple[Fault, ...]] = []
    for start in range(0, len(watched.pose), _ROWS):
        found += _find_in_rows(watched, slice(start, start + _ROWS), ends, usual)
    return found


def _find_in_rows(watched: Watched, rows: slice, ends: NDArray[np.int64], usual: Usual) -> list[tuple[Fault, ...]]:
    pose = watched.pose[rows]
    points = see_points(pose)
    boxes = np.full((*pose.shape[:2], 4), np.nan) if watched.boxes is None else watched.boxes[rows]
    places = np.asarray(pose[..., :2], np.float64)
    misses = score_boxes(boxes, places)
    seen = compare_bodies(points, ends, usual)
    graph, names = Graph.of(ends, pose.shape[2]), name_keypoints(pose.shape[2])
    found: list[tuple[Fault, ...]] = [()] * len(pose)
    suspect = (misses > _BOX).any(axis=1) | (seen.stretch > 1).any(axis=(1, 2)) | (seen.leap > 1).any(axis=(1, 2))
    for row in np.flatnonzero(suspect).tolist():
        said = [*_tell_keypoints(seen, row, graph), *_tell_boxes(misses[row], boxes[row], places[row])]
        found[row] = _merge(said, names, *_read_times(watched, rows.start + row, pose.shape[1]))
    return found


_Said = tuple[FaultKind, int, int, float, int]
"""Kind, keypoint (or box or skeleton), moment, times, the keypoint at the bone's other end."""


def _tell_keypoints(seen: Compared, row: int, graph: Graph) -> Iterator[_Said]:
    stretch, leap = seen.stretch[row], seen.leap[row]
    for moment in np.flatnonzero((stretch > 1).any(axis=1) | (leap > 1).any(axis=1)).tolist():
        jumps = np.flatnonzero(leap[moment] > 1).tolist()
        if 2 * len(jumps) > np.isfinite(leap[moment]).sum():
            yield "leaps", _SKELETON, moment, float(np.median(seen.farther[row, moment, jumps])), _NOBODY
            continue
        blamed = blame_keypoints(stretch[moment], np.nan_to_num(leap[moment], nan=-1.0), graph)
        for node, bones in blamed.items():
            bone = max(bones, key=lambda held: float(seen.usual.length[held]))
            a, b = graph.ends[bone].tolist()
            yield "stretched", node, moment, float(seen.longer[row, moment, bone]), b if a == node else a
        for node in jumps:
            if node not in blamed:
                yield "leaps", node, moment, float(seen.farther[row, moment, node]), _NOBODY


def _tell_boxes(misses: Floats, boxes: NDArray[Any], points: Floats) -> Iterator[_Said]:
    for moment in np.flatnonzero(misses > _BOX).tolist():
        own = points[moment][np.isfinite(points[moment]).all(axis=1)]
        low, high = np.asarray(boxes[moment, :2], np.float64), np.asarray(boxes[moment, 2:], np.float64)
        outside = float(((own < low) | (own > high)).any(axis=1).mean())
        if outside > _BOX:
            yield "outside", _BOX_ITSELF, moment, outside, _NOBODY
        else:
            needed = max(float(np.prod(np.ptp(own, axis=0))), 1e-9)
            yield "loose", _BOX_ITSELF, moment, float(np.prod(high - low)) / needed, _NOBODY


def _merge(said: Sequence[_Said], names: Sequence[str], frames: NDArray[np.int64], seconds: Floats | None) -> tuple[Fault, ...]:
    """Return one fault for each kind and part: boxes first, then what is worst."""
    groups: dict[tuple[FaultKind, int], list[_Said]] = {}
    for one in said:
        groups.setdefault((one[0], one[1]), []).append(one)
    faults = []
    for (kind, node), ones in groups.items():
        _, _, worst, times, other = max(ones, key=lambda one: one[3])
        moments = [one[2] for one in ones]
        fault = Fault(
            part={_BOX_ITSELF: "box", _SKELETON: "skeleton"}.get(node) or names[node],
            kind=kind,
            times=round(times, 2),
            beside=None if other == _NOBODY else names[other],
            frame=int(frames[worst]),
            first=int(frames[min(moments)]),
            last=int(frames[max(moments)]),
            second=None if seconds is None else round(float(seconds[worst]), 3),
        )
        faults.append(fault)
    return tuple(sorted(faults, key=lambda fault: (_ORDER.index(fault.kind), -fault.times, fault.part)))


def _read_times(watched: Watched, row: int, n: int) -> tuple[NDArray[np.int64], Floats | None]:
    frames = np.arange(n) if watched.frames is None else watched.frames[row]
    return frames, None if watched.seconds is None else watched.seconds[row]
