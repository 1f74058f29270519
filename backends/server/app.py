"""Label Studio's ML protocol over FastAPI: ``/health /setup /predict /webhook /versions``.

Answers come from `lookup` where it knows the task (the proposals made before); any other picture is looked at by the people
detector and the behaviour model, loaded at the first such task. Pictures are read from `media_root` only: nothing is ever fetched.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from backends.server.events import EventQueue
from backends.server.pictures import Looker
from schemas.errors import CurationError

__all__ = ["MAX_BODY", "create_app"]

MAX_BODY = 32 * 1024 * 1024
"""Largest request, bytes."""

Prediction = Mapping[str, Any]
_log = logging.getLogger(__name__)


def create_app(
    *,
    lookup: Callable[[Mapping[str, Any]], Prediction | None] | None = None,
    media_root: Path | None = None,
    on_event: Callable[[Mapping[str, Any]], None] | None = None,
    max_body: int = MAX_BODY,
) -> FastAPI:
    """Return the app; nothing heavy is imported or loaded yet.

    Args:
        lookup: takes a task's JSON and returns its prediction (result, score, model_version), or None if it does not know the task.
        media_root: folder of the pictures that ``/data/local-files/?d=…`` means; None = no picture is looked at.
        on_event: is called once per webhook event, in a thread of its own.
        max_body: larger requests are refused (413).
    """
    app = FastAPI(title="curate", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(LimitBody, limit=max_body)
    looker = Looker(media_root)
    events = EventQueue(on_event)

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "UP", "model_class": "curate", "events": events.count}

    @app.post("/setup")
    async def setup(request: Request) -> dict[str, Any]:
        await _read_json(request)
        return {"model_version": looker.version}

    @app.get("/versions")
    def versions() -> dict[str, Any]:
        return {"versions": [looker.version]}

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        tasks = (await _read_json(request)).get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, Mapping) for task in tasks):
            raise HTTPException(422, "tasks: expected a list of objects")
        return {"results": await run_in_threadpool(lambda: [_predict(task, lookup, looker) for task in tasks])}

    @app.post("/webhook", status_code=201)
    async def webhook(request: Request) -> dict[str, Any]:
        event = await _read_json(request)
        body = json.dumps(event, sort_keys=True).encode()
        return {"status": "queued" if events.put(hashlib.sha256(body).hexdigest(), event) else "known"}

    return app


class LimitBody:
    """ASGI middleware that refuses requests larger than `limit` bytes, whatever their headers say."""

    def __init__(self, app: Callable[..., Awaitable[None]], *, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Pass a request on, or answer 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        parts: list[Any] = []
        size, more = 0, True
        while more:
            message = await receive()
            parts.append(message)
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)
            if size > self.limit:
                await send({"type": "http.response.start", "status": 413, "headers": [(b"content-type", b"application/json")]})
                await send({"type": "http.response.body", "body": b'{"detail":"request too large"}'})
                return
        waiting = iter(parts)

        async def replay() -> Any:
            return next(waiting, None) or await receive()

        await self.app(scope, replay, send)


async def _read_json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise HTTPException(422, "body: expected JSON") from error
    if not isinstance(body, dict):
        raise HTTPException(422, "body: expected an object")
    return body


def _predict(
    task: Mapping[str, Any], lookup: Callable[[Mapping[str, Any]], Prediction | None] | None, looker: Looker
) -> dict[str, Any]:
    try:
        found = lookup(task) if lookup is not None else None
        return dict(found) if found is not None else looker.look(task)
    except CurationError as error:
        _log.warning("task %s: %s", task.get("id"), error)
        return {"result": [], "score": 0.0, "model_version": looker.version}
