"""How suspect a label is."""

from __future__ import annotations

from attrs import frozen

from schemas.checks import check_name, check_range

__all__ = ["SampleScore"]


@frozen(kw_only=True)
class SampleScore:
    """Suspicion of one tubelet's label on one axis.

    `value` in [0, 1], 1 = most suspect. `loss` is the cross-entropy in nats behind it (>= 0), where the method has one.
    `suggested` is the value the evidence points to. Scores of different methods are never ranked
    together. `out_of_sample` says that the model had not been trained on this tubelet nor on its group. Methods that know more say
    so: `wrong` is the calibrated probability in [0, 1] that the label is wrong, `kind` the kind of trouble
    (`curation.scoring.kinds.KINDS`), `reason` one line for the curator.
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
