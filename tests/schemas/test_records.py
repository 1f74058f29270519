"""Records are frozen, compare by value, and name the field that is wrong."""

import re
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.checks import check_probabilities, compute_id
from schemas.errors import CurationError, InvalidField
from schemas.records import Clip, Gap, HumanSpan, PoseTrack, PredictedSpan, Seat, Span, Tubelet, Verdict
from schemas.scores import SampleScore


def make_clip(**changes: Any) -> Clip:
    fields: dict[str, Any] = {
        "id": Clip.compute_id("ab" * 32), "uri": "a.mp4", "sha256": "ab" * 32, "n_frames": 3, "fps": 10.0, "width": 640,
        "height": 360,
        "timestamps": np.array([0.0, 0.1, 0.25]), "lesson": "L1",
    }  # fmt: skip
    return Clip(**(fields | changes))


def make_track(**changes: Any) -> PoseTrack:
    pose = np.full((2, 33, 4), np.nan, np.float32)
    pose[0, :5] = 1.5
    fields: dict[str, Any] = {
        "id": "trk_1", "clip_id": "clip_1", "frames": [4, 9], "boxes_xyxy": [[0, 0, 10, 20], [1, 1, 11, 21.5]], "pose_px": pose,
    }  # fmt: skip
    return PoseTrack(**(fields | changes))


def make_prediction(**changes: Any) -> PredictedSpan:
    fields: dict[str, Any] = {
        "tubelet_id": "tub_1", "axis": "behaviour", "value": "write", "model": "m", "version": "1",
        "scores": {"write": 0.75, "sleep": 0.25},
    }  # fmt: skip
    return PredictedSpan(**(fields | changes))


def test_records_compare_by_value_with_nan() -> None:
    assert make_clip() == make_clip()
    assert make_track() == make_track()
    assert make_track() != make_track(boxes_xyxy=[[0, 0, 10, 20], [1, 1, 11, 21]])
    assert make_clip() != make_clip(timestamps=np.array([0.0, 0.1, 0.2]))


def test_records_are_frozen_down_to_their_arrays() -> None:
    track = make_track()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        track.id = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        track.pose_px[0, 0, 0] = 1
    source = np.zeros((2, 33, 4), np.float32)
    copy = make_track(pose_px=source)
    source[:] = 9
    assert copy.pose_px.max() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "clip.width: expected a number in [1"),
        ({"lesson": " "}, "clip.lesson: expected a non-empty string"),
        ({"timestamps": [0, 0.1]}, "clip.timestamps: expected an array of shape (3)"),
        ({"timestamps": [0, 0.2, 0.2]}, "clip.timestamps: expected finite, strictly increasing"),
        ({"context": {"weather": "rain"}}, "clip.context: expected keys among user, task"),
    ],
)
def test_clip_names_the_wrong_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField, match=re.escape(message)):
        make_clip(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": [9, 4]}, "track.frames: expected strictly increasing"),
        ({"frames": []}, "track.frames: length: expected a number in [1"),
        ({"boxes_xyxy": [[0, 0, 10, 20], [5, 1, 5, 20]]}, "track.boxes_xyxy: expected x1 < x2"),
        ({"pose_px": np.zeros((2, 33, 3))}, "track.pose_px: expected an array of shape (2, any, 4)"),
    ],
)
def test_track_names_the_wrong_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField, match=re.escape(message)):
        make_track(**changes)


def test_ids_depend_on_content_alone() -> None:
    assert Tubelet.of("t", "c", 0, 9) == Tubelet.of("t", "c", 0, 9)
    assert Tubelet.of("t", "c", 0, 9).id != Tubelet.of("t", "c", 0, 10).id
    box = np.array([1.2, 2, 3, 4], np.float32)
    assert PoseTrack.compute_id("c", 0, box, "p 1") == PoseTrack.compute_id("c", np.int64(0), box + 0.1, "p 1")  # type: ignore[arg-type]
    assert PoseTrack.compute_id("c", 0, box, "p 1") != PoseTrack.compute_id("c", 0, box, "p 2")


@given(st.lists(st.one_of(st.text(), st.integers(), st.none(), st.floats(allow_nan=False)), max_size=4))
def test_compute_id_is_stable_and_short(parts: list[Any]) -> None:
    assert compute_id("x", *parts) == compute_id("x", *parts)
    assert re.fullmatch(r"x_[0-9a-f]{16}", compute_id("x", *parts))


