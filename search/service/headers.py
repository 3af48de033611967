"""Response headers that limit what a browser does with a response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.responses import Response

HEADERS = {
    # 'unsafe-inline' because Plotly writes styles into its elements.
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

STANDALONE = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "frame-ancestors 'none'; sandbox allow-scripts allow-downloads"
)
"""The Content-Security-Policy of a document with a script inside: sandboxed, and without any request."""


async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Add `HEADERS` to a response, as a middleware; headers that the route set stay."""
    response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.url.path.startswith("/v1"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
