"""The dataset in a real FiftyOne: what it shows, that it is only a view, and that it can be rebuilt."""

from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from curation.review.actions import record_verdict
from curation.review.bulk import Row, insert_rows, make_sample
from curation.review.dataset import build_dataset, find_dataset, name_dataset
from curation.review.decide import decide, read_link, show_verdicts, sync_verdicts
from curation.review.looks import MAP, declare_fields
from curation.review.panel import count_progress, list_cards, list_waiting, show_neighbours
from curation.store import ArrayStore, Catalogue
from schemas.errors import InvalidField, NotEnoughData, UnknownName, WorkspaceError
from schemas.records import HumanSpan
from schemas.scores import Fault

pytestmark = pytest.mark.integration
AXIS = "behaviour"


@pytest.fixture
def parts(review_workspace):
    """Workspace, catalogue, arrays; every verdict that a test leaves is taken back."""
    with Catalogue.open(review_workspace.catalogue_url) as catalogue:
        yield review_workspace, catalogue, ArrayStore(review_workspace.folder("arrays"))
        for label in catalogue.current_labels(AXIS):
            while label.verdict is not None:
                record_verdict(catalogue, [label.tubelet_id], AXIS, "undo")
                label = next(c for c in catalogue.current_labels(AXIS) if c.tubelet_id == label.tubelet_id)


def by_tubelet(dataset, field):
    return dict(zip(*dataset.values(["tubelet", field]), strict=True))


def test_one_sample_for_each_label_with_what_the_catalogue_says(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays)
    assert dataset.name == name_dataset(workspace, AXIS) == "school-behaviour"
    assert dataset.persistent
    labels = {label.tubelet_id: label for label in catalogue.current_labels(AXIS)}
    scores = {score.tubelet_id: score for score in catalogue.list_scores(AXIS)}
    proposals = {span.tubelet_id: span for span in catalogue.list_predictions(AXIS)}
    contexts = catalogue.describe_tubelets()
    assert len(dataset) == len(labels) == 18
    for sample in dataset:
        label, score, span = labels[sample.tubelet], scores[sample.tubelet], proposals[sample.tubelet]
        context = contexts[sample.tubelet]
        assert (sample.label.label, sample.suggested.label, sample.proposal.label) == (
            label.span.value,
            score.suggested,
            span.value,
        )
        assert sample.proposal.confidence == pytest.approx(span.score)
        assert (sample.loss, sample.suspicion) == (pytest.approx(score.loss), pytest.approx(score.value))
        assert (sample.student, sample.lesson, sample.camera, sample.school) == (context.student, context.lesson, "front", "north")
        assert (sample.verdict, sample.curator, sample.original) == (None, None, None)
        assert sample.doubt == (None if score.suggested == label.span.value else f"looks like {score.suggested}")
        assert sample.reason.startswith(f"{label.original.annotator} says {label.span.value}; a model that never saw this lesson ")
        assert f"loss {score.loss:.2f}" in sample.reason
        assert sample.end - sample.start == pytest.approx(22 / 12, abs=2e-3)
        assert Path(sample.filepath).is_file()
        assert workspace.root in Path(sample.filepath).parents


def strip_ids(value):
    """Without what differs between two equal samples."""
    if isinstance(value, dict):
        return {
            k: strip_ids(v) for k, v in value.items() if k not in ("_id", "_rand", "_dataset_id", "created_at", "last_modified_at")
        }
    return value


def test_what_is_inserted_at_once_is_what_fiftyone_would_have_stored(parts):
    workspace, catalogue, arrays = parts
    build_dataset(workspace, catalogue, arrays)
    import fiftyone as fo

    rows = [
        Row(
            filepath=f"/nowhere/{n}.mp4",
            metadata={
                "size_bytes": 9, "mime_type": "video/mp4", "frame_width": 480, "frame_height": 320, "frame_rate": 6.0,
                "total_frame_count": 12, "duration": 2.0, "encoding_str": "avc1",
            },
            labels={"label": ("write", None), "proposal": ("phone", 0.5) if n else None},
            values={"tubelet": f"t{n}", "loss": 0.25, "verdict": None, "neighbours": ["a", "b"]},
        )
        for n in range(3)
    ]  # fmt: skip
    slow, fast = fo.Dataset("slow", overwrite=True), fo.Dataset("fast", overwrite=True)
    try:
        for dataset in (slow, fast):
            declare_fields(dataset)
        slow.add_samples([make_sample(row) for row in rows], progress=False)
        ids = insert_rows(fast, rows)
        assert fast.values("id") == ids
        stored = [[strip_ids(d) for d in dataset._sample_collection.find().sort("filepath")] for dataset in (slow, fast)]
        assert stored[0] == stored[1]
        assert fast.get_field_schema().keys() == slow.get_field_schema().keys()
        assert fast.match_frames({}).count() == 0
        assert fast.first().label.label == "write"
    finally:
        slow.delete()
        fast.delete()


