"""`curate bench people --part faces`: head angles and blinks of rendered close-up lessons, through the whole pipeline; one photo.

Every round is a lesson of its own (seed, seed + 1, …): another room, other students, other light; rendered, encoded, added,
preannotated and read as `curate` does it. The truth of head and eyes is the renderer's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, evolve, frozen
from numpy.typing import NDArray

from backends.people.eyes import Blink, find_blinks
from backends.people.head import compute_pose_yaw
from backends.people.readings import FaceReader
from curation.benchmarks import BenchResult, describe_spread
from curation.benchmarks.lessons import render_lesson
from curation.render.truth import Truth
from curation.store.readings import Readings
from schemas.errors import CurationError
from schemas.records import Clip, PoseTrack

__all__ = ["BlinkScore", "bench_faces", "score_blinks"]

SECONDS, FPS = 20.0, 12.0
_LIGHTS = ("normal", "bright", "uneven", "dim")
LEAST_PX = 60.0
MOST_YAW, LEAST_F1 = 10.0, 0.8
_CONE = 45.0
"""Degrees off the line to the camera up to which eyes count as seen."""
_LONGEST = 0.5
_NEAR = 0.1
"""Seconds that a blink may be found before or after the true one."""


@frozen(kw_only=True)
class BlinkScore:
    """True blinks of eyes that face the camera `n_true`, those that were found `n_hit`, found ones that were none `n_false`.

    Blinks of eyes turned away are counted apart, in `n_hidden`, and those of them that were found in `n_hidden_hit`.
    """

    n_true: int = 0
    n_hit: int = 0
    n_false: int = 0
    n_hidden: int = 0
    n_hidden_hit: int = 0

    @property
    def f1(self) -> float:
        """F1 in [0, 1]; NaN without a blink."""
        total = self.n_true + self.n_hit + self.n_false
        return 2 * self.n_hit / total if total else float("nan")

    def __add__(self, other: BlinkScore) -> BlinkScore:
        return BlinkScore(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


def score_blinks(found: Sequence[Blink], times: NDArray[Any], eyes: NDArray[Any], head: NDArray[Any]) -> BlinkScore:
    """Compare found blinks with true openness (F,) and head angles (F, 3) in degrees at `times` (F,): each true one counts once."""
    closed = np.concatenate([[False], np.asarray(eyes) < 0.5, [False]])
    edges = np.flatnonzero(np.diff(closed))
    left = list(found)
    score = BlinkScore()
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        start, end = times[first], times[after - 1]
        if end - start > _LONGEST:
            continue
        yaw, pitch = np.radians(head[(first + after - 1) // 2, :2])
        seen = np.cos(yaw) * np.cos(pitch) >= np.cos(np.radians(_CONE))
        hits = [blink for blink in left if blink.start - _NEAR <= end and blink.end + _NEAR >= start]
        if hits:
            left.remove(hits[0])
        found_it = int(bool(hits))
        score += BlinkScore(n_true=1, n_hit=found_it) if seen else BlinkScore(n_hidden=1, n_hidden_hit=found_it)
    return evolve(score, n_false=len(left))


def bench_faces(*, rounds: int, seed: int) -> BenchResult:
    """Read the faces of `rounds` rendered close-up lessons and of one photo, and compare them with the truth."""
    lessons = _read_lessons(rounds, seed)
    scores = [_score_lesson(*lesson) for lesson in lessons]
    rows = [f"lesson {seed + i} (rendered): {_describe(score)}" for i, score in enumerate(scores)]
    yaw = [float(np.mean(score["errors"][:, 0])) for score in scores]
    errors = np.concatenate([score["errors"] for score in scores])
    blinks = sum((score["blinks"] for score in scores), BlinkScore())
    mean, median = np.mean(errors, axis=0), np.median(errors, axis=0)
    rows += [
        f"yaw {mean[0]:.1f}, pitch {mean[1]:.1f}, roll {mean[2]:.1f} degrees of mean absolute error (medians {median[0]:.1f}, "
        f"{median[1]:.1f}, {median[2]:.1f}) over {len(errors)} faces of {LEAST_PX:.0f} px and more (rendered)",
        f"blinks: {blinks.n_hit} of {blinks.n_true} found, {blinks.n_false} false; of {blinks.n_hidden} with the eyes turned away "
        f"{blinks.n_hidden_hit} found",
    ]
    by_pose = np.concatenate([score["pose_errors"] for score in scores])
    rows.append(
        f"yaw from the pose alone: {by_pose.mean():.1f} degrees (median {np.median(by_pose):.1f}) over all {len(by_pose)} poses"
    )
    photo = _read_photo()
    rows.append(f"photo (astronaut): {', '.join(f'{name} {value:.2f}' for name, value in photo.items())}")
    missed = [] if np.median(yaw) <= MOST_YAW else [f"yaw error {np.median(yaw):.1f} degrees (wanted <= {MOST_YAW:.0f})"]
    missed += [] if blinks.f1 >= LEAST_F1 else [f"blinks F1 {blinks.f1:.2f} (wanted >= {LEAST_F1})"]
    share = float(np.mean([score["share"] for score in scores]))
    line = (
        f"faces: yaw error {describe_spread(yaw, 1)} degrees, blinks F1 {blinks.f1:.2f}, {share:.2f} of the faces within "
        f"{_CONE:.0f} degrees of the camera read ({rounds} lessons of 2 students, {SECONDS:.0f} s, rendered)"
    )
    data = {
        "yaw_error": yaw, "angles_error_mean": mean.tolist(), "angles_error_median": median.tolist(),
        "pose_yaw_error": float(by_pose.mean()), "share_read": share,
        "blinks": asdict(blinks) | {"f1": blinks.f1},
        "photo": photo,
    }  # fmt: skip
    return BenchResult(rows=tuple(rows), line=line, data=data, missed=tuple(missed))


_Lesson = tuple[Clip, list[PoseTrack], Readings, Truth]


def _read_lessons(rounds: int, seed: int) -> list[_Lesson]:
    """Render the lessons and put them through the pipeline."""
    from curation.config import Config, Preannotation, create_workspace
    from curation.ingest import add_media
    from curation.preannotate import preannotate
    from curation.readings import read_people
    from curation.render import read_truth
    from curation.store import ArrayStore, Catalogue
    from curation.store.readings import ReadingStore

    with tempfile.TemporaryDirectory(prefix="curate-bench-") as folder:
        paths = [render_lesson(2, seconds=SECONDS, seed=seed + i, fps=FPS, light=_LIGHTS[i % 4]) for i in range(rounds)]
        settings = Preannotation(workers=1, faces=True, faces_fps=FPS)
        workspace = create_workspace(f"{folder}/work", Config(preannotation=settings))
        arrays, store = ArrayStore(workspace.folder("arrays")), ReadingStore(workspace.folder("arrays"))
        with Catalogue.open(workspace.catalogue_url) as catalogue:
            failed = [(str(path), reason) for path, reason in add_media(workspace, catalogue, paths).failed]
            failed += preannotate(workspace, catalogue, arrays).set_aside
            failed += read_people(workspace, catalogue).set_aside
            if failed:
                raise CurationError("{}: {}".format(*failed[0]))
            clips = {Path(clip.uri): clip for clip in catalogue.list_clips()}
        return [
            (clip, arrays.read_tracks(clip.id), store.read("faces", clip.id), read_truth(path))
            for path in paths
            for clip in [clips[path.resolve()]]
        ]


def _score_lesson(clip: Clip, tracks: Sequence[PoseTrack], faces: Readings, truth: Truth) -> dict[str, Any]:
    """Return errors (N, 3) of the angles, the share of faces towards the camera that were read, and the blinks' score."""
    errors: list[NDArray[np.float64]] = [np.zeros((0, 3))]
    pose_errors: list[NDArray[np.float64]] = [np.zeros(0)]
    read, blinks = np.zeros(truth.eyes.shape, bool), BlinkScore()
    for person, student in enumerate(truth.student.tolist()):
        own = [faces.of(track.id) for track in tracks if track.student == student]
        rows = _in_order(own)
        large = rows["size_px"] >= LEAST_PX
        angles = np.stack([rows[name] for name in ("yaw", "pitch", "roll")], axis=1)
        errors.append(_differ(angles, truth.head[rows.frame, person])[large])
        pose_errors += [
            _differ(compute_pose_yaw(track.pose_px), truth.head[track.frames, person, 0])
            for track in tracks
            if track.student == student
        ]
        read[rows.frame, person] = True
        eyes = np.stack([rows["eye_right"], rows["eye_left"]], axis=1)
        found = find_blinks(clip.timestamps[rows.frame], eyes, yaw=rows["yaw"])
        blinks += score_blinks(found, clip.timestamps, truth.eyes[:, person], truth.head[:, person])
    yaw, pitch = np.moveaxis(np.radians(truth.head[..., :2]), -1, 0)
    towards = np.cos(yaw) * np.cos(pitch) >= np.cos(np.radians(_CONE))
    share = float(read[towards].mean())
    return {"errors": np.concatenate(errors), "pose_errors": np.concatenate(pose_errors), "share": share, "blinks": blinks}


