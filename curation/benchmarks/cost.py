"""What finding people costs, on paper: core-hours and disk from a few measured numbers. `docs/cost-model.md` explains them."""

from __future__ import annotations

from attrs import frozen

from schemas.checks import check_range

__all__ = ["Cost", "Rates", "estimate_cost"]


@frozen(kw_only=True)
class Rates:
    """What was measured on one core. Seconds are CPU seconds."""

    look: float
    """Following one person into one sampled frame: the landmark network, crop and tracking."""
    detection: float
    """One look at the whole picture."""
    frame: float
    """Decoding one frame of the video, sampled or not."""
    row: float
    """Recording one box and pose, with its share of tubelets, proposals and the final file."""
    row_bytes: float
    """Of the arrays, per box and pose."""
    tubelet_bytes: float
    """Of the catalogue, per tubelet with its proposal."""


@frozen(kw_only=True)
class Cost:
    """Core-hours (by what they go to, and in all) and gigabytes (10^9 bytes)."""

    looks: float
    detections: float
    decoding: float
    recording: float
    gigabytes: float

    @property
    def core_hours(self) -> float:
        """In all."""
        return self.looks + self.detections + self.decoding + self.recording


def estimate_cost(
    rates: Rates,
    *,
    minutes: float,
    cameras: int,
    students: int,
    fps: float = 6.0,
    video_fps: float = 25.0,
    detect_every: float = 4.0,
) -> Cost:
    """Return what a project costs. Windows are 2 s.

    With S = 60 · minutes · cameras seconds of video and P = S · fps · students boxes and poses:
    core-seconds = P · (look + row) + S / detect_every · detection + S · video_fps · frame;
    bytes = P · row_bytes + S / 2 · students · tubelet_bytes.

    Args:
        rates: what was measured.
        minutes: of lessons.
        cameras: per lesson.
        students: in sight of each camera.
        fps: samples per second.
        video_fps: frames per second of the files.
        detect_every: seconds between two looks at the whole picture, on average.

    Raises:
        InvalidField: if `minutes` or `detect_every` is not positive.
    """
    check_range("minutes", minutes, 1e-9, 1e12)
    check_range("detect_every", detect_every, 1e-9, 1e9)
    seconds = 60.0 * minutes * cameras
    poses = seconds * fps * students
    return Cost(
        looks=poses * rates.look / 3600,
        detections=seconds / detect_every * rates.detection / 3600,
        decoding=seconds * video_fps * rates.frame / 3600,
        recording=poses * rates.row / 3600,
        gigabytes=(poses * rates.row_bytes + seconds / 2 * students * rates.tubelet_bytes) / 1e9,
    )
