"""No face reaches the real servers: what Label Studio serves and FiftyOne is given, after copies that showed more were there."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import pytest
from fixtures_labelstudio import find_free_port
from fixtures_media import run_curate
from fixtures_privacy import STRONG, compare_heads, find_true_heads, list_media, list_true_heads, read_copy
from fixtures_review_rendered import add_lesson, label_lessons

from curation.labelstudio.tasks import find_frame, plan_tasks
from curation.media import read_frame
from curation.render import read_truth
from curation.store import Catalogue

pytestmark = pytest.mark.integration


def read_tasks(label_studio, project):
    with label_studio.connect() as client:
        return {task["data"]["key"]: task for task in client.iter_tasks(project, full=True)}


def fetch(label_studio, address):
    with label_studio.connect() as client:
        client.check_token()
        answer = client._send("GET", address, headers={"Authorization": client._header})
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def test_no_face_reaches_either_server(label_studio, tiny_lessons, count_faces):
    lesson = tiny_lessons[1]
    before = hashlib.sha256(lesson.read_bytes()).hexdigest()
    workspace = label_studio.make_workspace()
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        label_lessons(workspace, catalogue, add_lesson(workspace, catalogue, lesson))
        plans = {plan.key: plan for plan in plan_tasks(workspace, catalogue)}
    plain = json.loads(run_curate("label", "push", "--json", cwd=workspace.root).stdout)
    assert run_curate("review", "open", "--build", "--port", find_free_port(), cwd=workspace.root).returncode == 0
    truth = read_truth(lesson)
    heads = list_true_heads(workspace, truth)
    assert list_media(workspace.folder("crops")) == sorted(heads)
    shown = {path: read_copy(path) for path in heads}
    assert sum((count_faces(shown[path], boxes) > 0).sum() for path, boxes in heads.items()) >= len(plans)

    pushed = run_curate("label", "push", "--blur", "heads", "--json", cwd=workspace.root)
    told = json.loads(pushed.stdout)
    assert (told["created"], told["there"], told["replaced"]) == (0, plain["created"], len(shown))
    assert f"{len(shown)} copies showed more than they may and were deleted" in pushed.stderr
    assert list_media(workspace.folder("crops")) == sorted(find_frame(workspace, plan) for plan in plans.values())
    assert run_curate("review", "open", "--build", "--port", find_free_port(), cwd=workspace.root).returncode == 0
    assert list_media(workspace.root) == sorted(heads)
    for path, boxes in heads.items():
        assert (compare_heads(shown[path], read_copy(path), boxes)[:, 0] < STRONG).all()
        assert not count_faces(read_copy(path), boxes).any()

    tasks = read_tasks(label_studio, told["project"])
    assert set(tasks) == set(plans)
    for key, task in tasks.items():
        served, source = fetch(label_studio, task["data"]["image"]), read_frame(lesson, plans[key].frame)
        measured = compare_heads(source, served, find_true_heads(truth, plans[key].frame))
        assert len(measured)
        assert (measured[:, 0] < STRONG).all()
    assert hashlib.sha256(lesson.read_bytes()).hexdigest() == before
