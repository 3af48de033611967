"""Answers that are sent piece by piece, as fast as the client takes them."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

BYTES = 1 << 16


class Pieces(Response):
    """An answer that may be large and may be sent to many: what it holds is shared, and only pieces of it wait."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, len(body), BYTES):
            piece = bytes(body[start : start + BYTES])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
