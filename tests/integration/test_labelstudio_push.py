"""Push against a real Label Studio: every task and prediction exactly once, whatever interrupts it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import httpx
import numpy as np
import pytest
from attrs import evolve
from fixtures_labelstudio import digest_work, fill_workspace, find_free_port, make_pose, make_proposals

from curation.labelstudio.account import save_account
from curation.labelstudio.client import Client
from curation.labelstudio.push import push_tasks
from curation.labelstudio.tasks import plan_tasks
from schemas.errors import AuthError, InvalidField, NotEnoughData, ServerError
from schemas.labelstudio import BODY_NODES, decode_result

pytestmark = pytest.mark.integration

CLI = [sys.executable, "-c", "from curation.cli import main; main()"]


def read_tasks(label_studio, project):
    with label_studio.connect() as client:
        return list(client.iter_tasks(project, full=True))


def count_keys(tasks):
    return Counter(task["data"]["key"] for task in tasks)


def count_predictions(tasks):
    return Counter((task["data"]["key"], p["model_version"]) for task in tasks for p in task["predictions"])


def assert_exactly_once(tasks, plans, version="cnn-lstm:v1"):
    keys = {plan.key for plan in plans}
    assert count_keys(tasks) == dict.fromkeys(keys, 1)
    assert count_predictions(tasks) == {(key, version): 1 for key in keys}


@pytest.fixture
def small(label_studio):
    workspace = label_studio.make_workspace()
    catalogue, arrays = fill_workspace(workspace)
    yield workspace, catalogue, arrays
    catalogue.close()


def test_the_token_is_known_and_only_the_owner_can_read_it(label_studio):
    import psutil

    from curation.processes import find_server

    path = label_studio.home.root / "servers" / "label-studio.account.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(label_studio.token) == 40
    assert len(label_studio.password) >= 12
    shown = " ".join(psutil.Process(find_server(label_studio.home, "label-studio").pid).cmdline())
    assert label_studio.token not in shown
    assert label_studio.password not in shown
    assert label_studio.password not in repr(label_studio.account)
    with label_studio.connect() as client:
        assert client.check_token() == label_studio.user
        assert label_studio.user in client.list_users().values()


def test_sign_up_is_closed(label_studio):
    form = {"email": "x@y.org", "password": "longenough1", "csrfmiddlewaretoken": "x"}
    with httpx.Client(base_url=label_studio.url) as browser:
        page = browser.get("/user/signup/")
        form["csrfmiddlewaretoken"] = browser.cookies.get("csrftoken", "")
        answer = browser.post("/user/signup/", data=form, headers={"Referer": label_studio.url})
    assert answer.status_code == 403
    assert page.status_code in (200, 302, 403)
    with label_studio.connect() as client:
        assert "x@y.org" not in client.list_users().values()


@pytest.mark.parametrize("url", ["http://127.0.0.2:9090", "http://10.1.2.3:9090", "http://169.254.169.254"])
def test_only_the_ml_backends_address_may_be_called(label_studio, url):
    with label_studio.connect() as client:
        project = client.create_project(f"ssrf {url}", "<View/>")["id"]
        with pytest.raises(ServerError, match="reserved network address"):
            client.link_backend(project, url)


def test_a_wrong_token_says_which_schemes_were_tried(small, label_studio):
    workspace, catalogue, arrays = small
    save_account(workspace, evolve(label_studio.account, token="0" * 40))
    before = catalogue.digest()
    with pytest.raises(AuthError, match=r"tried it as a legacy token \(Token\) and as a personal access token \(Bearer"):
        push_tasks(workspace, catalogue, arrays)
    assert catalogue.digest() == before
    assert not list(workspace.folder("crops/frames").iterdir())


def test_a_personal_access_token_works_too(label_studio):
    with label_studio.connect() as client:
        made = client._call("POST", "/api/token/", json={})
    with Client(evolve(label_studio.account, token=made["token"])) as other:
        assert other.check_token() == label_studio.user
        assert other.find_project("no such project") is None


def test_without_a_server_there_is_one_line(small, label_studio, tmp_path):
    workspace, catalogue, arrays = small
    save_account(workspace, evolve(label_studio.account, url=f"http://127.0.0.1:{find_free_port()}"))
    with pytest.raises(ServerError, match="does not answer; start it with `curate up`"):
        push_tasks(workspace, catalogue, arrays)
    done = subprocess.run([*CLI, "label", "push", "-w", workspace.root], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "does not answer" in done.stderr


def test_nothing_to_push_and_unknown_ids_are_said(label_studio, small):
    empty = label_studio.make_workspace()
    from curation.store import ArrayStore, Catalogue

    with Catalogue.open(empty.catalogue_url) as catalogue, pytest.raises(NotEnoughData, match="curate preannotate"):
        push_tasks(empty, catalogue, ArrayStore(empty.folder("arrays")))
    workspace, catalogue, arrays = small
    with pytest.raises(InvalidField, match="ids that the catalogue has"):
        push_tasks(workspace, catalogue, arrays, tubelet_ids=["tub_nobody"])


def test_tasks_hold_boxes_skeletons_and_proposals(small, label_studio):
    workspace, catalogue, arrays = small
    steps = []
    done = push_tasks(workspace, catalogue, arrays, progress=lambda *step: steps.append(step))
    plans = plan_tasks(workspace, catalogue)
    assert (done.created, done.there, done.predicted, done.removed) == (2, 0, 0, 0)
    assert steps == [(1, 2), (2, 2)]
    tasks = read_tasks(label_studio, done.project)
    assert_exactly_once(tasks, plans)
    for task, plan in zip(sorted(tasks, key=lambda t: t["data"]["first"]), plans, strict=True):
        assert task["data"]["frame"] == plan.frame
        assert task["data"]["lesson"] == "lesson-0"
        (prediction,) = task["predictions"]
        assert prediction["score"] == pytest.approx(0.8)
        people = decode_result(prediction["result"])
        assert [p.id for p in people] == [t.id for t in plan.tubelets]
        tracks = {t.id: t for t in arrays.read_tracks(plan.clip.id)}
        for person, tubelet in zip(people, plan.tubelets, strict=True):
            box = tracks[tubelet.track_id].boxes_xyxy[0]
            np.testing.assert_allclose(person.box_xyxy, box, atol=1e-4)
            shown = [n for n in range(33) if np.isfinite(person.pose_px[n]).all()]
            assert shown == [n for n in BODY_NODES if n < 25]
            np.testing.assert_array_equal(person.pose_px[shown], make_pose(box)[shown])
            (span,) = [s for s in catalogue.list_predictions("behaviour") if s.tubelet_id == tubelet.id]
            assert [(lab.axis, lab.value) for lab in person.labels] == [("behaviour", span.value)]
        with label_studio.connect() as client:
            client.check_token()
            picture = client._send("GET", task["data"]["image"], headers={"Authorization": client._header})
        assert picture.headers["content-type"] == "image/jpeg"
        assert len(picture.content) > 1000
    with label_studio.connect() as client:
        assert client.find_project(workspace.config.project)["model_version"] == "cnn-lstm:v1"


def test_pushing_again_changes_nothing(small, label_studio):
    workspace, catalogue, arrays = small
    first = push_tasks(workspace, catalogue, arrays)
    before = read_tasks(label_studio, first.project)
    again = push_tasks(workspace, catalogue, arrays)
    assert (again.project, again.created, again.there, again.predicted, again.removed) == (first.project, 0, 2, 0, 0)
    after = read_tasks(label_studio, first.project)
    strip = lambda tasks: [(t["id"], t["data"], [(p["id"], p["result"]) for p in t["predictions"]]) for t in tasks]  # noqa: E731
    assert strip(after) == strip(before)


def test_some_tubelets_push_only_their_windows(small, label_studio):
    workspace, catalogue, arrays = small
    first, second = plan_tasks(workspace, catalogue)
    done = push_tasks(workspace, catalogue, arrays, tubelet_ids=[second.tubelets[0].id])
    assert (done.created, done.there) == (1, 0)
    done = push_tasks(workspace, catalogue, arrays)
    assert (done.created, done.there) == (1, 1)
    assert_exactly_once(read_tasks(label_studio, done.project), [first, second])


def test_a_newer_model_adds_predictions_to_unlabelled_tasks_only(small, label_studio):
    workspace, catalogue, arrays = small
    project = push_tasks(workspace, catalogue, arrays).project
    labelled, other = sorted(read_tasks(label_studio, project), key=lambda t: t["data"]["first"])
    with label_studio.connect() as client:
        client.create_annotation(labelled["id"], labelled["predictions"][0]["result"])
    catalogue.add_predictions(make_proposals(catalogue.list_tubelets(), "v2"))
    done = push_tasks(workspace, catalogue, arrays)
    assert (done.created, done.there, done.predicted) == (0, 2, 1)
    assert push_tasks(workspace, catalogue, arrays).predicted == 0
    tasks = {task["id"]: task for task in read_tasks(label_studio, project)}
    assert [p["model_version"] for p in tasks[labelled["id"]]["predictions"]] == ["cnn-lstm:v1"]
    assert sorted(p["model_version"] for p in tasks[other["id"]]["predictions"]) == ["cnn-lstm:v1", "cnn-lstm:v2"]
    with label_studio.connect() as client:
        assert client.find_project(workspace.config.project)["model_version"] == "cnn-lstm:v2"


def test_lost_predictions_are_repaired_and_doubles_taken_back(small, label_studio):
    workspace, catalogue, arrays = small
    project = push_tasks(workspace, catalogue, arrays).project
    one, two = sorted(read_tasks(label_studio, project), key=lambda t: t["data"]["first"])
    with label_studio.connect() as client:
        client.delete_prediction(one["predictions"][0]["id"])
        prediction = {k: two["predictions"][0][k] for k in ("model_version", "score", "result")}
        client.import_predictions(project, [{"task": two["id"], **prediction}])
        client.import_tasks(project, [{"data": two["data"], "predictions": [prediction]}])
    done = push_tasks(workspace, catalogue, arrays)
    assert (done.created, done.predicted, done.removed) == (0, 1, 2)
    tasks = read_tasks(label_studio, project)
    assert_exactly_once(tasks, plan_tasks(workspace, catalogue))
    assert {task["id"] for task in tasks} == {one["id"], two["id"]}


class Wire:
    """Passes bytes on to the real server, and cuts the line after so many imports have gone through (before the answer is back)."""

    def __init__(self, target_port, cut_after):
        self.target_port, self.cut_after, self.imports = target_port, cut_after, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.socket.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target_port))
            threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source, sink, forward):
        try:
            while data := source.recv(65536):
                if forward and data.startswith(b"POST") and b"/import" in data.split(b"\r\n", 1)[0]:
                    self.imports += 1
                elif not forward and self.imports >= self.cut_after:
                    self.socket.close()
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def long(label_studio):
    workspace = label_studio.make_workspace(preannotation={"window": 0.5, "fps": 6.0})
    catalogue, arrays = fill_workspace(workspace, windows=40)
    yield workspace, catalogue, arrays
    catalogue.close()


def test_a_server_that_goes_down_in_the_middle_is_one_line_and_a_rerun_finishes(long, label_studio):
    workspace, catalogue, arrays = long
    wire = Wire(int(label_studio.url.rsplit(":", 1)[1]), cut_after=2)
    save_account(workspace, evolve(label_studio.account, url=f"http://127.0.0.1:{wire.port}"))
    done = subprocess.run([*CLI, "label", "push", "-w", workspace.root], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("curate: label-studio at http://127.0.0.1:")
    assert "broke off" in last or "does not answer" in last
    assert "Traceback" not in done.stderr
    label_studio.attach(workspace)
    result = push_tasks(workspace, catalogue, arrays)
    assert result.there >= 25  # the second batch arrived although its answer was lost
    assert_exactly_once(read_tasks(label_studio, result.project), plan_tasks(workspace, catalogue))


@pytest.mark.parametrize("seen", [1, 26])
def test_killed_in_the_middle_the_same_command_ends_the_same(long, label_studio, seen):
    workspace, catalogue, _ = long
    process = subprocess.Popen([*CLI, "label", "push", "-w", workspace.root], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with label_studio.connect() as client:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            project = client.find_project(workspace.config.project)
            if project and int(project["task_number"] or 0) >= seen:
                break
            time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    again = subprocess.run([*CLI, "label", "push", "--json", "-w", workspace.root], capture_output=True, text=True, check=True)
    told = json.loads(again.stdout)
    assert told["created"] + told["there"] == 40
    tasks = read_tasks(label_studio, told["project"])
    assert_exactly_once(tasks, plan_tasks(workspace, catalogue))
    calm = label_studio.make_workspace(preannotation={"window": 0.5, "fps": 6.0})
    other, arrays = fill_workspace(calm, windows=40)
    with other:
        project = push_tasks(calm, other, arrays).project
    assert digest_work(workspace, tasks) == digest_work(calm, read_tasks(label_studio, project))


def test_two_pushes_at_once_do_not_get_in_each_others_way(small):
    import fcntl

    workspace, catalogue, arrays = small
    with (workspace.folder("servers") / "push.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(ServerError, match="another `label push`"):
            push_tasks(workspace, catalogue, arrays)
    assert push_tasks(workspace, catalogue, arrays).created == 2


def test_pictures_that_the_server_may_not_show_are_refused(small, label_studio, tmp_path):
    workspace, catalogue, arrays = small
    save_account(workspace, evolve(label_studio.account, document_root=str(tmp_path)))
    with pytest.raises((InvalidField, ServerError), match="document_root"):
        push_tasks(workspace, catalogue, arrays)
