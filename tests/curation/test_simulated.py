"""The simulated annotator errs as often as asked, on the same tubelets every time, and only on the label."""

import numpy as np

from curation.simulated import SimulatedAnnotator
from schemas.labelstudio import Person, decode_result, encode_result
from schemas.vocabulary import Label

VALUES = ("attend", "write", "phone", "sleep")


def make_annotator(n: int, **changes: object) -> SimulatedAnnotator:
    truth = {f"tub_{i}": VALUES[i % 4] for i in range(n)}
    return SimulatedAnnotator(axis="behaviour", values=VALUES, truth=truth, **changes)  # type: ignore[arg-type]


def test_errs_at_the_asked_rate_uniformly_over_the_others() -> None:
    annotator = make_annotator(4000, error_rate=0.2)
    wrong = annotator.list_mistakes(annotator.truth)
    assert 0.18 < len(wrong) / 4000 < 0.22
    said = [annotator.choose_label(t) for t in wrong if annotator.truth[t] == "attend"]
    counts = np.array([said.count(value) for value in VALUES[1:]])
    assert said.count("attend") == 0
    assert counts.min() > 0.7 * counts.mean()


def test_a_statement_depends_on_seed_and_tubelet_alone() -> None:
    few, many = make_annotator(50), make_annotator(500)
    assert [few.choose_label(f"tub_{i}") for i in range(50)] == [many.choose_label(f"tub_{i}") for i in range(50)]
    assert few.list_mistakes(few.truth) != make_annotator(50, seed=1).list_mistakes(few.truth)


def test_careful_and_unknown_tubelets() -> None:
    annotator = make_annotator(50, error_rate=1.0, careful=frozenset({"tub_1"}))
    assert annotator.choose_label("tub_1") == "write"
    assert annotator.choose_label("tub_2") != "phone"
    assert annotator.choose_label("tub_999") is None


def test_annotation_keeps_boxes_and_skeletons_and_removes_nobody() -> None:
    pose = np.zeros((33, 4), np.float32)
    pose[:, 0], pose[:, 1], pose[:, 3] = np.arange(33), np.arange(33) * 2, 1
    labels = (Label(axis="behaviour", value="sleep"),)
    people = [
        Person(id=name, box_xyxy=(1.0, 2.0, 50.0, 90.0), pose_px=pose, labels=labels, scores={"behaviour": 0.6})
        for name in ("tub_0", "tub_1", "ghost")
    ]
    annotator = make_annotator(2, error_rate=0.0)
    said = decode_result(annotator.annotate(encode_result(people, (100, 100))))
    assert [(p.id, [str(label) for label in p.labels], dict(p.scores)) for p in said] == [
        ("tub_0", ["behaviour=attend"], {}),
        ("tub_1", ["behaviour=write"], {}),
    ]
    assert said[0].box_xyxy == people[0].box_xyxy
    np.testing.assert_allclose(np.asarray(said[0].pose_px), pose, atol=1e-4)
