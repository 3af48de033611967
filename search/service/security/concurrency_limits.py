"""Limit of the requests of one client that run at the same time, so that no client can keep the others waiting.

Further requests wait here, where they hold no thread, and run in the order in which they came. A request counts until
the client has received the whole response, so that a client that reads slowly delays only itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from search.service.problems import problem

AT_ONCE = 6
"""Requests of one client that run at the same time; all clients share forty threads."""

MOST, MOST_WITH_BODY = 320, 60
"""Requests of one client that run or wait; one with a body is accepted only below the second number."""


@dataclass
class _Queue:
    """The requests of one client: those that run hold `running`, and `length` counts the waiting ones too."""

    running: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    length: int = 0


class ConcurrencyLimits:
    """ASGI middleware behind `RateAndSizeLimits`, which notes the client of a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._queues: dict[tuple[int, str], _Queue] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request as soon as its client has fewer than `AT_ONCE` others that run."""
        if scope["type"] != "http" or (client := scope["state"].get("client")) is None:
            await self._app(scope, receive, send)
            return
        key = id(asyncio.get_running_loop()), client
        queue = self._queues.setdefault(key, _Queue())
        most = MOST if scope["method"] in ("GET", "HEAD") else MOST_WITH_BODY
        if queue.length >= most:
            detail = f"more than {most} requests at once"
            await problem(Request(scope), 429, detail, {"Retry-After": "5"})(scope, receive, send)
            return
        queue.length += 1
        try:
            async with queue.running:
                await self._app(scope, receive, send)
        finally:
            queue.length -= 1
            if not queue.length:
                self._queues.pop(key, None)
