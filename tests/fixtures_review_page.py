"""The review's page in a real browser, opened with as little as it needs and closed however a test ends."""

import os
import re
import time
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

CHROMIUM = Path(os.environ.get("CURATE_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--mute-audio", "--disable-extensions",
    "--enable-unsafe-swiftshader",  # the map of motions is drawn by WebGL
)  # fmt: skip
TILE = "[data-cy='fo-grid'] [data-cy='looker']"
CARD = "[data-cy='cr-card']"


@pytest.fixture(scope="module")
def review_browser():
    """One browser for a module."""
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not installed (`apt install chromium`, or name one in CURATE_CHROMIUM)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        try:
            yield running
        finally:
            running.close()


@pytest.fixture
def open_review(review_browser):
    """The function that opens the page of an app, most suspect first, with the panel; a context manager that closes it."""

    @contextmanager
    def open_page(app, query="?view=most-suspect-first&workspace=review"):
        opened = review_browser.new_page(viewport={"width": 1600, "height": 1000})
        try:
            opened.set_default_timeout(60_000)
            opened.strangers, opened.asked = [], []
            opened.on("request", lambda request: opened.asked.append(request.post_data or ""))
            opened.on("requestfinished", lambda request: _note_stranger(opened, app, request.url))
            opened.goto(f"{app.url}/datasets/{app.dataset}{query}")
            opened.locator(TILE).first.wait_for()
            opened.locator(CARD).wait_for()
            wait_until(lambda: all(read_tile(opened, n) for n in range(min(4, opened.locator(TILE).count()))), "tiles are drawn")
            close_sample(opened)
            yield opened
        finally:
            opened.close()

    return open_page


def close_sample(page):
    """Close the open sample, if one is."""

    def is_closed():
        if page.locator("#modal.modalon").count():
            page.keyboard.press("Escape")
            return False
        return True

    wait_until(is_closed, "the open sample is closed")


def _note_stranger(page, app, url):
    if not url.startswith((app.url, "data:", "blob:")):
        page.strangers.append(url)


def read_tile(page, n):
    """The chips of a tile, in one look: the page draws its tiles anew after a verdict."""
    script = (
        "([tile, n]) => [...(document.querySelectorAll(tile)[n]?.querySelectorAll('[data-cy^=tag-]') ?? [])].map(e => e.innerText)"
    )
    return page.evaluate(script, [TILE, n])


def read_progress(page):
    """(reviewed, total) as the panel says."""
    return tuple(map(int, re.match(r"(\d+) of (\d+) reviewed", page.locator("[data-cy='cr-progress']").inner_text()).groups()))


def select(page, n):
    tile = page.locator(TILE).nth(n)
    tile.hover()
    tile.locator("[data-cy='looker-checkbox-']").click()


def wait_for_card(page, sample):
    page.locator(f"{CARD}[data-sample='{sample}']").wait_for()


def take_picture(page, name, tmp_path):
    """Save what the page shows; a picture of an empty page is refused."""
    folder = Path(os.environ.get("CURATE_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.mouse.move(2, 2)  # a tile under the mouse is drawn otherwise
    page.wait_for_timeout(1000)
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    assert len(picture.getcolors(2**24)) > 1000  # photographs, not an empty page
    picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=4).save(folder / name, optimize=True)


def wait_until(true, what):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
