"""The records of the product: clips, tracks, tubelets, and what people and models say about them.

Conventions, here and everywhere: frames are 0-based indices into the container's decoded frames, intervals are closed
(`first <= frame <= last`), coordinates are pixels of the full frame with the origin at the outer corner of the top left pixel
(x right, y down), boxes are ``x1, y1, x2, y2``, times are seconds from the container's own timestamps. NaN means *not seen*.
All records are frozen, keyword-only and checked on construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from attrs import asdict, cmp_using, evolve, field, frozen
from numpy.typing import NDArray

from schemas.checks import check_array, check_interval, check_name, check_range, compute_id, freeze_array
from schemas.errors import InvalidField

__all__ = ["CONTEXT_CATEGORIES", "Clip", "Gap", "HumanSpan", "PoseTrack", "PredictedSpan", "Seat", "Span", "Tubelet", "Verdict"]

CONTEXT_CATEGORIES = ("user", "task", "location", "time", "equipment", "infrastructure")
"""The six categories of a context record (J. Lu, smart-classroom framework)."""


def _equal_arrays(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def _as_times(value: Any) -> NDArray[np.float64]:
    return freeze_array(np.asarray(value, np.float64))


def _as_frames(value: Any) -> NDArray[np.int64]:
    return freeze_array(np.asarray(value, np.int64))


def _as_flags(value: Any) -> NDArray[np.bool_]:
    return freeze_array(np.asarray(value, np.bool_))


def _as_floats(value: Any) -> NDArray[np.float32]:
    return freeze_array(np.asarray(value, np.float32))


def _as_optional_floats(value: Any) -> NDArray[np.float32] | None:
    return None if value is None else _as_floats(value)


def _equal_optional(a: Any, b: Any) -> bool:
    return a is b or (a is not None and b is not None and _equal_arrays(a, b))


@frozen(kw_only=True)
class Seat:
    """One student's place in one camera's view: whoever sits inside `box_xyxy` (px) is `student`."""

    student: str
    box_xyxy: tuple[float, float, float, float]

    def __attrs_post_init__(self) -> None:
        check_name("seat.student", self.student)
        check_box("seat.box_xyxy", self.box_xyxy)


@frozen(kw_only=True, order=True)
class Gap:
    """Frames that were filmed and are lost: `frames` of them, between frame `before` - 1 and frame `before` of the clip.

    `before` = 0: ahead of the first frame; = the clip's `n_frames`: behind the last.
    """

    before: int
    frames: int

    def __attrs_post_init__(self) -> None:
        check_range("gap.before", self.before, 0, 2**31)
        check_range("gap.frames", self.frames, 1, 2**31)


@frozen(kw_only=True)
class Clip:
    """One media file: a video, or a still image as a clip of one frame.

    `timestamps` (n_frames,) are presentation times in seconds, strictly increasing. `id` is `Clip.compute_id(sha256)`.
    `fps` is the mean rate, for display; time always comes from `timestamps`. `gaps`, in order, say where frames are lost: they are
    not among the `n_frames`, and what lies on two sides of a gap is not one moment after the other.
    """

    id: str
    uri: str
    sha256: str
    n_frames: int
    fps: float
    width: int
    height: int
    timestamps: NDArray[np.float64] = field(converter=_as_times, eq=cmp_using(eq=_equal_arrays))
    lesson: str
    camera: str = "camera"
    school: str = "school"
    context: Mapping[str, str] = field(factory=dict)
    seats: tuple[Seat, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def __attrs_post_init__(self) -> None:
        for name in ("id", "uri", "lesson", "camera", "school"):
            check_name(f"clip.{name}", getattr(self, name))
        for name in ("n_frames", "width", "height"):
            check_range(f"clip.{name}", getattr(self, name), 1, 2**31)
        check_range("clip.fps", self.fps, 0, 1e6)
        check_array("clip.timestamps", self.timestamps, (self.n_frames,))
        if not np.isfinite(self.timestamps).all() or (np.diff(self.timestamps) <= 0).any():
            raise InvalidField("clip.timestamps", "finite, strictly increasing seconds", self.timestamps)
        unknown = sorted(set(self.context) - set(CONTEXT_CATEGORIES))
        if unknown:
            raise InvalidField("clip.context", f"keys among {', '.join(CONTEXT_CATEGORIES)}", unknown[0])
        places = [gap.before for gap in self.gaps]
        if places != sorted(set(places)) or (places and places[-1] > self.n_frames):
            raise InvalidField("clip.gaps", f"one gap each at increasing frames up to {self.n_frames}", places)

    @property
    def n_lost(self) -> int:
        """How many frames are lost."""
        return sum(gap.frames for gap in self.gaps)

    @staticmethod
    def compute_id(sha256: str) -> str:
        """Return the id of the clip whose file has this SHA-256 (hex)."""
        return compute_id("clip", sha256)


@frozen(kw_only=True)
class PoseTrack:
    """One person through one clip, at T sampled frames.

    `frames` (T,) int64, strictly increasing frame indices; `boxes_xyxy` (T, 4) float32 px; `pose_px` (T, V, 4) float32 =
    x px, y px, z (px scale, smaller is nearer), visibility in [0, 1]; NaN = unseen. `student` is who it is, where a seat says so.
    `world_m` (T, V, 3) float32, where known: the same landmarks in metres around the middle of the hips, x right, y down, z away
    from the camera; a pose network's idea of a body of usual size, not a measurement of this one.

    `filled` (T,) bool marks frames in which the person was not seen but must have been (hidden for a moment): box and pose lie
    between those before and after, and every visibility is 0. They are there to be looked at, not to be learnt from: nothing counts
    them as a sight of the person.
    """

    id: str
    clip_id: str
    frames: NDArray[np.int64] = field(converter=_as_frames, eq=cmp_using(eq=_equal_arrays))
    boxes_xyxy: NDArray[np.float32] = field(converter=_as_floats, eq=cmp_using(eq=_equal_arrays))
    pose_px: NDArray[np.float32] = field(converter=_as_floats, eq=cmp_using(eq=_equal_arrays))
    student: str | None = None
    world_m: NDArray[np.float32] | None = field(default=None, converter=_as_optional_floats, eq=cmp_using(eq=_equal_optional))
    filled: NDArray[np.bool_] = field(converter=_as_flags, eq=cmp_using(eq=_equal_arrays))

    @filled.default
    def _nothing_filled(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.frames), bool)

    def __attrs_post_init__(self) -> None:
        check_name("track.id", self.id)
        check_name("track.clip_id", self.clip_id)
        n = len(check_array("track.frames", self.frames, (None,)))
        check_range("track.frames: length", n, 1, 2**31)
        check_array("track.boxes_xyxy", self.boxes_xyxy, (n, 4))
        n_points = check_array("track.pose_px", self.pose_px, (n, None, 4)).shape[1]
        if self.world_m is not None:
            check_array("track.world_m", self.world_m, (n, n_points, 3))
        if check_array("track.filled", self.filled, (n,)).all():
            raise InvalidField("track.filled", "a frame in which the person was seen", "none")
        if self.frames[0] < 0 or (np.diff(self.frames) <= 0).any():
            raise InvalidField("track.frames", "strictly increasing indices from 0", self.frames)
        x1, y1, x2, y2 = self.boxes_xyxy.T
        if ((x2 <= x1) | (y2 <= y1)).any():
            raise InvalidField("track.boxes_xyxy", "x1 < x2 and y1 < y2", self.boxes_xyxy)

    @property
    def start_frame(self) -> int:
        """The first sampled frame."""
        return int(self.frames[0])

    @property
    def seen_frames(self) -> NDArray[np.int64]:
        """The frames in which the person was seen: those that are not filled."""
        return self.frames[~self.filled]

    def select(self, rows: slice) -> PoseTrack:
        """Return some of the T rows; at least one of them must be a sight of the person."""
        selected: dict[str, Any] = {name: value[rows] for name, value in _arrays_of(self).items()}
        return evolve(self, **selected)

    @staticmethod
    def join(parts: Sequence[PoseTrack]) -> PoseTrack:
        """Return the track whose rows are those of the parts, one after the other; the rest is that of the last part."""
        if len(parts) == 1:
            return parts[0]
        found = [_arrays_of(part) for part in parts]
        names = {name: values for arrays in found for name, values in arrays.items()}
        joined = {
            name: np.concatenate(
                [
                    arrays[name] if name in arrays else np.full((len(part.frames), *like.shape[1:]), np.nan, like.dtype)
                    for part, arrays in zip(parts, found, strict=True)
                ]
            )
            for name, like in names.items()
        }
        return evolve(parts[-1], **joined)

    @staticmethod
    def compute_id(clip_id: str, start_frame: int, first_box_xyxy: NDArray[np.float32], pipeline: str) -> str:
        """Return the id of the track that `pipeline` (name and version of detector and tracker) starts there."""
        return compute_id("trk", clip_id, int(start_frame), [round(float(v)) for v in first_box_xyxy], pipeline)


def _arrays_of(track: PoseTrack) -> dict[str, NDArray[Any]]:
    """Return the columns that a track has: one row per frame."""
    return {name: value for name, value in asdict(track, recurse=False).items() if isinstance(value, np.ndarray)}


@frozen(kw_only=True)
class Tubelet:
    """One person over one closed frame interval: the unit that is labelled, scored, reviewed, balanced and exported."""

    id: str
    clip_id: str
    track_id: str
    first: int
    last: int

    def __attrs_post_init__(self) -> None:
        for name in ("id", "clip_id", "track_id"):
            check_name(f"tubelet.{name}", getattr(self, name))
        check_interval("tubelet.first", self.first, self.last)

    @classmethod
    def of(cls, track_id: str, clip_id: str, first: int, last: int) -> Tubelet:
        """Return the tubelet of that track and interval, with its content id."""
        return cls(
            id=compute_id("tub", track_id, int(first), int(last)), clip_id=clip_id, track_id=track_id, first=first, last=last
        )


@frozen(kw_only=True)
class Span:
    """What somebody or something says about one tubelet on one axis. Abstract: use `HumanSpan` or `PredictedSpan`."""

    tubelet_id: str
    axis: str
    value: str

    def __attrs_post_init__(self) -> None:
        if type(self) is Span:
            raise InvalidField("span", "a HumanSpan or a PredictedSpan", "the abstract Span")
        for name in ("tubelet_id", "axis", "value"):
            check_name(f"span.{name}", getattr(self, name))
        self._check_rest()

    def _check_rest(self) -> None:
        """Check the fields that the subclass adds."""


@frozen(kw_only=True)
class PredictedSpan(Span):
    """A model's proposal. `scores` maps every value of the axis to its probability; they sum to 1."""

    model: str
    version: str
    scores: Mapping[str, float]

    @property
    def id(self) -> str:
        """Content id: one model version says one thing about one tubelet and axis."""
        return compute_id("prd", self.tubelet_id, self.axis, self.model, self.version)

    @property
    def score(self) -> float:
        """Probability of the proposed value, in [0, 1]."""
        return float(self.scores[self.value])

    def _check_rest(self) -> None:
        check_name("span.model", self.model)
        check_name("span.version", self.version)
        if self.value not in self.scores:
            raise InvalidField("span.scores", f"a probability for {self.value!r}", sorted(self.scores))
        for value in self.scores.values():
            check_range("span.scores", value, 0, 1)
        if abs(sum(self.scores.values()) - 1) > 1e-3:
            raise InvalidField("span.scores", "probabilities that sum to 1", sum(self.scores.values()))


