"""A curator's keys and clicks in a real browser: the most suspect first, clips that loop, decisions, and the rows they leave."""

import re
import time
from itertools import pairwise

import pytest
from fixtures_review_page import CARD, TILE, close_sample, read_progress, read_tile, select, take_picture, wait_for_card, wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def page(open_review, rendered_review_app):
    """The review's page; `page.strangers` lists what other hosts were sent."""
    with open_review(rendered_review_app) as opened:
        yield opened


def wait_for_loop(page, clock):
    """Wait until a clip's clock (seconds, or null while there is none) has run past the middle and begun again."""
    times = []

    def begun_again():
        times.append(page.evaluate(clock))
        known = [t for t in times if t is not None]
        return bool(known) and max(known) > 0.8 and any(later < earlier - 0.3 for earlier, later in pairwise(known))

    wait_until(begun_again, f"the clip loops: {times}")


def test_most_suspect_first_then_drop_and_undo_by_key(page, rendered_review_app, tmp_path):
    scores = rendered_review_app.list_scores()
    for n, score in enumerate(scores[:4]):
        chips = read_tile(page, n)
        assert chips[0] == score.label
        assert (f"looks like {score.suggested}" in chips) == (score.suggested != score.label)
    card = page.locator(CARD)
    assert f"labelled\n{scores[0].label}\nlooks like\n{scores[0].suggested}" in card.inner_text()
    assert card.locator("[data-cy='cr-reason']").inner_text()
    wait_for_loop(page, "document.querySelector(\"[data-cy='cr-clip']\").currentTime")
    take_picture(page, "fiftyone.png", tmp_path)

    first = card.get_attribute("data-sample")
    page.keyboard.press("d")
    page.get_by_text("Dropped 1 label").wait_for()
    (verdict,) = rendered_review_app.list_verdicts()
    assert (verdict.tubelet_id, verdict.kind, verdict.axis) == (scores[0].tubelet_id, "drop", "behaviour")
    wait_until(lambda: "dropped" in read_tile(page, 0), "the tile says that its label is dropped")
    assert card.get_attribute("data-sample") != first

    page.keyboard.press("u")
    page.get_by_text("Took back the decision on 1 label").wait_for()
    assert [v.kind for v in rendered_review_app.list_verdicts()] == ["drop", "undo"]
    wait_for_card(page, first)
    wait_until(lambda: read_tile(page, 0) and "dropped" not in read_tile(page, 0), "the tile forgets the verdict")
    assert page.strangers == []


def test_the_page_asks_once_and_offers_nothing_but_the_review(page):
    wait_until(lambda: page.locator("[data-cy='cr-progress']").count(), "the panel counts the labels")
    assert sum("query DatasetPageQuery" in asked for asked in page.asked) == 1
    assert not any("setSpaces" in asked for asked in page.asked)  # the app takes the saved workspace as it is
    assert page.get_by_text("Dismiss", exact=True).count() == 0


def test_the_panel_waits_until_the_app_knows_its_operators(page, rendered_review_app):
    asked = []

    def answer_late(route):
        asked.append(route.request.url)
        time.sleep(3)
        route.continue_()

    page.route("**/operators", answer_late)
    page.goto(f"{rendered_review_app.url}/datasets/{rendered_review_app.dataset}?workspace=review")
    page.locator(CARD).wait_for()
    wait_until(lambda: page.locator("[data-cy='cr-progress']").count(), "the panel counts the labels")
    assert len(asked) == 1


