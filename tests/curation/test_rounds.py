import numpy as np
import pytest

from curation.batch import list_pool, select_batch
from curation.champion import read_champion, rollback
from curation.export import export_set, read_export
from curation.gate import promote
from curation.registry import train_model
from curation.rounds import STAGES, RoundOptions, run_round
from curation.select import STRATEGIES
from curation.split import read_split
from curation.summary import format_summary, summarise
from schemas.errors import InvalidField, NotEnoughData, UnknownName
from schemas.records import Verdict

OPTIONS = RoundOptions(n_select=5, balance="none")


@pytest.fixture
def half(make_school, learning_tools):
    """Six labelled lessons and two that nobody has labelled."""
    school = make_school(6, windows=4)
    for i in (6, 7):
        students = (f"s{i}a", f"s{i}b")
        school.pairs[f"lesson-{i}"] = learning_tools["add_lesson"](
            school.catalogue, school.arrays, f"lesson-{i}", students, windows=4
        )
    return school


def train_champion(school, tmp_path):
    export_set(*school.all, tmp_path / "set", balance="none")
    train_model(school.workspace, school.catalogue, tmp_path / "set")
    return promote(*school.all)


def test_the_pool_is_what_nobody_has_labelled_outside_test(half, learning_tools):
    free, labelled = list_pool(half.catalogue, "behaviour")
    assert {t.id for t in free} == {t.id for i in (6, 7) for t, _ in half.pairs[f"lesson-{i}"]}
    assert len(labelled) == 48
    export_set(*half.all, half.workspace.root / "exports" / "x")
    split = read_split(half.catalogue)
    test = split.lessons("test")[0]
    guest = learning_tools["add_lesson"](half.catalogue, half.arrays, "lesson-8", (f"s{test[-1]}a", "new"))
    fresh = learning_tools["add_lesson"](half.catalogue, half.arrays, "lesson-9", ("n1", "n2"))
    free, labelled = list_pool(half.catalogue, "behaviour")
    assert not {t.id for t, _ in guest} & {t.id for t in free}
    assert {t.id for t, _ in fresh} <= {t.id for t in free}
    assert {t.clip_id for t in labelled} == {
        half.pairs[lesson][0][0].clip_id for lesson in split.lessons("train") if lesson < "lesson-6"
    }


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_batch_is_chosen_from_the_pool_and_recorded_once(half, tmp_path, strategy):
    gate = train_champion(half, tmp_path)
    batch = select_batch(*half.all, strategy=strategy, n=7, seed=1)
    pool = {t.id for t in list_pool(half.catalogue, "behaviour")[0]}
    assert len(batch.tubelet_ids) == len(set(batch.tubelet_ids)) == 7
    assert set(batch.tubelet_ids) <= pool
    assert (batch.pool, batch.model) == (16, gate.after)
    digest = half.catalogue.digest()
    assert select_batch(*half.all, strategy=strategy, n=7, seed=1) == batch
    assert half.catalogue.digest() == digest
    assert [r["tubelet_ids"] for r in half.catalogue.list_records("selections")] == [list(batch.tubelet_ids)]


def test_the_champion_says_what_it_thinks_of_every_candidate(half, tmp_path):
    gate = train_champion(half, tmp_path)
    select_batch(*half.all, n=3)
    said = {p.tubelet_id: p for p in half.catalogue.list_predictions("behaviour")}
    truth = {t.id: v for i in (6, 7) for t, v in half.pairs[f"lesson-{i}"]}
    assert set(said) == set(truth)
    assert {p.version for p in said.values()} == {gate.after}
    assert np.mean([said[i].value == truth[i] for i in truth]) > 0.9


def test_margin_takes_the_least_certain_first(half, tmp_path):
    train_champion(half, tmp_path)
    batch = select_batch(*half.all, strategy="margin", n=4)
    said = {p.tubelet_id: sorted(p.scores.values()) for p in half.catalogue.list_predictions("behaviour")}
    margin = {i: scores[-1] - scores[-2] for i, scores in said.items()}
    assert sorted(margin[i] for i in batch.tubelet_ids) == pytest.approx(sorted(margin.values())[:4], abs=1e-9)


def test_nothing_left_and_unknown_names_are_said(make_school, tmp_path):
    school = make_school(5)
    train_champion(school, tmp_path)
    with pytest.raises(NotEnoughData, match="unlabelled tubelets of axis behaviour outside test lessons"):
        select_batch(*school.all)
    with pytest.raises(UnknownName, match="unknown strategy 'luck'"):
        select_batch(*school.all, strategy="luck")
    with pytest.raises(InvalidField, match="n: expected"):
        select_batch(*school.all, n=0)
    assert school.catalogue.list_records("selections") == []