@frozen(kw_only=True)
class HumanSpan(Span):
    """A person's label. Only these can be exported.

    `origin` names where the statement was made (e.g. "label-studio/3/annotations/17" or "import/edunet.csv"), `from_predicted` the
    `PredictedSpan.id` that the person started from, `box_xyxy` and `pose_px` (V, 4) the person's own correction at frame `frame`.
    """

    annotator: str
    from_predicted: str | None = None
    origin: str = "import"
    made_at: str = ""
    frame: int | None = None
    box_xyxy: tuple[float, float, float, float] | None = None
    pose_px: NDArray[np.float32] | None = field(default=None, converter=_as_optional_floats, eq=cmp_using(eq=_equal_optional))

    @property
    def id(self) -> str:
        """Content id: the same statement by the same person at the same place is one row, however often it is pulled."""
        return compute_id("ann", self.tubelet_id, self.axis, self.value, self.annotator, self.origin, self.made_at)

    def _check_rest(self) -> None:
        check_name("span.annotator", self.annotator)
        if self.box_xyxy is not None:
            check_box("span.box_xyxy", self.box_xyxy)
        if self.pose_px is not None:
            check_array("span.pose_px", self.pose_px, (None, 4))


@frozen(kw_only=True)
class Verdict:
    """A curator's decision on one label. Append-only: `undo` takes back the newest standing verdict on that tubelet and axis.

    `value` is the new label of a relabel, and None otherwise. `ambiguous`: nobody could tell from what is seen; the label is left
    out like a dropped one, until somebody settles it. `made_at` is ISO 8601 UTC with microseconds.
    """

    tubelet_id: str
    axis: str
    kind: Literal["drop", "relabel", "keep", "ambiguous", "undo"]
    curator: str
    made_at: str
    value: str | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("tubelet_id", "axis", "curator", "made_at"):
            check_name(f"verdict.{name}", getattr(self, name))
        if self.kind not in ("drop", "relabel", "keep", "ambiguous", "undo"):
            raise InvalidField("verdict.kind", "drop, relabel, keep, ambiguous or undo", self.kind)
        if (self.kind == "relabel") != (self.value is not None):
            raise InvalidField("verdict.value", "a value for relabel and none otherwise", self.value)

    @property
    def id(self) -> str:
        """Content id."""
        return compute_id("ver", self.tubelet_id, self.axis, self.kind, self.value, self.curator, self.made_at)


def check_box(name: str, box: tuple[float, float, float, float]) -> None:
    """Check one finite ``x1, y1, x2, y2`` box.

    Raises:
        InvalidField: if it is not four finite numbers with x1 < x2 and y1 < y2.
    """
    values = np.asarray(box, dtype=float)
    if values.shape != (4,) or not np.isfinite(values).all() or values[0] >= values[2] or values[1] >= values[3]:
        raise InvalidField(name, "four finite numbers with x1 < x2 and y1 < y2", tuple(box))
