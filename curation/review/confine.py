"""FiftyOne's ``/media`` would serve any file that this user can read; here it serves the workspace's copies and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

__all__ = ["ConfineMedia"]


class ConfineMedia:
    """ASGI middleware: refuses (403) every request that names a file outside `folder`, also through links and ``..``."""

    def __init__(self, app: Callable[..., Awaitable[None]], folder: Path) -> None:
        self.app = app
        self.folder = folder.resolve()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """Pass the request on, or refuse it."""
        names = parse_qs(scope.get("query_string", b"").decode("utf-8", "replace")).get("filepath", [])
        if all(Path(name).resolve().is_relative_to(self.folder) for name in names):
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"not a copy of this workspace\n"})
