"""A response that is sent in chunks, as fast as the client takes them."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CHUNK_BYTES = 1 << 16


class ChunkedResponse(Response):
    """A response with a body that many responses may share: only one chunk of it waits in each client's buffer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head and then the chunks."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, len(body), CHUNK_BYTES):
            chunk = bytes(body[start : start + CHUNK_BYTES])
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
