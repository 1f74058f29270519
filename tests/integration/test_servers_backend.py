"""The ML backend speaks Label Studio's protocol, reads pictures only where it may, and takes every event once."""

import json
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from fixtures_labelstudio import fill_workspace, find_free_port
from PIL import Image

from backends.server.app import create_app
from backends.server.events import EventQueue
from backends.server.pictures import find_picture
from curation.config import Config, create_workspace
from curation.labelstudio.backend import make_lookup
from curation.labelstudio.tasks import plan_tasks
from schemas.errors import MediaError
from schemas.labelstudio import decode_result


@pytest.fixture
def client():
    known = {"result": [], "score": 0.5, "model_version": "m:1"}
    app = create_app(lookup=lambda task: known if task.get("data", {}).get("key") == "k" else None)
    with TestClient(app) as client:
        yield client


def test_health_setup_and_versions(client):
    assert client.get("/health").json() == {"status": "UP", "model_class": "curate", "events": 0}
    version = client.post("/setup", json={"project": "1.2", "schema": "<View/>"}).json()["model_version"]
    assert version
    assert client.get("/versions", params={"project": "1.2"}).json() == {"versions": [version]}


def test_known_tasks_are_answered_in_order_and_unknown_ones_with_nothing(client):
    tasks = [{"id": 1, "data": {"key": "k"}}, {"id": 2, "data": {"key": "?", "image": "https://example.org/x.jpg"}}, {"id": 3}]
    answer = client.post("/predict", json={"tasks": tasks, "project": "1.2"})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert results[0]["model_version"] == "m:1"
    assert [r["result"] for r in results] == [[], [], []]
    assert [r["score"] for r in results] == [0.5, 0.0, 0.0]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"tasks": 3}', b'{"tasks": ["x"]}', b"\xff\xfe"])
def test_bad_requests_are_refused_in_one_line(client, body):
    answer = client.post("/predict", content=body)
    assert answer.status_code == 422
    assert "expected" in answer.json()["detail"]


def test_large_requests_are_refused_with_and_without_a_length():
    with TestClient(create_app(max_body=1000)) as client:
        assert client.post("/predict", content=b"x" * 1001).status_code == 413
        assert client.post("/webhook", content=(b"x" * 400 for _ in range(3))).status_code == 413
        assert client.post("/webhook", json={"action": "x", "text": "y" * 500}).status_code == 201


def test_events_are_taken_at_once_and_each_one_once():
    seen, hold = [], threading.Event()

    def work(event):
        hold.wait(5)
        if event["action"] == "BAD":
            raise ValueError("cannot be worked on")
        seen.append(event["action"])

    with TestClient(create_app(on_event=work)) as client:
        start = time.monotonic()
        answers = [client.post("/webhook", json={"action": name, "id": 1}).json()["status"] for name in ("A", "BAD", "A", "B")]
        assert time.monotonic() - start < 1
        assert answers == ["queued", "queued", "known", "queued"]
        assert client.get("/health").json()["events"] == 3
    hold.set()
    deadline = time.monotonic() + 5
    while len(seen) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == ["A", "B"]


def test_without_a_worker_events_are_only_counted():
    events = EventQueue(None)
    assert (events.put("a", {}), events.put("a", {}), events.put("b", {})) == (True, False, True)
    assert events.count == 2


def test_pictures_are_read_below_the_media_folder_only(tmp_path):
    root = tmp_path / "media"
    root.mkdir()
    (root / "a b.jpg").write_bytes(b"x")
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert find_picture("/data/local-files/?d=a%20b.jpg", root) == (root / "a b.jpg").resolve()
    for address in (
        "/data/local-files/?d=../secret.jpg",
        "/data/local-files/?d=" + str(tmp_path / "secret.jpg"),
        "/data/local-files/?d=link.jpg",
        "/data/local-files/?d=missing.jpg",
        "/data/local-files/?d=.",
        "/data/local-files/?d=a%00.jpg",
        "/data/local-files/?x=a",
        "http://127.0.0.1/data/local-files/?d=a%20b.jpg",
        "//host/data/local-files/?d=a%20b.jpg",
        "file:///etc/passwd",
        "s3://bucket/a.jpg",
        "",
        None,
    ):
        with pytest.raises(MediaError):
            find_picture(address, root)
    with pytest.raises(MediaError, match="is not a local picture"):
        find_picture("/data/local-files/?d=a%20b.jpg", None)


def test_importing_the_backend_loads_nothing_heavy():
    heavy = ("torch", "mediapipe", "cv2", "fiftyone", "label_studio", "curation")
    code = f"import sys, backends.server.app as a; a.create_app(); print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.fixture
def workspace(tmp_path):
    workspace = create_workspace(tmp_path / "w", Config(ports={"backend": find_free_port()}))
    catalogue, _ = fill_workspace(workspace)
    yield workspace, catalogue
    catalogue.close()


