"""A curator's clicks in a real browser: the highest loss first, Drop, Relabel and Undo, and the rows that they leave."""

import os
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.browser

CHROMIUM = Path(os.environ.get("CURATE_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
TILE = "[data-cy='fo-grid'] [data-cy='looker']"


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not installed (`apt install chromium`, or name one in CURATE_CHROMIUM)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def page(browser, rendered_review_app):
    """The review's page, open in the view with the highest loss first; `page.strangers` lists what other hosts were sent."""
    opened = browser.new_page(viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(60_000)
    opened.strangers = []
    opened.on("requestfinished", lambda request: _note_stranger(opened, rendered_review_app, request.url))
    opened.goto(f"{rendered_review_app.url}/datasets/{rendered_review_app.dataset}?view=highest-loss-first")
    opened.locator(TILE).first.wait_for()
    offer = opened.get_by_text("Dismiss", exact=True)
    offer.wait_for()
    offer.click()
    offer.wait_for(state="hidden")
    yield opened
    opened.close()


def _note_stranger(page, app, url):
    if not url.startswith((app.url, "data:", "blob:")):
        page.strangers.append(url)


def read_tile(page, n):
    """The chips of a tile, in one look: the page draws its tiles anew after a verdict."""
    script = (
        "([tile, n]) => [...(document.querySelectorAll(tile)[n]?.querySelectorAll('[data-cy^=tag-]') ?? [])].map(e => e.innerText)"
    )
    return page.evaluate(script, [TILE, n])


def select(page, n):
    tile = page.locator(TILE).nth(n)
    tile.hover()
    tile.locator("[data-cy='looker-checkbox-']").click()


def wait_until(true, what):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def take_picture(page, name, tmp_path):
    folder = Path(os.environ.get("CURATE_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.mouse.move(2, 2)  # a tile under the mouse is drawn otherwise
    page.wait_for_timeout(1000)
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    assert len(picture.getcolors(2**24)) > 1000  # photographs, not an empty page
    picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=4).save(folder / name, optimize=True)


def test_highest_loss_first_then_drop_and_undo_by_click(page, rendered_review_app, tmp_path):
    scores = rendered_review_app.list_scores()
    for n, score in enumerate(scores[:4]):
        chips = read_tile(page, n)
        assert chips[0] == score.label
        assert float(chips[-1]) == pytest.approx(score.loss, abs=1e-3)
        assert (f"looks like {score.suggested}" in chips) == (score.suggested != score.label)
    take_picture(page, "fiftyone.png", tmp_path)

    select(page, 0)
    page.get_by_text("Drop", exact=True).click()
    page.get_by_text("Dropped 1 label").wait_for()
    (verdict,) = rendered_review_app.list_verdicts()
    assert (verdict.tubelet_id, verdict.kind, verdict.axis) == (scores[0].tubelet_id, "drop", "behaviour")
    wait_until(lambda: "dropped" in read_tile(page, 0), "the tile says that its label is dropped")

    select(page, 0)
    page.get_by_text("Undo", exact=True).click()
    page.get_by_text("Took back the decision on 1 label").wait_for()
    assert [v.kind for v in rendered_review_app.list_verdicts()] == ["drop", "undo"]
    wait_until(lambda: read_tile(page, 0) and "dropped" not in read_tile(page, 0), "the tile forgets the verdict")
    assert page.strangers == []


def test_relabel_in_the_open_sample(page, rendered_review_app, tmp_path):
    before = len(rendered_review_app.list_verdicts())
    score = rendered_review_app.list_scores()[1]
    page.locator(TILE).nth(1).click()
    modal = page.locator("#modal")
    modal.get_by_text("Relabel", exact=True).wait_for()
    modal.locator("[data-cy='checkbox-pose']").click()
    modal.get_by_text("Relabel", exact=True).click()
    page.get_by_text("Relabel 1 label").wait_for()
    take_picture(page, "fiftyone-relabel.png", tmp_path)
    value = next(v for v in ("sleep", "phone", "write") if v not in (score.label, score.suggested))
    page.get_by_role("dialog").get_by_text(value, exact=True).click()
    page.get_by_text("Execute", exact=True).click()
    page.get_by_text(f"Relabelled 1 label: {value}").wait_for()
    verdict = rendered_review_app.list_verdicts()[before]
    assert (verdict.tubelet_id, verdict.kind, verdict.value) == (score.tubelet_id, "relabel", value)
    page.reload()  # FiftyOne 1.22 draws an open sample anew only when it is opened
    said = modal.locator("[data-cy='sidebar-entry-verdict']")
    wait_until(lambda: said.count() and said.inner_text() == "relabelled", "the open sample says so")
    take_picture(page, "fiftyone-sample.png", tmp_path)
    modal.get_by_text("Undo", exact=True).click()
    wait_until(lambda: len(rendered_review_app.list_verdicts()) == before + 2, "the undo is in the catalogue")
    assert page.strangers == []
