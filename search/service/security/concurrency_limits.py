"""Turns: how many requests of one client are worked on at a time, so that no client keeps others from being answered.

What a client asks beyond that waits here, where it holds no thread, and goes on in the order in which it came. An
answer is being worked on until the client has taken it, so that one that reads slowly waits for itself alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from search.service.problems import problem

AT_ONCE = 6
"""Requests of a client that are worked on; there are forty threads for all."""

MOST, MOST_WITH_BODY = 320, 60
"""Requests of a client that are worked on or wait: all of them, and so many that one with a body may join them."""


@dataclass
class _Line:
    """The requests of one client."""

    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    length: int = 0


class Turns:
    """Has requests of a client wait for their turn. Stands behind `Limits`, which notes who asks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lines: dict[tuple[int, str], _Line] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or (client := scope["state"].get("client")) is None:
            await self._app(scope, receive, send)
            return
        key = id(asyncio.get_running_loop()), client
        line = self._lines.setdefault(key, _Line())
        most = MOST if scope["method"] in ("GET", "HEAD") else MOST_WITH_BODY
        if line.length >= most:
            detail = f"more than {most} requests at once"
            await problem(Request(scope), 429, detail, {"Retry-After": "5"})(scope, receive, send)
            return
        line.length += 1
        try:
            async with line.turns:
                await self._app(scope, receive, send)
        finally:
            line.length -= 1
            if not line.length:
                self._lines.pop(key, None)
