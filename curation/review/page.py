"""FiftyOne's page, so that a browser has it sooner the second time: its scripts are kept, and kept compiled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

__all__ = ["KEEP", "HastenPage", "hasten_page"]

KEEP = (b"cache-control", b"public, max-age=31536000, immutable")
"""Of files whose names change with their content."""

_LATE = ("DatasetPage-*.js", "DatasetPageQuery.graphql-*.js")
"""Scripts that the page of a dataset asks for once all others have run."""


def hasten_page(html: bytes, late: list[str]) -> bytes:
    """Return FiftyOne's page with its scripts preloaded as scripts, those named in `late` with them.

    Chromium (156) compiles what it has fetched as a module anew at every visit; what is there already as a script is taken with
    the compiled form that the browser keeps of it.
    """
    asked = html.replace(b'rel="modulepreload"', b'rel="preload" as="script"')
    links = b"".join(b'<link rel="preload" as="script" crossorigin href="./assets/%s">' % name.encode() for name in late)
    return asked.replace(b"</head>", links + b"</head>", 1)


class HastenPage:
    """ASGI middleware: `hasten_page` on every page of the app, and `KEEP` on its own scripts and pictures.

    Args:
        app: FiftyOne's.
        assets: the folder of the app's scripts.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], assets: Path) -> None:
        self.app = app
        self.late = [path.name for pattern in _LATE for path in sorted(assets.glob(pattern))]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """Pass the request on, and the answer back: a page as a whole, anything else as it comes."""
        is_asset = "/assets/" in str(scope.get("path", ""))
        start: dict[str, Any] | None = None
        body = b""

        async def send_sooner(message: dict[str, Any]) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                if is_asset and message["status"] in (200, 304):
                    message = {**message, "headers": [*message["headers"], KEEP]}
                elif _is_page(message):
                    start = message
                    return
            elif start is not None and message["type"] == "http.response.body":
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                body = hasten_page(body, self.late)
                headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
                await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
                message = {"type": "http.response.body", "body": body}
            await send(message)

        await self.app(scope, receive, send_sooner)


def _is_page(message: dict[str, Any]) -> bool:
    kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
    return message["status"] == 200 and any(kind.startswith(b"text/html") for kind in kinds)
