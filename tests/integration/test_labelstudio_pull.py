"""Annotations made in a real Label Studio come into the catalogue once, with who, when and from what."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from fixtures_labelstudio import digest_work, fill_workspace, make_proposals

from curation.config import open_workspace
from curation.labelstudio.again import push_reviews
from curation.labelstudio.pull import pull_annotations, read_label_status
from curation.labelstudio.push import push_tasks
from curation.review.actions import record_verdict
from curation.store import ArrayStore, Catalogue
from schemas.errors import ServerError
from schemas.records import HumanSpan

pytestmark = pytest.mark.integration

CLI = [sys.executable, "-c", "from curation.cli import main; main()"]


@pytest.fixture
def pushed(label_studio):
    workspace = label_studio.make_workspace()
    catalogue, arrays = fill_workspace(workspace)
    project = push_tasks(workspace, catalogue, arrays).project
    with label_studio.connect() as client:
        tasks = sorted(client.iter_tasks(project, full=True), key=lambda t: t["data"]["first"])
        yield workspace, catalogue, arrays, client, tasks
    catalogue.close()


def find_item(result, region, kind):
    return next(item for item in result if item["type"] == kind and item["id"].startswith(region))


def answer(client, task, change=lambda result: None, **fields):
    """Label a task like somebody who starts from its prediction and then changes things."""
    prediction = task["predictions"][0]
    result = copy.deepcopy(prediction["result"])
    change(result)
    return client.create_annotation(task["id"], result, parent_prediction=prediction["id"], **fields)


def test_accepted_proposals_become_labels_of_the_annotator(pushed, label_studio):
    workspace, catalogue, arrays, client, (task, _) = pushed
    made = answer(client, task)
    steps = []
    done = pull_annotations(workspace, catalogue, arrays, progress=lambda *step: steps.append(step))
    assert (done.annotations, done.labels, done.people, done.problems) == (1, 3, 0, [])
    assert steps[-1] == (2, 2)
    proposals = {span.tubelet_id: span for span in catalogue.list_predictions("behaviour")}
    spans = catalogue.list_annotations()
    assert {span.tubelet_id for span in spans} == {t.id for t in catalogue.list_tubelets() if t.first == task["data"]["first"]}
    for span in spans:
        assert isinstance(span, HumanSpan)
        assert span.value == proposals[span.tubelet_id].value
        assert span.from_predicted == proposals[span.tubelet_id].id
        assert span.annotator == label_studio.user
        assert span.made_at == made["updated_at"]
        assert span.origin == f"label-studio/{made['project']}/annotations/{made['id']}"
        assert (span.box_xyxy, span.pose_px, span.frame) == (None, None, None)


def test_pulling_twice_adds_nothing_and_a_change_adds_rows(pushed):
    workspace, catalogue, arrays, client, (task, _) = pushed
    made = answer(client, task)
    pull_annotations(workspace, catalogue, arrays)
    before = catalogue.digest(), arrays.digest()
    done = pull_annotations(workspace, catalogue, arrays)
    assert (done.annotations, done.labels) == (1, 0)
    assert (catalogue.digest(), arrays.digest()) == before
    changed = copy.deepcopy(made["result"])
    region = changed[0]["id"]
    find_item(changed, region, "choices")["value"]["choices"] = ["sleep"]
    client.update_annotation(made["id"], result=changed)
    assert pull_annotations(workspace, catalogue, arrays).labels == 3
    assert len(catalogue.list_annotations()) == 6
    current = {entry.tubelet_id: entry.span.value for entry in catalogue.current_labels("behaviour")}
    assert current[region] == "sleep"
    assert len(current) == 3


def test_moved_boxes_and_keypoints_are_kept(pushed):
    workspace, catalogue, arrays, client, (task, _) = pushed
    first, second, third = [r["id"] for r in task["predictions"][0]["result"] if r["type"] == "rectanglelabels"]

    def change(result):
        for item in result:
            if item["id"] == first and item["type"] != "vectorlabels":
                item["value"]["x"] += 10
        bones = find_item(result, second, "vectorlabels")["value"]["vertices"]
        wrist = next(v for v in bones if v["id"].startswith("15:"))
        wrist["y"] -= 20
        bones[:] = [v for v in bones if not v["id"].startswith("2:")]

    answer(client, task, change)
    pull_annotations(workspace, catalogue, arrays)
    spans = {span.tubelet_id: span for span in catalogue.list_annotations()}
    tubelets = {t.id: t for t in catalogue.list_tubelets()}
    tracks = {t.id: t for t in arrays.read_tracks(task["data"]["clip"])}
    old = tracks[tubelets[first].track_id].boxes_xyxy[0]
    np.testing.assert_allclose(spans[first].box_xyxy, old + np.float32([64, 0, 64, 0]), atol=1e-3)
    assert spans[first].frame == task["data"]["frame"]
    assert spans[first].pose_px is None
    pose, model = spans[second].pose_px, tracks[tubelets[second].track_id].pose_px[0]
    assert spans[second].box_xyxy is None
    assert pose[15, 1] == pytest.approx(model[15, 1] - 72, abs=1e-3)
    assert pose[2, 3] == 0
    untouched = [n for n in range(33) if n not in (2, 15)]
    np.testing.assert_array_equal(pose[untouched], model[untouched])
    assert (spans[third].box_xyxy, spans[third].pose_px) == (None, None)


def add_region(result, box, value, region="drawn1"):
    """A box as the editor makes it when somebody draws."""
    size = {"original_width": 640, "original_height": 360, "image_rotation": 0, "to_name": "image", "id": region}
    x1, y1, x2, y2 = (float(v) for v in box)
    place = {"x": x1 / 6.4, "y": y1 / 3.6, "width": (x2 - x1) / 6.4, "height": (y2 - y1) / 3.6, "rotation": 0}
    result.append({**size, "from_name": "box", "type": "rectanglelabels", "value": {**place, "rectanglelabels": ["person"]}})
    result.append({**size, "from_name": "behaviour", "type": "choices", "value": {**place, "choices": [value]}})


def test_somebody_who_was_not_found_is_added(pushed):
    workspace, catalogue, arrays, client, (task, _) = pushed
    box = (600.0, 300.0, 638.0, 358.0)
    made = answer(client, task, lambda result: add_region(result, box, "stand"))
    done = pull_annotations(workspace, catalogue, arrays)
    assert (done.labels, done.people, done.problems) == (4, 1, [])
    (span,) = [s for s in catalogue.list_annotations() if s.value == "stand"]
    tubelet = next(t for t in catalogue.list_tubelets() if t.id == span.tubelet_id)
    assert (tubelet.first, tubelet.last) == (task["data"]["first"], task["data"]["last"])
    track = next(t for t in arrays.read_tracks(tubelet.clip_id) if t.id == tubelet.track_id)
    np.testing.assert_array_equal(track.frames, [task["data"]["frame"]])
    np.testing.assert_allclose(track.boxes_xyxy, [box], atol=1e-3)
    assert np.isnan(track.pose_px).all()
    assert span.from_predicted is None
    before = catalogue.digest(), arrays.digest()
    assert pull_annotations(workspace, catalogue, arrays).people == 0
    assert (catalogue.digest(), arrays.digest()) == before
    moved = [r for r in made["result"] if r["id"] != "drawn1"]
    add_region(moved, (500.0, 200.0, 538.0, 258.0), "stand")
    client.update_annotation(made["id"], result=moved)
    assert pull_annotations(workspace, catalogue, arrays).people == 0
    newest = [s for s in catalogue.list_annotations() if s.value == "stand"][-1]
    assert newest.tubelet_id == tubelet.id
    np.testing.assert_allclose(newest.box_xyxy, (500, 200, 538, 258), atol=1e-3)


def test_a_box_drawn_anew_is_matched_by_overlap(pushed):
    workspace, catalogue, arrays, client, (task, _) = pushed
    region = task["predictions"][0]["result"][0]["id"]
    tracks = {t.id: t for t in arrays.read_tracks(task["data"]["clip"])}
    box = tracks[next(t for t in catalogue.list_tubelets() if t.id == region).track_id].boxes_xyxy[0]

    def change(result):
        result[:] = [item for item in result if not item["id"].startswith(region)]
        add_region(result, [*(box[:2] + 5), *(box[2:] + 5)], "phone")

    answer(client, task, change)
    done = pull_annotations(workspace, catalogue, arrays)
    assert (done.people, done.labels) == (0, 3)
    (span,) = [s for s in catalogue.list_annotations() if s.value == "phone"]
    assert span.tubelet_id == region
    np.testing.assert_allclose(span.box_xyxy, box + 5, atol=1e-3)


def test_what_does_not_fit_is_reported_and_the_rest_is_taken(pushed):
    workspace, catalogue, _, client, (task, other) = pushed
    first, second, _ = [r["id"] for r in task["predictions"][0]["result"] if r["type"] == "rectanglelabels"]

    def change(result):
        find_item(result, first, "choices")["value"]["choices"] = ["juggle"]
        find_item(result, second, "rectanglelabels")["value"]["rotation"] = 12

    made = answer(client, task, change)
    answer(client, other, was_cancelled=True)
    client.create_annotation(other["id"], [])
    done = subprocess.run([*CLI, "label", "pull", "--json", "-w", workspace.root], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["annotations"], told["skipped"], told["empty"], told["labels"]) == (3, 1, 1, 2)
    assert any(f"annotation {made['id']}: {first}: unknown value of axis behaviour 'juggle'" in line for line in told["problems"])
    assert any("rotation: expected 0" in line for line in told["problems"])
    assert "juggle" in done.stderr
    assert first not in {s.tubelet_id for s in catalogue.list_annotations()}


def test_several_axes_and_contradictions(pushed):
    workspace, catalogue, arrays, client, (task, _) = pushed
    region = task["predictions"][0]["result"][0]["id"]

    def change(result):
        item = find_item(result, region, "choices")
        item["value"]["choices"] = ["write"]
        for axis, value in (("head", "ahead"), ("posture", "lying")):
            result.append({**copy.deepcopy(item), "from_name": axis})
            result[-1]["value"]["choices"] = [value]

    answer(client, task, change)
    done = pull_annotations(workspace, catalogue, arrays)
    said = {(s.axis, s.value) for s in catalogue.list_annotations() if s.tubelet_id == region}
    assert said == {("behaviour", "write"), ("head", "ahead"), ("posture", "lying")}
    assert len(done.problems) == 2
    assert all("exclude each other; both were taken" in line for line in done.problems)
    assert {s.from_predicted is None for s in catalogue.list_annotations("head")} == {True}


def test_labels_remember_the_model_version_they_started_from(pushed):
    workspace, catalogue, arrays, client, (task, other) = pushed
    catalogue.add_predictions(make_proposals(catalogue.list_tubelets(), "v2", values=("sleep", "stand")))
    push_tasks(workspace, catalogue, arrays)
    answer(client, task)  # from v1, although v2 is there
    client.create_annotation(other["id"], other["predictions"][0]["result"])  # from nothing
    pull_annotations(workspace, catalogue, arrays)
    old = {span.id for span in catalogue.list_predictions("behaviour", model="cnn-lstm", version="v1")}
    by_window = {t.id: t.first for t in catalogue.list_tubelets()}
    for span in catalogue.list_annotations():
        started = span.from_predicted
        assert (started in old) if by_window[span.tubelet_id] == task["data"]["first"] else started is None


def test_status_counts(pushed):
    workspace, catalogue, arrays, client, (task, other) = pushed
    answer(client, task)
    answer(client, other, was_cancelled=True)
    found = read_label_status(workspace, catalogue)
    assert (found.tasks, found.labelled_tasks, found.annotations, found.skipped, found.pulled) == (2, 1, 1, 1, 0)
    pull_annotations(workspace, catalogue, arrays)
    assert read_label_status(workspace, catalogue).pulled == 1
    done = subprocess.run([*CLI, "label", "status", "-w", workspace.root], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("2 tasks, 1 labelled; 1 annotations, 1 skipped, 1 pulled: http://127.0.0.1:")


def test_without_a_project_pull_says_what_to_do(label_studio):
    workspace = label_studio.make_workspace()
    catalogue, arrays = fill_workspace(workspace, windows=1)
    with catalogue, pytest.raises(ServerError, match=r"has no project .* run `curate label push`"):
        pull_annotations(workspace, catalogue, arrays)


def test_killed_in_the_middle_the_same_pull_ends_the_same(label_studio):
    workspace = label_studio.make_workspace(preannotation={"window": 0.5, "fps": 6.0})
    catalogue, arrays = fill_workspace(workspace, windows=24)
    project = push_tasks(workspace, catalogue, arrays).project
    with label_studio.connect() as client:
        for number, task in enumerate(client.iter_tasks(project, full=True)):
            answer(
                client, task, lambda r, n=number: add_region(r, (600, 300, 638, 358), "stand", f"drawn{n}") if n % 4 == 0 else None
            )
    calm = workspace.root.with_name(f"{workspace.root.name}-calm")
    catalogue.close()  # copying a database that is open here would take its locks away
    shutil.copytree(workspace.root, calm)
    catalogue = Catalogue.open(workspace.catalogue_url)
    for _ in range(2):
        process = subprocess.Popen(
            [*CLI, "label", "pull", "-w", workspace.root], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before, deadline = len(catalogue.list_annotations()), time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None and len(catalogue.list_annotations()) < before + 12:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    interrupted = len(catalogue.list_annotations())
    assert interrupted > 0
    pull_annotations(workspace, catalogue, arrays)
    assert len(catalogue.list_annotations()) == 24 * 3 + 6
    assert len({span.id for span in catalogue.list_annotations()}) == 78
    whole = open_workspace(calm)
    with Catalogue.open(whole.catalogue_url) as other:
        pull_annotations(whole, other, ArrayStore(whole.folder("arrays")))
    assert digest_work(workspace) == digest_work(whole)
    pull_annotations(workspace, catalogue, arrays)
    assert digest_work(workspace) == digest_work(whole)
    catalogue.close()


def test_an_ambiguous_label_is_asked_about_again_once_and_the_answer_comes_back(pushed):
    workspace, catalogue, arrays, client, (task, _) = pushed
    answer(client, task)
    pull_annotations(workspace, catalogue, arrays)
    assert push_reviews(workspace, catalogue, arrays, "behaviour") is None
    (doubtful, *_) = sorted(span.tubelet_id for span in catalogue.list_annotations())
    (verdict,) = record_verdict(catalogue, [doubtful], "behaviour", "ambiguous", curator="cy")
    sent = push_reviews(workspace, catalogue, arrays, "behaviour")
    assert (sent.created, sent.there) == (1, 0)
    again = push_reviews(workspace, catalogue, arrays, "behaviour")
    assert (again.created, again.there) == (0, 1)
    (asked,) = [t for t in client.iter_tasks(sent.project, full=True) if t["data"]["key"] == f"{task['data']['key']}:{verdict.id}"]
    assert asked["data"]["review"].startswith("behaviour: cy could not tell; ")
    assert {item["id"].split("_pose")[0] for item in asked["predictions"][0]["result"] if item["type"] == "rectanglelabels"} == {
        doubtful
    }

    def say_sleep(result):
        find_item(result, doubtful, "choices")["value"] = {"choices": ["sleep"]}

    answer(client, asked, say_sleep)
    before = len(catalogue.list_annotations())
    done = pull_annotations(workspace, catalogue, arrays)
    assert (done.problems, done.people) == ([], 0)
    assert len(catalogue.list_annotations()) == before + 1
    (label,) = [c for c in catalogue.current_labels("behaviour") if c.tubelet_id == doubtful]
    assert (label.original.value, label.dropped) == ("sleep", True)
    record_verdict(catalogue, [doubtful], "behaviour", "keep", curator="cy")
    (label,) = [c for c in catalogue.current_labels("behaviour") if c.tubelet_id == doubtful]
    assert (label.span.value, label.dropped) == ("sleep", False)