def test_a_round_runs_every_stage_and_a_second_one_needs_news(half):
    seen = []
    done = run_round(*half.all, OPTIONS, report=lambda stage, result: seen.append(stage))
    assert done.new
    assert tuple(seen) == STAGES
    assert done.results["score"]["n"] == 48, "before the first split every label is scored"
    assert len(half.catalogue.list_scores("behaviour", run=done.results["score"]["run"])) == done.results["score"]["n"]
    manifest = read_export(half.workspace.root / done.results["export"]["path"])
    assert manifest.name == "round-0001"
    assert done.results["gate"]["decision"] == "promoted"
    assert read_champion(half.workspace, half.catalogue) == done.results["train"]["version"]
    assert len(done.results["select"]["tubelets"]) == 5
    digest = half.catalogue.digest()
    again = run_round(*half.all, OPTIONS)
    assert (again.number, again.new, again.results) == (1, False, done.results)
    assert half.catalogue.digest() == digest


def test_new_labels_make_a_new_round(half, learning_tools):
    first = run_round(*half.all, OPTIONS)
    truth = {t.id: (t, v) for i in (6, 7) for t, v in half.pairs[f"lesson-{i}"]}
    learning_tools["label"](half.catalogue, [truth[i] for i in first.results["select"]["tubelets"]])
    second = run_round(*half.all, OPTIONS)
    assert (second.number, second.new) == (2, True)
    assert second.results["export"]["sizes"]["train"] == first.results["export"]["sizes"]["train"] + 5
    assert second.results["export"]["sizes"]["test"] == first.results["export"]["sizes"]["test"]
    figures = second.results["gate"]["macro_f1"]
    assert second.results["gate"]["decision"] == ("promoted" if figures["candidate"] > figures["champion"] else "kept")
    assert not set(second.results["select"]["tubelets"]) & set(first.results["select"]["tubelets"])


def test_an_interrupted_round_goes_on_at_its_stage(half):
    class Stop(Exception):
        pass

    def stop_after(stage_to_stop):
        def report(stage, result):
            if stage == stage_to_stop:
                raise Stop

        return report

    for stage in ("score", "export", "train", "gate"):
        with pytest.raises(Stop):
            run_round(*half.all, OPTIONS, report=stop_after(stage))
    done = run_round(*half.all, OPTIONS)
    assert (done.number, done.new) == (1, True)
    records = half.catalogue.list_records("rounds")
    assert [r["stage"] for r in records] == ["begin", *STAGES]
    assert len(half.catalogue.list_records("promotions")) == 1


def test_a_verdict_in_the_middle_of_a_round_begins_another(half):
    class Stop(Exception):
        pass

    def stop(stage, done, total):
        raise Stop

    with pytest.raises(Stop):
        run_round(*half.all, OPTIONS, advance=stop)
    assert [r["stage"] for r in half.catalogue.list_records("rounds")] == ["begin"]
    tubelet = half.pairs["lesson-0"][0][0]
    verdict = Verdict(tubelet_id=tubelet.id, axis="behaviour", kind="drop", curator="c", made_at="2026-03-01T00:00:00.000000+00:00")
    half.catalogue.add_verdict(verdict)
    done = run_round(*half.all, OPTIONS)
    assert done.number == 2
    exported = read_export(half.workspace.root / "exports" / "round-0002")
    assert tubelet.id not in {r.tubelet_id for rows in exported.splits.values() for r in rows}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"strategy": "luck"}, "strategy 'luck'"),
        ({"balance": "smote"}, "balance method 'smote'"),
        ({"method": "guess"}, "scoring method 'guess'"),
        ({"model": "gpt"}, "model 'gpt'"),
        ({"axis": "mood"}, "axis 'mood'"),
    ],
)
def test_unknown_names_record_nothing(half, options, match):
    digest = half.catalogue.digest()
    with pytest.raises(UnknownName, match=match):
        run_round(*half.all, RoundOptions(**options))
    assert half.catalogue.digest() == digest
    assert half.catalogue.list_records("rounds") == []


def test_the_report_counts_what_is_there(half):
    empty = summarise(half.workspace, half.catalogue)
    assert (empty["split"], empty["models"], empty["rounds"]) == (None, [], 0)
    run_round(*half.all, OPTIONS)
    tubelet = half.pairs["lesson-0"][0][0]
    half.catalogue.add_verdict(
        Verdict(tubelet_id=tubelet.id, axis="behaviour", kind="drop", curator="c", made_at="2026-03-01T00:00:00.000000+00:00")
    )
    summary = summarise(half.workspace, half.catalogue)
    assert (summary["clips"], summary["lessons"], summary["students"], summary["tubelets"]) == (8, 8, 16, 64)
    facts = summary["axes"]["behaviour"]
    assert facts["labelled"] == sum(facts["counts"].values()) == 47
    assert (facts["verdicts"], facts["annotators"]) == ({"drop": 1}, {"ann": 48})
    assert list(summary["axes"]) == ["behaviour"]
    (model,) = summary["models"]
    assert model["decision"] == "promoted"
    assert summary["champion"] == model["version"]
    lines = format_summary(summary)
    assert lines[0] == "8 clips of 8 lessons, 16 known students, 16 tracks, 64 tubelets"
    assert lines[-1] == f"champion: {model['version']}; rounds: 1; batches selected: 1"
    rollback(half.workspace, half.catalogue)
    assert summarise(half.workspace, half.catalogue)["champion"] != model["version"]
