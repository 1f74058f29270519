"""First things first: of what a page asks for at once, the tiles and the label at hand are answered before the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["AnswerInOrder"]

_FIRST = (b"paginateSamplesQuery", b"DatasetPageQuery", b"@curate/review/look")
_LATER = (b"aggregationsQuery", b"@curate/review/count", b"@voxel51/operators/", b"/operators/resolve-placements")
_GLANCE = 0.05
_LONGEST = 2.0
"""Seconds: a request that may wait looks this long whether one comes that may not, and waits this long at most."""

Receive = Callable[[], Awaitable[dict[str, Any]]]


class AnswerInOrder:
    """ASGI middleware: counts and buttons wait while tiles or the label at hand are being prepared.

    FiftyOne prepares every answer in one process, in threads that take turns, so that what comes at the same time is ready at the
    same late time.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app
        self.urgent = 0
        self.quiet = asyncio.Event()
        self.quiet.set()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        """Pass the request on, now or soon."""
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or not path.startswith(("/graphql", "/operators/")):
            await self.app(scope, receive, send)
            return
        messages = await _read(receive)
        said = path.encode() + b"".join(message.get("body", b"") for message in messages)
        replay = _replay(messages, receive)
        if any(word in said for word in _FIRST):
            await self._answer_now(scope, replay, send)
            return
        if any(word in said for word in _LATER):
            await asyncio.sleep(_GLANCE)
            if self.urgent:
                await self._wait()
        await self.app(scope, replay, send)

    async def _answer_now(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        self.urgent += 1
        self.quiet.clear()
        try:
            await self.app(scope, receive, send)
        finally:
            self.urgent -= 1
            if not self.urgent:
                self.quiet.set()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self.quiet.wait(), _LONGEST)
        except TimeoutError:
            return


async def _read(receive: Receive) -> list[dict[str, Any]]:
    """Return the messages of a request's body."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def _replay(messages: list[dict[str, Any]], receive: Receive) -> Receive:
    """Return a `receive` that says these messages again, and then what follows."""
    waiting = iter(messages)

    async def say() -> dict[str, Any]:
        for message in waiting:
            return message
        return await receive()

    return say
