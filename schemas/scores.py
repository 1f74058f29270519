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
    together. `out_of_sample` says that the model had not been trained on this tubelet nor on its group.
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

    def __attrs_post_init__(self) -> None:
        for name in ("tubelet_id", "axis", "label", "suggested", "method", "model"):
            check_name(f"score.{name}", getattr(self, name))
        check_range("score.value", self.value, 0, 1)
        check_range("score.loss", self.loss, 0, float("inf"))