def test_the_panel_counts_what_is_decided_and_what_is_left(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays)
    scores = {score.tubelet_id: score for score in catalogue.list_scores(AXIS)}
    wrong = {tubelet: 1 - np.exp(-score.loss) for tubelet, score in scores.items()}
    before = count_progress(dataset)
    assert (before["total"], before["reviewed"], before["verdicts"], before["stop"]) == (18, 0, {}, False)
    assert before["expected"] == pytest.approx(sum(wrong.values()), abs=0.01)
    assert sum(pair["n"] for pair in before["pairs"]) == 18
    waiting = list_waiting(dataset.load_saved_view("Most suspect first"), 4)
    ranked = [score.tubelet_id for score in catalogue.list_scores(AXIS)]
    cards = list_cards(dataset, waiting)
    assert [card["tubelet"] for card in cards] == ranked[:4]
    assert cards[0]["label"] == scores[ranked[0]].label
    assert cards[0]["p_wrong"] == pytest.approx(wrong[ranked[0]])
    near = show_neighbours(dataset, cards[0])
    assert len(near) == 6
    assert {(other["student"], other["lesson"]) for other in near}.isdisjoint({(cards[0]["student"], cards[0]["lesson"])})
    decide(dataset, waiting[:1], "ambiguous", curator="cy")
    decide(dataset, waiting[1:2], "keep", curator="cy")
    after = count_progress(dataset)
    assert (after["reviewed"], after["verdicts"]) == (2, {"ambiguous": 1, "kept": 1})
    assert after["expected"] == pytest.approx(sum(wrong.values()) - wrong[ranked[0]] - wrong[ranked[1]], abs=0.01)
    assert list_waiting(dataset.load_saved_view("Most suspect first"), 2, skip=waiting[2:3]) == [
        waiting[3],
        *list_waiting(dataset.load_saved_view("Most suspect first"), 9)[2:3],
    ]
    (chosen,) = count_progress(dataset, waiting[3:4])["pairs"]
    assert (chosen["label"], chosen["suggested"], chosen["n"]) == (cards[3]["label"], cards[3]["suggested"], 1)
    decide(dataset, dataset.values("id"), "keep", curator="cy")
    assert count_progress(dataset)["stop"] is True


def test_what_another_curator_decided_meanwhile_is_shown(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays)
    tubelets = dataset.values("tubelet")
    sync_verdicts(dataset, catalogue, AXIS)
    assert sync_verdicts(dataset, catalogue, AXIS) == {}
    record_verdict(catalogue, tubelets[:2], AXIS, "drop", curator="di")
    changed = sync_verdicts(dataset, catalogue, AXIS)
    assert [change["verdict"] for change in changed.values()] == ["dropped", "dropped"]
    assert by_tubelet(dataset, "curator")[tubelets[1]] == "di"
    decide(dataset, dataset.values("id")[4:5], "keep", curator="cy")
    assert sync_verdicts(dataset, catalogue, AXIS) == {}
    assert set(decide(dataset, [], "undo", curator="di").tubelet_ids) == set(tubelets[:2])
    assert by_tubelet(dataset, "verdict")[tubelets[4]] == "kept"


def test_what_the_score_knows_is_shown_and_has_views(parts):
    workspace, catalogue, arrays = parts
    scores = catalogue.list_scores(AXIS)
    kinds = ("wrong-label", "bad-track", "conflicting-duplicate", "none", None, None)
    told = [evolve(s, wrong=0.25, kind=kinds[n % 6], reason=f"told {n}") for n, s in enumerate(scores)]
    catalogue.add_scores(told, run="run-told")
    second = HumanSpan(
        tubelet_id=scores[5].tubelet_id, axis=AXIS, value="sleep", annotator="another", made_at="2026-01-09T08:00:00Z"
    )
    catalogue.add_annotations([second])
    try:
        dataset = build_dataset(workspace, catalogue, arrays)
        assert by_tubelet(dataset, "reason")[told[2].tubelet_id] == "told 2"
        assert set(dataset.values("p_wrong")) == {0.25}
        assert by_tubelet(dataset, "trouble")[told[1].tubelet_id] == "bad track"
        assert by_tubelet(dataset, "trouble")[told[3].tubelet_id] is None
        assert set(dataset.load_saved_view("Trouble: bad track").values("tubelet")) == {s.tubelet_id for s in told[1::6]}
        assert {s.tubelet_id for s in told[2::6]} <= set(dataset.load_saved_view("Conflicting duplicates").values("tubelet"))
        assert list(dataset.load_saved_view("Low agreement").values(["tubelet", "agreement"])) == [[second.tubelet_id], [0.5]]
    finally:
        catalogue.add_scores(scores, run="run-before")
        old = next(span for span in catalogue.list_annotations(AXIS) if span.tubelet_id == second.tubelet_id)
        catalogue.add_annotations([evolve(second, value=old.value, made_at="2026-01-10T08:00:00Z")])


