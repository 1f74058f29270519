"""What a people detector returns, what a finder of people returns, and the Protocol of detectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from schemas.checks import check_array
from schemas.errors import InvalidField

if TYPE_CHECKING:
    from backends.people.covers import Cover
    from backends.people.pose import Poses

    Look = Callable[[NDArray[np.float64], Sequence[Cover]], Poses]

__all__ = ["Area", "Detections", "PersonDetector", "PersonTrack", "PersonTracker", "check_image"]

Float32 = NDArray[np.float32]
Area = tuple[int, int, int, int]
"""A part of an image: left, top, right, bottom, px; pixels from left to right - 1, top to bottom - 1."""


def _floats(value: object) -> Float32:
    return np.asarray(value, np.float32)


def _integers(value: object) -> NDArray[np.int64]:
    return np.asarray(value, np.int64)


def _flags(value: object) -> NDArray[np.bool_]:
    return np.asarray(value, np.bool_)


@frozen(kw_only=True, eq=False)
class Detections:
    """N people in one image, best first.

    `boxes_xyxy` (N, 4) px of the full frame, `scores` (N,) in [0, 1] (1 = surely a person), `pose_px` (N, 33, 4) = x px, y px,
    z (px scale, smaller is nearer), visibility in [0, 1]. `regions` (N, 4), if the detector knows them, are where to look for the
    same people in the next frame (see `backends.people.regions`), and `world_m` (N, 33, 3) the landmarks in metres (see
    `backends.people.pose.Poses`).
    """

    boxes_xyxy: Float32 = field(converter=_floats)
    scores: Float32 = field(converter=_floats)
    pose_px: Float32 = field(converter=_floats)
    regions: NDArray[np.float64] | None = None
    world_m: Float32 | None = None

    def __attrs_post_init__(self) -> None:
        n = len(check_array("detections.boxes_xyxy", self.boxes_xyxy, (None, 4)))
        check_array("detections.scores", self.scores, (n,))
        check_array("detections.pose_px", self.pose_px, (n, 33, 4))

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    @classmethod
    def empty(cls) -> Detections:
        """Return nobody."""
        return cls(boxes_xyxy=np.zeros((0, 4)), scores=np.zeros(0), pose_px=np.zeros((0, 33, 4)), regions=np.zeros((0, 4)))


@frozen(kw_only=True, eq=False)
class PersonTrack:
    """One person through one video, at T frames.

    `frames` (T,) strictly increasing frame indices, `boxes_xyxy` (T, 4) px, `pose_px` (T, 33, 4) as in `Detections`, `scores` (T,)
    how sure the pose network is that the person is there, in [0, 1]; `world_m` (T, 33, 3) landmarks in metres around the middle of
    the hips, NaN where the detector does not give them. `filled` (T,) marks frames in which the person was not seen, but before and
    after (visibility and score are 0 there); a longer absence is absent frames. `number` says which of the video's tracks it is:
    what a finder returns part by part has the same number in all parts of a track.
    """

    number: int = 0
    frames: NDArray[np.int64] = field(converter=_integers)
    boxes_xyxy: Float32 = field(converter=_floats)
    pose_px: Float32 = field(converter=_floats)
    scores: Float32 = field(converter=_floats)
    world_m: Float32 = field(converter=_floats)
    filled: NDArray[np.bool_] = field(converter=_flags)

    @world_m.default
    def _no_world(self) -> Float32:
        return np.full((len(self.pose_px), 33, 3), np.nan, np.float32)

    @filled.default
    def _nothing_filled(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.frames), bool)

    def __len__(self) -> int:
        return len(self.frames)


@runtime_checkable
class PersonDetector(Protocol):
    """Finds every person in one image. A context manager: `close` frees the networks; one instance belongs to one thread."""

    def detect(self, image_rgb: NDArray[np.uint8], known: Poses | None = None, area: Area | None = None) -> Detections:
        """Return the people in an RGB image (H, W, 3) uint8.

        Args:
            image_rgb: see above.
            known: people whose landmarks in this image are known. Those whom the detector sees again are among the result as they
                were given, which saves a closer look at each; those whom it does not see are not.
            area: the part of the image that is of interest; None = all of it.

        A detector may take no notice of what is known, and of the area.
        """
        ...

    def close(self) -> None:
        """Free the networks."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@runtime_checkable
class PersonTracker(Protocol):
    """Keeps the tracks of one video: made with ``(width, height, lost_after=seconds)``, fed every frame in order.

    For each frame first `carry`, then `join` if people were detected in it.
    """

    needs_every_frame: ClassVar[bool]
    """Whether people have to be detected in every frame, since the tracker cannot see by itself."""

    def carry(self, index: int, seconds: float, look: Look, image_rgb: NDArray[np.uint8] | None = None) -> None:
        """Go on to a frame. `look` is the landmark network on it: regions (N, 4), and what to paint over in each → poses.

        Whoever has not moved need not be looked at, if the frame `image_rgb` (H, W, 3) uint8 is given, too.
        """
        ...

    def join(self, index: int, seconds: float, found: Poses, area: Area | None = None) -> int:
        """Take the people detected in the frame, those known among them, and return how many were never seen before.

        `area` is where people were looked for; None = in the whole frame.
        """
        ...

    def trace_back(self, frames: Sequence[tuple[int, float, Look]]) -> None:
        """Add to the tracks that the last detection began what earlier frames show of them.

        Args:
            frames: (index, seconds, landmark network on that frame), the latest first.
        """
        ...

    def list_lost(self, seconds: float) -> NDArray[np.float32]:
        """Return the boxes (N, 4) px of those who are out of sight, and whom no detection has looked for just now."""
        ...

    def list_known(self, index: int) -> Poses:
        """Return the people whose landmarks in this frame are known for sure before people are detected in it."""
        ...

    def find_covered(self) -> NDArray[np.float32]:
        """Return the boxes (N, 4) px in which somebody is followed."""
        ...

    def settle(self, *, least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        """Return the parts of tracks that have become certain since the last time, in order of start."""
        ...

    def finish(self, *, least_frames: int, least_confirmed: float) -> list[PersonTrack]:
        """Return what `settle` has not returned, after the last frame.

        Args:
            least_frames: a track seen in fewer frames is no person.
            least_confirmed: nor is one that a smaller share of detections has confirmed.
        """
        ...


def check_image(image_rgb: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the image if it is RGB, 8 bits a channel, and has pixels.

    Raises:
        InvalidField: if it is anything else.
    """
    image = check_array("image", image_rgb, (None, None, 3))
    if image.dtype != np.uint8:
        raise InvalidField("image", "8 bits a channel (uint8)", str(image.dtype))
    if not image.size:
        raise InvalidField("image", "at least one pixel", f"shape {image.shape}")
    return image