def test_a_workspaces_backend_answers_from_its_catalogue(workspace):
    workspace, catalogue = workspace
    lookup = make_lookup(workspace)
    plan = plan_tasks(workspace, catalogue)[1]
    found = lookup({"id": 1, "data": {"key": plan.key}})
    assert found["model_version"] == "cnn-lstm:v1"
    assert [p.id for p in decode_result(found["result"])] == [t.id for t in plan.tubelets]
    assert lookup({"id": 1, "data": {"key": "elsewhere"}}) is None
    assert lookup({"id": 1}) is None


@pytest.mark.integration
def test_backend_serve_runs_on_loopback_until_it_is_stopped(workspace):
    workspace, catalogue = workspace
    port = workspace.config.ports.backend
    process = subprocess.Popen(
        [sys.executable, "-c", "from curation.cli import main; main()", "backend", "serve", "-w", workspace.root],
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/health").json()["status"] == "UP"
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        key = plan_tasks(workspace, catalogue)[0].key
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", json={"tasks": [{"id": 1, "data": {"key": key}}]}, timeout=60)
        assert answer.json()["results"][0]["model_version"] == "cnn-lstm:v1"
        again = subprocess.run(
            [sys.executable, "-c", "from curation.cli import main; main()", "backend", "serve", "-w", workspace.root],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert again.returncode == 1
        assert f"port {port} is in use" in again.stderr
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.integration
def test_label_studio_connects_to_the_backend_and_asks_it(label_studio, tmp_path):
    """The real server checks health and setup, and its events reach the webhook."""
    import uvicorn

    events = []
    port = find_free_port()
    app = create_app(lookup=lambda task: {"result": [], "score": 0.25, "model_version": "m:9"}, on_event=events.append)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    try:
        while not server.started:
            time.sleep(0.02)
        with label_studio.connect() as client:
            choices = '<Choices name="c" toName="image"><Choice value="a"/><Choice value="b"/></Choices>'
            config = f'<View><Image name="image" value="$image"/>{choices}</View>'
            project = client.create_project(f"backend {port}", config)["id"]
            client.link_backend(project, f"http://127.0.0.1:{port}")
            client.link_backend(project, f"http://127.0.0.1:{port}")
            (linked,) = client._call("GET", "/api/ml", params={"project": project})
            assert linked["readable_state"] == "Connected"
            (task,) = client.import_tasks(project, [{"data": {"image": "x.jpg", "key": "k"}}])
            result = [{"from_name": "c", "to_name": "image", "type": "choices", "value": {"choices": ["a"]}}]
            client.create_annotation(task, result)
            deadline = time.monotonic() + 10
            while not any(e.get("action") == "ANNOTATION_CREATED" for e in events) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert "ANNOTATION_CREATED" in [e.get("action") for e in events]
            client._call("POST", f"/api/ml/{linked['id']}/predict/test", json={}, params={"random": "true"})
    finally:
        server.should_exit = True


def test_a_picture_that_is_no_picture_is_answered_with_nothing(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "b.tiff")
    with TestClient(create_app(media_root=tmp_path)) as client:
        tasks = [{"data": {"image": f"/data/local-files/?d={name}"}} for name in ("a.jpg", "b.tiff")]
        results = client.post("/predict", content=json.dumps({"tasks": tasks})).json()["results"]
    assert [r["result"] for r in results] == [[], []]


@pytest.mark.integration
def test_an_unknown_picture_is_looked_at_with_the_models(tmp_path):
    from backends.people.bundles import find_bundle
    from curation.media import read_frame
    from curation.render import read_truth, render_classroom
    from schemas.errors import ModelError

    try:
        find_bundle("pose")
    except ModelError as error:
        pytest.skip(str(error))
    path = next(p for p in render_classroom(tmp_path, seed=3, lessons=1, cameras=1, seconds=0.5) if p.suffix == ".mp4")
    Image.fromarray(read_frame(path, 0)).save(tmp_path / "frame.png")
    truth = read_truth(path).boxes[0]
    with TestClient(create_app(media_root=tmp_path)) as client:
        answer = client.post("/predict", json={"tasks": [{"data": {"image": "/data/local-files/?d=frame.png"}}]}).json()
    (prediction,) = answer["results"]
    people = decode_result(prediction["result"])
    found = np.array([p.box_xyxy for p in people])
    centres = (found[:, :2] + found[:, 2:]) / 2
    inside = [((box[:2] < centres) & (centres < box[2:])).all(axis=1).any() for box in truth]
    assert np.mean(inside) >= 0.8
    assert all(len(p.labels) == 1 and p.labels[0].axis == "behaviour" for p in people)
    assert prediction["model_version"].startswith("cnn-lstm-motion:")
    assert 0 < prediction["score"] <= 1
