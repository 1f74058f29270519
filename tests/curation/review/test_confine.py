"""FiftyOne's app serves copies of the workspace, and no other file."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from curation.review.confine import ConfineMedia


async def serve(scope, receive, send):
    """Answer as FiftyOne's /media does: with whatever file is asked for."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a file"})


@pytest.fixture
def ask(tmp_path):
    crops = tmp_path / "work" / "crops"
    crops.mkdir(parents=True)
    (crops / "a.jpg").write_text("copy")
    (tmp_path / "lesson.mp4").write_text("source")
    (crops / "link.mp4").symlink_to(tmp_path / "lesson.mp4")
    transport = httpx.ASGITransport(app=ConfineMedia(serve, crops))

    async def get(address):
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get(address)).status_code

    def ask(address):
        import asyncio

        return asyncio.run(get(address))

    return ask


def test_copies_are_served_and_sources_are_not(ask, tmp_path):
    crops = tmp_path / "work" / "crops"
    assert ask(f"/media?filepath={quote(str(crops / 'a.jpg'))}") == 200
    assert ask("/datasets/x?view=y") == 200
    for path in (tmp_path / "lesson.mp4", crops / ".." / ".." / "lesson.mp4", crops / "link.mp4", "/etc/passwd", "lesson.mp4"):
        assert ask(f"/media?filepath={quote(str(path))}") == 403
    assert ask(f"/media?filepath={quote(str(crops / 'a.jpg'))}&filepath=/etc/passwd") == 403