def test_the_map_of_motions_is_one_that_fiftyone_shows(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays)
    assert dataset.list_brain_runs() == [MAP]
    assert dataset.load_brain_results(MAP).points.shape == (18, 2)
    assert set(dataset.list_workspaces()) == {"review", "map"}


def test_the_views_are_in_the_order_that_they_promise(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays)
    ranked = [score.tubelet_id for score in catalogue.list_scores(AXIS)]
    assert dataset.load_saved_view("Most suspect first").values("tubelet") == ranked
    losses = dataset.load_saved_view("Highest loss first").values("loss")
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 18
    assert dataset.load_saved_view("Not yet reviewed").values("tubelet") == ranked
    pairs = [name for name in dataset.list_saved_views() if name.startswith("Labelled ")]
    assert pairs
    for name in pairs:
        view = dataset.load_saved_view(name)
        label, suggested = name.removeprefix("Labelled ").split(", looks like ")
        assert set(view.values("label.label")) == {label}
        assert set(view.values("suggested.label")) == {suggested}


def test_a_decision_lands_in_the_catalogue_and_on_the_page(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays)
    top = dataset.load_saved_view("Highest loss first").limit(3)
    ids, tubelets = top.values(["id", "tubelet"])
    suggested = top.values("suggested.label")
    assert decide(dataset, ids[:1], "drop", curator="cy").message == "Dropped 1 label"
    assert decide(dataset, ids[1:2], "relabel", value=suggested[1], curator="cy").tubelet_ids == [tubelets[1]]
    assert decide(dataset, ids[2:], "keep", curator="cy").message == "Kept 1 label"
    standing = {c.tubelet_id: (c.span.value, c.dropped) for c in catalogue.current_labels(AXIS) if c.verdict}
    assert standing[tubelets[0]][1] is True
    assert standing[tubelets[1]] == (suggested[1], False)
    assert len(standing) == 3
    dataset.reload()
    assert [by_tubelet(dataset, "verdict")[t] for t in tubelets] == ["dropped", "relabelled", "kept"]
    assert by_tubelet(dataset, "label.label")[tubelets[1]] == suggested[1]
    assert by_tubelet(dataset, "doubt")[tubelets[1]] is None
    assert by_tubelet(dataset, "original")[tubelets[1]] not in (None, suggested[1])
    assert dataset.load_saved_view("Not yet reviewed").count() == 15
    assert dataset.load_saved_view("Dropped").values("tubelet") == tubelets[:1]


def test_undo_takes_back_the_chosen_or_else_the_newest_decision(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays)
    ids = dataset.values("id")
    decide(dataset, ids[:2], "drop")
    decide(dataset, ids[2:5], "keep")
    assert decide(dataset, ids[:1], "undo").message == "Took back the decision on 1 label"
    assert decide(dataset, [], "undo").message == "Took back the decision on 3 labels"
    assert decide(dataset, ids[1:2], "drop").message == "That is decided already"
    assert [v for v in dataset.values("verdict") if v] == ["dropped"]


def test_a_rebuild_shows_all_verdicts_and_replaces_the_dataset(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays)
    tubelets = dataset.values("tubelet")
    record_verdict(catalogue, tubelets[:2], AXIS, "drop", curator="cy")
    assert set(dataset.values("verdict")) == {None}
    show_verdicts(dataset, catalogue, AXIS)
    assert by_tubelet(dataset, "verdict")[tubelets[1]] == "dropped"
    record_verdict(catalogue, tubelets[1:3], AXIS, "relabel", value="sleep", curator="di")
    again = build_dataset(workspace, catalogue, arrays)
    import fiftyone as fo

    assert fo.list_datasets() == ["school-behaviour"]
    assert again.name == "school-behaviour"
    assert [by_tubelet(again, "verdict")[t] for t in tubelets[:4]] == ["dropped", "relabelled", "relabelled", None]
    assert [by_tubelet(again, "curator")[t] for t in tubelets[:3]] == ["cy", "di", "di"]
    assert len(again) == 18


