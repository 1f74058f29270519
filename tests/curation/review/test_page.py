"""FiftyOne's page is there sooner: its scripts are kept as they were compiled, and what draws it is answered first."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from curation.review.order import AnswerInOrder
from curation.review.page import HastenPage, hasten_page

PAGE = b"""<html><head><script type="module" src="./assets/index-1.js"></script>
<link rel="modulepreload" href="./assets/a-2.js"></head></html>"""


def ask(app, *requests):
    """Send requests at once, each after so many seconds; return the answers in the order in which they were sent."""

    async def send_all():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def send(after, method, path, body):
                await asyncio.sleep(after)
                return await client.request(method, path, json=body)

            return await asyncio.gather(*(send(*request) for request in requests))

    return asyncio.run(send_all())


def answer_with(kind, parts, status=200):
    async def app(scope, receive, send):
        length = str(sum(map(len, parts))).encode()
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), (b"content-length", length)]}
        )
        for number, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts) - 1})

    return app


def test_all_scripts_of_the_page_are_preloaded_as_scripts(tmp_path):
    (tmp_path / "DatasetPage-9.js").touch()
    (tmp_path / "Other-9.js").touch()
    (page,) = ask(
        HastenPage(answer_with(b"text/html; charset=utf-8", [PAGE[:50], PAGE[50:]]), tmp_path), (0, "GET", "/datasets/x", None)
    )
    assert page.content == hasten_page(PAGE, ["DatasetPage-9.js"])
    assert "modulepreload" not in page.text
    assert page.text.count('rel="preload" as="script"') == 2
    assert '<script type="module" src="./assets/index-1.js">' in page.text
    assert 'href="./assets/DatasetPage-9.js"' in page.text
    assert int(page.headers["content-length"]) == len(page.content)
    assert "cache-control" not in page.headers


@pytest.mark.parametrize(
    ("path", "status", "kept"),
    [("/datasets/assets/a-2.js", 200, True), ("/assets/a.css", 304, True), ("/assets/gone.js", 404, False), ("/media", 200, False)],
)
def test_files_whose_names_change_with_their_content_are_kept(tmp_path, path, status, kept):
    (answer,) = ask(
        HastenPage(answer_with(b"application/javascript", [b"modulepreload"], status), tmp_path), (0, "GET", path, None)
    )
    assert ("immutable" in answer.headers.get("cache-control", "")) is kept
    assert answer.content == b"modulepreload"


def test_the_scripts_are_those_that_fiftyone_has():
    fiftyone = pytest.importorskip("fiftyone")
    static = Path(fiftyone.__file__).parent / "server" / "static"
    late = HastenPage(answer_with(b"text/html", [b""]), static / "assets").late
    assert len(late) == 2
    assert hasten_page((static / "index.html").read_bytes(), late).count(b'rel="preload" as="script"') > 40


def work(done):
    """An app that answers with what it was sent, a request after 0.1 s, and notes the order in which it answers."""

    async def app(scope, receive, send):
        body = await receive()
        await asyncio.sleep(0.1)
        done.append(json.loads(body["body"])["operator_uri"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body["body"]})

    return app


def test_counts_wait_for_tiles_and_for_the_label_at_hand_and_decisions_wait_for_nothing():
    done, look, count, keep = [], "@curate/review/look", "@curate/review/count", "@curate/review/keep"
    sent = [(0, count), (0.02, look), (0.08, look), (0.0, keep)]
    answers = ask(
        AnswerInOrder(work(done)), *((after, "POST", "/operators/execute", {"operator_uri": name}) for after, name in sent)
    )
    assert done == [keep, look, look, count]
    assert [answer.json()["operator_uri"] for answer in answers] == [name for _, name in sent]


def test_nothing_waits_longer_than_it_must_where_an_answer_never_comes(monkeypatch):
    monkeypatch.setattr("curation.review.order._LONGEST", 0.2)

    async def app(scope, receive, send):
        body = (await receive())["body"]
        await asyncio.sleep(1 if b"look" in body else 0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def measure():
        order = AnswerInOrder(app)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=order), base_url="http://127.0.0.1") as client:
            slow = asyncio.create_task(client.post("/operators/execute", json={"operator_uri": "@curate/review/look"}))
            await asyncio.sleep(0.02)
            await client.post("/operators/execute", json={"operator_uri": "@curate/review/count"})
            assert not slow.done()
            await slow

    asyncio.run(measure())