def test_a_lasso_in_the_map_chooses_labels(open_review, rendered_review_app, tmp_path):
    total = len(rendered_review_app.list_scores())
    with open_review(rendered_review_app, "?view=most-suspect-first&workspace=map") as page:
        plot = page.locator(".emb-plot-scene canvas").first
        plot.wait_for()  # the map opens by itself
        wait_until(lambda: page.get_by_text(f"{total} points").count(), "all labels are in the map")
        page.get_by_text("Select", exact=True).first.click()
        box = plot.bounding_box()
        corners = [
            (box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in ((0.1, 0.1), (0.5, 0.1), (0.5, 0.9), (0.1, 0.9))
        ]
        page.mouse.move(*corners[0])
        page.mouse.down()
        for corner in (*corners[1:], corners[0]):
            page.mouse.move(*corner, steps=8)
        page.mouse.up()
        title = page.locator("[data-cy='cr-matrix'] h3")
        wait_until(lambda: "selected" in title.inner_text(), "the matrix is that of the labels in the lasso")
        chosen = int(re.search(r"Of the (\d+) selected", title.inner_text()).group(1))
        assert 0 < chosen < total
        page.get_by_text(re.compile(rf"^{chosen} samples")).first.wait_for()
        take_picture(page, "fiftyone-map.png", tmp_path)
        assert page.strangers == []


def test_relabel_in_the_open_sample(page, rendered_review_app, tmp_path):
    before = len(rendered_review_app.list_verdicts())
    score = rendered_review_app.list_scores()[1]
    page.locator(TILE).nth(1).click()
    modal = page.locator("#modal")
    modal.get_by_text("Relabel", exact=True).wait_for()
    clock = "parseFloat((document.querySelector('#modal')?.innerText.match(/0:(\\d\\d\\.\\d\\d) \\/ /) ?? [])[1]) || null"
    wait_for_loop(page, clock)
    page.keyboard.press("r")
    chooser = page.locator("[data-cy='cr-values']")
    chooser.wait_for()
    take_picture(page, "fiftyone-relabel.png", tmp_path)
    value = next(v for v in ("sleep", "phone", "write") if v not in (score.label, score.suggested))
    page.locator(f"[data-cy='cr-value-{value}']").click()
    page.get_by_text(f"Relabelled 1 label: {value}").wait_for()
    verdict = rendered_review_app.list_verdicts()[before]
    assert (verdict.tubelet_id, verdict.kind, verdict.value) == (score.tubelet_id, "relabel", value)
    said = modal.locator("[data-cy='sidebar-entry-verdict']")
    wait_until(lambda: said.count() and "relabelled" in said.inner_text(), "the open sample says so")
    take_picture(page, "fiftyone-sample.png", tmp_path)
    page.keyboard.press("u")
    wait_until(lambda: len(rendered_review_app.list_verdicts()) == before + 2, "the undo is in the catalogue")
    close_sample(page)
    assert page.strangers == []


def test_a_confused_pair_a_batch_and_what_is_left(page, rendered_review_app, tmp_path):
    scores = rendered_review_app.list_scores()
    expected = page.locator("[data-cy='cr-expected']")
    left = float(expected.get_attribute("data-exact"))
    assert re.fullmatch(r"(about \d+|fewer than 1) wrong among the \d+ left", expected.inner_text())
    pair = next((s.label, s.suggested) for s in scores if s.label != s.suggested)
    there = [s for s in scores if (s.label, s.suggested) == pair]
    page.locator(f"[data-cy='cr-pair-{pair[0]}-{pair[1]}']").click()
    wait_until(lambda: page.locator(TILE).count() == len(there), "the page shows the pair alone")
    before = len(rendered_review_app.list_verdicts())
    for n in range(len(there)):
        select(page, n)
    page.get_by_text(f"{len(there)} selected: what you press decides on all of them.").wait_for()
    page.locator("[data-cy='cr-ambiguous']").click()
    wait_until(lambda: len(rendered_review_app.list_verdicts()) == before + len(there), "the batch is in the catalogue")
    made = rendered_review_app.list_verdicts()[before:]
    assert {(v.tubelet_id, v.kind) for v in made} == {(s.tubelet_id, "ambiguous") for s in there}
    assert len({v.made_at for v in made}) == 1
    wait_until(lambda: read_progress(page)[0] >= len(there), "the panel counts them")
    assert float(expected.get_attribute("data-exact")) < left
    page.get_by_text("Nothing in this view waits for a decision").wait_for()
    tile = page.locator(TILE).first
    tile.hover()
    box = tile.bounding_box()
    half = {"x": box["x"], "y": box["y"], "width": box["width"] / 2, "height": box["height"] / 2}
    seen = []

    def comes_round():
        seen.append(page.screenshot(clip=half))
        return len(set(seen)) > 3 and any(a in seen[n + 2 :] and b != a for n, (a, b) in enumerate(pairwise(seen)))

    wait_until(comes_round, "the tile under the mouse plays, and begins again")
    take_picture(page, "fiftyone-pair.png", tmp_path)
    page.keyboard.press("u")
    wait_until(lambda: len(rendered_review_app.list_verdicts()) == before + 2 * len(there), "one undo takes the batch back")