def test_a_build_that_broke_off_leaves_the_review_before_it_and_the_next_one_works(parts, monkeypatch):
    workspace, catalogue, arrays = parts
    build_dataset(workspace, catalogue, arrays)
    with monkeypatch.context() as patch:
        patch.setattr(ArrayStore, "read_tracks", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_dataset(workspace, catalogue, arrays)
    assert len(find_dataset(workspace)) == 18
    assert len(build_dataset(workspace, catalogue, arrays)) == 18


def test_an_axis_without_labels_gives_an_empty_review_with_all_fields(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays, axis="posture")
    assert len(dataset) == 0
    assert {"label", "loss", "verdict", "p_wrong"} <= set(dataset.get_field_schema())
    assert "Highest loss first" in dataset.list_saved_views()
    assert read_link(dataset).axis.id == "posture"
    dataset.delete()


def test_an_unknown_axis_is_refused(parts):
    workspace, catalogue, arrays = parts
    with pytest.raises(UnknownName, match="unknown axis 'mood'; known: behaviour, posture"):
        build_dataset(workspace, catalogue, arrays, axis="mood")


def test_media_that_has_gone_leaves_its_labels_out_and_says_so(parts):
    workspace, catalogue, arrays = parts
    clip = catalogue.list_clips()[0]
    hidden = Path(clip.uri).rename(Path(clip.uri).with_suffix(".away"))
    for tile in (workspace.root / "crops" / "tubelets" / clip.id).iterdir():
        tile.unlink()
    try:
        dataset = build_dataset(workspace, catalogue, arrays)
        assert len(dataset) == 9
        assert "no such file" in dataset.info["curate"]["problems"][clip.id]
    finally:
        hidden.rename(clip.uri)
    assert len(build_dataset(workspace, catalogue, arrays)) == 18


def test_refusals_write_nothing(parts):
    workspace, catalogue, arrays = parts
    dataset = build_dataset(workspace, catalogue, arrays)
    first = dataset.first().id
    digest = catalogue.digest()
    with pytest.raises(UnknownName, match="unknown sample '0123456789abcdef01234567'"):
        decide(dataset, [first, "0123456789abcdef01234567"], "drop")
    with pytest.raises(UnknownName, match="unknown value of axis behaviour 'dance'"):
        decide(dataset, [first], "relabel", value="dance")
    with pytest.raises(InvalidField, match="undo: expected a label with a verdict"):
        decide(dataset, [first], "undo")
    with pytest.raises(NotEnoughData, match="labels to decide on"):
        decide(dataset, [], "drop")
    assert catalogue.digest() == digest


def test_a_dataset_of_somebody_else_is_refused(parts):
    build_dataset(*parts)
    import fiftyone as fo

    with pytest.raises(WorkspaceError, match="is no review of a workspace"):
        read_link(fo.Dataset("other", overwrite=True))
    fo.delete_dataset("other")


def test_what_cannot_be_right_is_named_and_has_a_view(parts):
    workspace, catalogue, arrays = parts
    scores = catalogue.list_scores(AXIS)
    contexts = catalogue.describe_tubelets()
    worst, other = scores[0].tubelet_id, scores[3].tubelet_id
    at = contexts[worst].tubelet.first + 6
    wrist = Fault(part="left_wrist", kind="leaps", times=9.0, frame=at, first=at, last=at, second=at / 12)
    box = Fault(part="box", kind="outside", times=0.8, frame=at, first=at, last=at + 2, second=at / 12)
    found = {worst: (box, wrist), other: (evolve(box, frame=40, first=40, last=40, second=None),)}
    catalogue.add_scores([evolve(score, faults=found.get(score.tubelet_id, ())) for score in scores], run="with-faults")
    dataset = build_dataset(workspace, catalogue, arrays)
    view = dataset.load_saved_view("Bad box or keypoint")
    assert view.values("tubelet") == [worst, other]
    assert view.first().faulty == ["box", "left_wrist"]
    assert view.first().faults == [
        "box at 0.5 s: misses 80 % of the keypoints", "left_wrist at 0.5 s: leaps away and back 9 x as far as usual",
    ]  # fmt: skip
    (card,) = list_cards(dataset, [view.first().id])
    assert card["faults"] == view.first().faults
    assert dataset.match({"tubelet": {"$nin": [worst, other]}}).distinct("faulty") == []
    plain = {tubelet: path for tubelet, path in by_tubelet(dataset, "filepath").items() if Path(path).stem == tubelet}
    assert set(plain) == {score.tubelet_id for score in scores} - {worst, other}