def test_an_interval_is_closed_and_ordered() -> None:
    assert Tubelet.of("t", "c", 5, 5).last == 5
    with pytest.raises(InvalidField, match=r"last: expected a number in \[5"):
        Tubelet.of("t", "c", 5, 4)


def test_a_span_is_either_human_or_predicted() -> None:
    with pytest.raises(InvalidField, match="expected a HumanSpan or a PredictedSpan"):
        Span(tubelet_id="t", axis="a", value="v")
    assert not isinstance(make_prediction(), HumanSpan)


def test_predicted_scores_are_probabilities_of_the_axis() -> None:
    assert make_prediction().score == 0.75
    with pytest.raises(InvalidField, match="a probability for 'write'"):
        make_prediction(scores={"sleep": 1.0})
    with pytest.raises(InvalidField, match="sum to 1"):
        make_prediction(scores={"write": 0.75, "sleep": 0.75})
    with pytest.raises(InvalidField, match=r"in \[0, 1\]"):
        make_prediction(scores={"write": float("nan"), "sleep": 0.25})


def test_human_span_identity() -> None:
    one = HumanSpan(tubelet_id="t", axis="a", value="v", annotator="ann@x.org", origin="label-studio/1")
    assert one.id == HumanSpan(tubelet_id="t", axis="a", value="v", annotator="ann@x.org", origin="label-studio/1").id
    assert one.id != HumanSpan(tubelet_id="t", axis="a", value="w", annotator="ann@x.org", origin="label-studio/1").id
    posed = attrs.evolve(one, pose_px=np.full((33, 4), np.nan))
    assert posed == attrs.evolve(one, pose_px=np.full((33, 4), np.nan))
    assert posed != one
    with pytest.raises(InvalidField, match=r"span\.box_xyxy"):
        attrs.evolve(one, box_xyxy=(5.0, 0.0, 5.0, 9.0))


def test_seat_and_verdict() -> None:
    with pytest.raises(InvalidField, match=r"seat\.box_xyxy: expected four finite numbers"):
        Seat(student="s", box_xyxy=(0, 0, float("nan"), 1))
    made = {"tubelet_id": "t", "axis": "a", "curator": "c", "made_at": "2026-01-01T00:00:00"}
    assert Verdict(kind="relabel", value="x", **made).value == "x"  # type: ignore[arg-type]
    for kind, value in (("relabel", None), ("drop", "x")):
        with pytest.raises(InvalidField, match=r"verdict\.value: expected a value for relabel and none otherwise"):
            Verdict(kind=kind, value=value, **made)  # type: ignore[arg-type]
    with pytest.raises(InvalidField, match=r"verdict\.kind"):
        Verdict(kind="maybe", **made)  # type: ignore[arg-type]


def test_score_range() -> None:
    fields: dict[str, Any] = {
        "tubelet_id": "t", "axis": "a", "label": "x", "suggested": "y", "loss": 1.0, "method": "loss", "model": "m",
        "out_of_sample": True,
    }  # fmt: skip
    assert SampleScore(value=1.0, **fields).value == 1.0
    with pytest.raises(InvalidField, match=r"score\.value: expected a number in \[0, 1\]"):
        SampleScore(value=1.5, **fields)


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        ([[0.5, 0.4]], "row 0 sums to 0.9"),
        ([[0.5, 0.5], [np.nan, 1]], "row 1 has NaN or inf"),
        ([[1.5, -0.5]], "values from -0.5 to 1.5"),
        ([0.5, 0.5], r"shape \(any, any\)"),
    ],
)
def test_probabilities_are_checked(probs: Any, message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        check_probabilities("probs", probs)


def test_every_error_is_one_line_and_of_one_root() -> None:
    from schemas import errors

    for name in errors.__all__:
        assert issubclass(getattr(errors, name), CurationError)
    assert "\n" not in str(InvalidField("f", "x", "line\nline " * 50))
    assert len(str(InvalidField("f", "x", "y" * 500))) < 160


def test_gaps_are_counted_and_lie_in_the_clip_in_order() -> None:
    clip = make_clip(gaps=(Gap(before=0, frames=2), Gap(before=3, frames=5)))
    assert clip.n_lost == 7
    assert make_clip().n_lost == 0
    for gaps in ([Gap(before=4, frames=1)], [Gap(before=2, frames=1), Gap(before=1, frames=1)], [Gap(before=1, frames=1)] * 2):
        with pytest.raises(InvalidField, match=r"clip\.gaps: expected one gap each at increasing frames up to 3"):
            make_clip(gaps=tuple(gaps))
    with pytest.raises(InvalidField, match=r"gap\.frames"):
        Gap(before=1, frames=0)
