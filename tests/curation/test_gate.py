import numpy as np
import pytest

from curation.champion import SHIPPED, load_champion, read_champion, rollback
from curation.export import export_set
from curation.gate import evaluate_model, promote, read_test_side
from curation.registry import train_model
from curation.split import read_split
from schemas.errors import InvalidField, LeakError, NotEnoughData, UnknownName
from schemas.records import Verdict


def train(school, folder, *, model="logreg", balance="none"):
    export_set(*school.all, folder, balance=balance)
    return train_model(school.workspace, school.catalogue, folder, model=model)


def spoil(school, share, *, stamp):
    """Relabel a share of the train side wrongly, as a careless curator would."""
    rng = np.random.default_rng(0)
    split = read_split(school.catalogue)
    contexts = school.catalogue.describe_tubelets()
    for label in school.catalogue.current_labels("behaviour"):
        if split.side_of(contexts[label.tubelet_id].lesson) == "train" and rng.random() < share:
            school.catalogue.add_verdict(
                Verdict(
                    tubelet_id=label.tubelet_id, axis="behaviour", kind="relabel", curator="cur", made_at=stamp,
                    value=str(rng.choice(["attend", "write", "raise-hand", "sleep"])),
                )
            )  # fmt: skip


def test_the_first_model_is_promoted_and_a_worse_one_is_kept_out(make_school, tmp_path):
    school = make_school(6)
    good = train(school, tmp_path / "good")
    before = read_champion(school.workspace, school.catalogue)
    assert before in (None, SHIPPED)
    first = promote(*school.all)
    assert (first.decision, first.version, first.before, first.after) == ("promoted", good.version, before, good.version)
    assert first.candidate.macro_f1 > 0.9
    spoil(school, 0.9, stamp="2026-03-01T00:00:00.000000+00:00")
    bad = train(school, tmp_path / "bad")
    second = promote(*school.all)
    assert (second.decision, second.version, second.before, second.after) == ("kept", bad.version, good.version, good.version)
    assert second.candidate.macro_f1 < second.champion.macro_f1
    assert f"< {second.champion.macro_f1:.3f} of {good.version}" in second.reason
    assert second.test_sha256 == first.test_sha256
    assert read_champion(school.workspace, school.catalogue) == good.version
    version, model = load_champion(school.workspace, school.catalogue)
    assert (version, model.name) == (good.version, "logreg")
    records = school.catalogue.list_records("promotions")
    assert [r["decision"] for r in records] == ["promoted", "kept"]
    assert records[1]["candidate"]["macro_f1"] == second.candidate.macro_f1
    assert records[1]["champion"]["macro_f1"] == second.champion.macro_f1
    assert records[1]["test_sha256"] == second.test_sha256


def test_the_same_question_is_recorded_once(make_school, tmp_path):
    school = make_school(5)
    train(school, tmp_path / "a")
    promote(*school.all)
    again = promote(*school.all)
    assert (again.decision, again.reason) == ("kept", "it is the champion already")
    assert len(school.catalogue.list_records("promotions")) == 1
    spoil(school, 0.9, stamp="2026-03-01T00:00:00.000000+00:00")
    train(school, tmp_path / "b")
    assert promote(*school.all) == promote(*school.all)
    assert len(school.catalogue.list_records("promotions")) == 2


def test_an_equal_model_is_kept_out(make_school, tmp_path):
    school = make_school(5)
    train(school, tmp_path / "a")
    first = promote(*school.all)
    train(school, tmp_path / "b", model="extra-trees")
    second = promote(*school.all)
    assert first.candidate.macro_f1 == second.candidate.macro_f1 == 1.0
    assert second.decision == "kept"
    assert "macro-F1 1.000 = 1.000" in second.reason


def test_rollback_goes_back_and_a_promotion_can_be_made_again(make_school, tmp_path):
    school = make_school(6)
    spare = train(school, tmp_path / "a")
    initial = read_champion(school.workspace, school.catalogue)
    with pytest.raises(InvalidField, match="a promoted model on axis behaviour"):
        rollback(school.workspace, school.catalogue)
    promote(*school.all)
    assert rollback(school.workspace, school.catalogue) == (spare.version, initial)
    assert read_champion(school.workspace, school.catalogue) == initial
    again = promote(*school.all)
    assert again.decision == "promoted"
    assert read_champion(school.workspace, school.catalogue) == spare.version
    assert rollback(school.workspace, school.catalogue) == (spare.version, initial)
    assert [r["event"] for r in school.catalogue.list_records("promotions")] == ["promoted", "rollback", "promoted", "rollback"]
    with pytest.raises(UnknownName, match="axis 'mood'"):
        rollback(school.workspace, school.catalogue, axis="mood")


def test_figures_are_on_the_test_lessons_with_verdicts_applied(make_school, tmp_path):
    school = make_school(6)
    record = train(school, tmp_path / "a")
    version, figures, side = evaluate_model(*school.all)
    split = read_split(school.catalogue)
    assert version == record.version
    assert {m.lesson for m in side.members} == set(split.lessons("test"))
    assert figures.n == 12 * len(split.lessons("test"))
    tubelet = side.sequences.id[0]
    verdict = Verdict(tubelet_id=tubelet, axis="behaviour", kind="drop", curator="c", made_at="2026-03-01T00:00:00.000000+00:00")
    school.catalogue.add_verdict(verdict)
    _, fewer, other = evaluate_model(*school.all, version=record.version)
    assert fewer.n == figures.n - 1
    assert other.sha256 != side.sha256


def test_a_model_that_has_seen_a_test_student_is_refused(make_school, tmp_path):
    school = make_school(5)
    record = train(school, tmp_path / "a")
    test_lesson = read_split(school.catalogue).lessons("test")[0]
    payload = {**record.to_dict(), "id": "mdl_leaky", "version": record.version[::-1], "lessons": [test_lesson]}
    school.catalogue.append_record("models", "mdl_leaky", payload)
    with pytest.raises(LeakError, match=f"lesson '{test_lesson}' is on more than one side: test, train"):
        promote(*school.all)
    student = next(m.student for m in read_test_side(*school.all).members)
    payload = {**record.to_dict(), "id": "mdl_leaky2", "version": record.version[::-1], "students": [student]}
    school.catalogue.append_record("models", "mdl_leaky2", payload)
    with pytest.raises(LeakError, match=f"student '{student}' is on more than one side"):
        evaluate_model(*school.all)
    assert school.catalogue.list_records("promotions") == []


def test_nothing_to_measure_on_is_said(make_school, tmp_path):
    school = make_school(4)
    with pytest.raises(NotEnoughData, match=r"in test lessons \(`curate split` chooses the lessons\)"):
        read_test_side(*school.all)
    with pytest.raises(UnknownName, match="unknown model version"):
        promote(*school.all)
