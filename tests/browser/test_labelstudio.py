"""What an annotator sees: boxes, skeletons and the proposed behaviour, in Chromium. CURATE_SCREENSHOTS=DIR keeps the picture."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixtures_labelstudio import fill_workspace, make_proposals

from curation.labelstudio.pull import pull_annotations
from curation.labelstudio.push import push_tasks

pytestmark = [pytest.mark.integration, pytest.mark.browser]

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
ROW = "[class*=outliner-item__title]"


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "no Chromium here; install it (apt-get install chromium) to run the browser tests"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def render_lesson(workspace):
    """A rendered lesson with its exact truth as boxes, poses and proposals."""
    from curation.media import probe_media
    from curation.render import render_classroom
    from curation.store import ArrayStore, Catalogue
    from curation.tubelets import cut_tubelets, plan_windows
    from schemas.records import Clip, PoseTrack

    (path, *_) = [
        p for p in render_classroom(workspace.root / "rendered", seed=3, lessons=1, cameras=1, seconds=4) if p.suffix == ".mp4"
    ]
    info = probe_media(path)
    clip = Clip(
        id=Clip.compute_id(info.sha256), uri=str(path), sha256=info.sha256, n_frames=info.n_frames, fps=info.fps, width=info.width,
        height=info.height, timestamps=info.timestamps, lesson="rendered lesson",
    )  # fmt: skip
    truth = np.load(path.with_suffix(".truth.npz"), allow_pickle=False)
    settings = workspace.config.preannotation
    plans = plan_windows(clip.timestamps, window=settings.window, fps=settings.fps)
    frames = np.unique(np.concatenate([plan.frames for plan in plans]))
    tracks = [
        PoseTrack(
            id=f"trk_{student}",
            clip_id=clip.id,
            frames=frames,
            boxes_xyxy=truth["boxes"][frames, k],
            pose_px=truth["pose"][frames, k],
        )
        for k, student in enumerate(truth["student"])
    ]
    tubelets = cut_tubelets(tracks, clip, window=settings.window, fps=settings.fps)
    spans = []
    for tubelet in tubelets:
        k = [track.id for track in tracks].index(tubelet.track_id)
        value = str(truth["behaviour"][(tubelet.first + tubelet.last) // 2, k])
        spans += make_proposals([tubelet], "5c0ffee5c0ff", (value, *[v for v in workspace.taxonomy.primary.values if v != value]))
    catalogue, arrays = Catalogue.open(workspace.catalogue_url), ArrayStore(workspace.folder("arrays"))
    catalogue.add_clips([clip])
    arrays.write_tracks(clip.id, tracks)
    catalogue.commit_clip(clip.id, pipeline="truth", tracks=tracks, tubelets=tubelets, predictions=spans)
    return catalogue, arrays


@pytest.fixture
def page(chromium, label_studio):
    context = chromium.new_context(viewport={"width": 1600, "height": 1000})
    page = context.new_page()
    page.strangers = []
    page.on("request", lambda r: r.url.startswith((label_studio.url, "data:", "blob:")) or page.strangers.append(r.url))
    page.goto(f"{label_studio.url}/user/login/")
    page.fill("[name=email]", label_studio.user)
    page.fill("[name=password]", label_studio.password)
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/user/login" not in url, timeout=90_000)
    yield page
    context.close()


def open_task(page, label_studio, project):
    with label_studio.connect() as client:
        task = min(client.iter_tasks(project, full=True), key=lambda t: t["data"]["first"])
    page.goto(f"{label_studio.url}/projects/{project}/data?task={task['id']}")
    page.wait_for_selector(ROW, timeout=60_000)
    page.wait_for_function("document.querySelectorAll('canvas').length > 0")
    page.wait_for_timeout(1500)
    return task


def count_coloured_pixels(page, colour, tolerance=40):
    """How much of the drawing surface has about that colour."""
    from io import BytesIO

    from PIL import Image

    surface = page.locator("canvas").first.bounding_box()
    image = np.asarray(Image.open(BytesIO(page.screenshot(clip=surface))).convert("RGB")).astype(int)
    return int((np.abs(image - colour).max(axis=2) < tolerance).sum())


def test_annotators_see_boxes_skeletons_and_the_proposed_behaviour(page, label_studio):
    workspace = label_studio.make_workspace()
    catalogue, arrays = render_lesson(workspace)
    project = push_tasks(workspace, catalogue, arrays).project
    task = open_task(page, label_studio, project)
    boxes = [item for item in task["predictions"][0]["result"] if item["type"] == "rectanglelabels"]
    bones = [item for item in task["predictions"][0]["result"] if item["type"] == "vectorlabels"]
    assert len(boxes) >= 4
    assert len(bones) == len(boxes)
    rows = page.locator("[class*=outliner-tree]").inner_text()
    assert "person" in rows
    assert "skeleton" in rows
    assert count_coloured_pixels(page, (0xF2, 0x8E, 0x2B)) > 300  # limbs
    assert count_coloured_pixels(page, (0x3B, 0x6F, 0xB6)) > 300  # boxes
    for row in range(2):
        page.locator(ROW, has_text="person").nth(row).click()
        page.wait_for_timeout(600)
        chosen = page.locator(".ant-radio-wrapper-checked, [class*=choice_] input:checked, input[type=radio]:checked")
        assert chosen.count() >= 1
        region = page.locator("[class*=region-meta], [class*=detailed-region], [class*=details]").first.inner_text()
        values = {i["id"]: i["value"]["choices"][0] for i in task["predictions"][0]["result"] if i["type"] == "choices"}
        names = {b.id: b.name for b in workspace.taxonomy.primary.behaviours}
        assert any(names[value] in region or value in region for value in values.values()), region
    folder = Path(os.environ.get("CURATE_SCREENSHOTS") or workspace.root)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(folder / "label-studio.png"))
    assert (folder / "label-studio.png").stat().st_size > 50_000
    assert page.strangers == []
    catalogue.close()


def test_what_an_annotator_changes_and_submits_comes_back(page, label_studio):
    workspace = label_studio.make_workspace()
    catalogue, arrays = fill_workspace(workspace, windows=1, values=("write", "attend"))
    project = push_tasks(workspace, catalogue, arrays).project
    task = open_task(page, label_studio, project)
    first = task["predictions"][0]["result"][0]["id"]
    page.locator(ROW, has_text="person").first.click()
    page.wait_for_timeout(500)
    page.keyboard.press("7")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Submit").click()
    page.wait_for_timeout(2500)
    done = pull_annotations(workspace, catalogue, arrays)
    assert (done.annotations, done.labels, done.problems) == (1, 3, [])
    spans = {span.tubelet_id: span for span in catalogue.list_annotations()}
    proposals = {span.tubelet_id: span for span in catalogue.list_predictions("behaviour")}
    assert spans[first].value == "sleep"
    for tubelet, span in spans.items():
        assert span.from_predicted == proposals[tubelet].id
        assert span.value == ("sleep" if tubelet == first else proposals[tubelet].value)
        assert (span.box_xyxy, span.pose_px) == (None, None)  # the editor gives back exactly what it was given
    catalogue.close()


def test_a_person_without_a_behaviour_cannot_be_submitted(page, label_studio):
    workspace = label_studio.make_workspace()
    catalogue, arrays = fill_workspace(workspace, windows=1, people=1)
    from curation.store import Catalogue

    project = push_tasks(workspace, catalogue, arrays).project
    with label_studio.connect() as client:
        (task,) = client.iter_tasks(project, full=True)
        prediction = task["predictions"][0]
        bare = [item for item in prediction["result"] if item["type"] != "choices"]
        client.delete_prediction(prediction["id"])
        client.import_predictions(project, [{"task": task["id"], "model_version": "cnn-lstm:v1", "result": bare}])
    open_task(page, label_studio, project)
    page.get_by_role("button", name="Submit").click()
    page.wait_for_timeout(1500)
    assert "Choose a value of “Behaviour” for every person" in page.inner_text("body")
    assert isinstance(catalogue, Catalogue)
    assert pull_annotations(workspace, catalogue, arrays).annotations == 0
    catalogue.close()