def _differ(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the difference of angles in degrees, 0 to 180."""
    difference: NDArray[np.float64] = np.abs((np.asarray(a, np.float64) - b + 180) % 360 - 180)
    return difference


def _in_order(parts: Sequence[Readings]) -> Readings:
    """Return the rows of a student's several tracks in order of time, one per frame."""
    rows = Readings.join("faces", parts)
    _, first = np.unique(rows.frame, return_index=True)
    return Readings(kind="faces", track_id=rows.track_id[first], frame=rows.frame[first], values=rows.values[first])


def _describe(score: dict[str, Any]) -> str:
    blinks = score["blinks"]
    return (
        f"yaw error {np.mean(score['errors'][:, 0]):.1f} degrees, {score['share']:.2f} read, "
        f"blinks {blinks.n_hit} of {blinks.n_true} and {blinks.n_false} false"
    )


def _read_photo() -> dict[str, float]:
    """Return what is read from scikit-image's astronaut."""
    from backends.people.tiles import TileDetector

    try:
        from skimage import data
    except ImportError as error:
        raise CurationError("bench people --part faces reads a photo of scikit-image; `pip install scikit-image`") from error
    image = np.ascontiguousarray(data.astronaut())
    with TileDetector() as detector, FaceReader() as reader:
        face = reader.read(image, detector.detect(image).pose_px[:1])
    values = (*face.angles[0], *face.eyes[0], face.mouth[0], face.size_px[0])
    names = ("yaw", "pitch", "roll", "right eye", "left eye", "mouth", "px")
    return {name: float(value) for name, value in zip(names, values, strict=True)}
