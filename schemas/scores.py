"""How suspect a label is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from attrs import frozen

from schemas.checks import check_name, check_range
from schemas.errors import InvalidField

__all__ = ["FAULTS", "Fault", "FaultKind", "SampleScore", "describe_faults"]

FaultKind = Literal["stretched", "leaps", "outside", "loose"]
FAULTS: tuple[FaultKind, ...] = get_args(FaultKind)


@frozen(kw_only=True)
class Fault:
    """A keypoint, a box or a whole skeleton that cannot be right, at its worst.

    `part` is the keypoint's name, "box" or "skeleton". `kind` and `times` (> 0): stretched: how many times its usual distance a
    keypoint is from its neighbour `beside`; leaps: away and back from one frame to the next, how many times as far as nine of ten
    do; outside: which share of the keypoints lies outside the box; loose: how many times as large as its keypoints need the box is.
    `frame` is 0-based, `second` its time in the clip where known; the first and last frames with this fault are `first` and `last`.
    """

    part: str
    kind: FaultKind
    times: float
    frame: int
    first: int
    last: int
    second: float | None = None
    beside: str | None = None

    def __attrs_post_init__(self) -> None:
        check_name("fault.part", self.part)
        if self.kind not in FAULTS:
            raise InvalidField("fault.kind", f"one of {', '.join(FAULTS)}", self.kind)
        check_range("fault.times", self.times, 0, float("inf"))
        check_range("fault.first", self.first, 0, self.frame)
        check_range("fault.last", self.last, self.frame, float("inf"))

    def describe(self, since: float = 0.0) -> str:
        """Return it in words, as in "left_wrist at 0.8 s: 2.4 x its usual distance from left_elbow"; times count from `since`."""
        when = f"in frame {self.frame}" if self.second is None else f"at {max(self.second - since, 0):.1f} s"
        what = {
            "stretched": f"{self.times:.1f} x its usual distance from {self.beside}",
            "leaps": f"leaps away and back {self.times:.0f} x as far as usual",
            "outside": f"misses {100 * self.times:.0f} % of the keypoints",
            "loose": f"{self.times:.0f} x as large as its keypoints need",
        }[self.kind]
        return f"{self.part} {when}: {what}"


def describe_faults(faults: Sequence[Fault], *, since: float = 0.0, most: int = 3) -> str:
    """Return the worst `most` faults in one line, and how many more there are; "" for none."""
    told = [fault.describe(since) for fault in faults[:most]]
    return "; ".join([*told, f"{len(faults) - most} more"] if len(faults) > most else told)


@frozen(kw_only=True)
class SampleScore:
    """Suspicion of one tubelet's label on one axis.

    `value` in [0, 1], 1 = most suspect. `loss` is the cross-entropy in nats behind it (>= 0), where the method has one.
    `suggested` is the value the evidence points to. Scores of different methods are never ranked
    together. `out_of_sample` says that the model had not been trained on this tubelet nor on its group. Methods that know more say
    so: `wrong` is the calibrated probability in [0, 1] that the label is wrong, `kind` the kind of trouble
    (`curation.scoring.kinds.KINDS`), `reason` one line for the curator. `faults` are the keypoints and boxes that cannot be right,
    the worst first; None where nobody has looked.
    """

    tubelet_id: str
    axis: str
    label: str
    suggested: str
    value: float
    loss: float
    method: str
    model: str
    out_of_sample: bool
    wrong: float | None = None
    kind: str | None = None
    reason: str | None = None
    faults: tuple[Fault, ...] | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("tubelet_id", "axis", "label", "suggested", "method", "model"):
            check_name(f"score.{name}", getattr(self, name))
        check_range("score.value", self.value, 0, 1)
        check_range("score.loss", self.loss, 0, float("inf"))
        if self.wrong is not None:
            check_range("score.wrong", self.wrong, 0, 1)
        for name in ("kind", "reason"):
            if getattr(self, name) is not None:
                check_name(f"score.{name}", getattr(self, name))
