"""Webhook events: taken at once (Label Studio waits one second and sends once), worked on later, each one once."""

from __future__ import annotations

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["EventQueue"]

_REMEMBERED = 10_000
_log = logging.getLogger(__name__)


class EventQueue:
    """Hands events to a worker thread in order. An id that was seen among the last ten thousand is not taken again."""

    def __init__(self, on_event: Callable[[Mapping[str, Any]], None] | None) -> None:
        self.count = 0
        self._on_event = on_event
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None

    def put(self, event_id: str, event: Mapping[str, Any]) -> bool:
        """Queue an event; False if it was there before."""
        with self._lock:
            if event_id in self._seen:
                return False
            self._seen[event_id] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            self.count += 1
            if self._on_event is not None and self._worker is None:
                self._worker = threading.Thread(target=self._work, name="webhook", daemon=True)
                self._worker.start()
        if self._on_event is not None:
            self._waiting.put(event)
        return True

    def _work(self) -> None:
        while True:
            event = self._waiting.get()
            try:
                if self._on_event is not None:
                    self._on_event(event)
            except Exception:  # noqa: BLE001  the thread must live on, whatever one event does
                _log.exception("webhook event failed")
