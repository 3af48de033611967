"""Limits before every route: size of a body, requests a minute, and which sites may ask a service without tokens."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network, ip_address

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.service.problems import problem
from search.service.security.authorization import bearer
from search.service.security.cross_site import site_refusal
from search.service.settings import Settings
from spaces.errors import RequestError

ALIVE = "/healthz"
"""The liveness probe. It is not limited, because its prober may share an address with all clients, as a proxy does."""


class RateAndSizeLimits:
    """ASGI middleware that refuses too many requests, and too large bodies before they are read whole.

    It notes on `request.state` the `holder` of the token, and the `client`: the name under which requests are counted.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._tokens = settings.tokens
        self._max_body = settings.max_body
        self._rate = RateLimitItemPerMinute(settings.requests_per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse one request, or hand it on with its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            refusal = self._refusal_by_head(request) or await self._refusal_by_body(request)
        except ClientDisconnect:  # in the middle of its body
            return
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replay(await request.body(), receive), send)

    def _refusal_by_head(self, request: Request) -> Response | None:
        if {"content-length", "transfer-encoding"} <= set(request.headers):
            # A proxy in front may have taken the other one for the end of the body.
            detail = "Content-Length: beside Transfer-Encoding; allowed: one of the two"
            return problem(request, 400, detail, {"Connection": "close"})
        if self._tokens is None and (refused := site_refusal(request)) is not None:
            return problem(request, *refused)
        try:
            holder = bearer(request, self._tokens)
        except RequestError as error:
            return problem(request, 503, str(error), {"Retry-After": "10"})
        request.state.holder = holder
        # The holder of a token is counted alone, because a team may share an address. Without a valid token the
        # address counts, because wrong tokens cost nothing to make up.
        client = f"holder {holder.name}" if holder else f"address {_network(request)}"
        is_probe = request.url.path == ALIVE
        request.state.client = None if is_probe else client
        if not is_probe and not self._limiter.hit(self._rate, client):
            return problem(request, 429, f"more than {self._rate.amount} requests a minute", {"Retry-After": "10"})
        return None

    async def _refusal_by_body(self, request: Request) -> Response | None:
        if not await self._is_too_large(request):
            return None
        detail = f"body: larger than allowed; allowed: at most {self._max_body:,} bytes"
        return problem(request, 413, detail)

    async def _is_too_large(self, request: Request) -> bool:
        """Read the body up to the limit, and keep it with the request where it is within."""
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._max_body:
            return True
        held = bytearray()
        async for part in request.stream():
            held += part
            if len(held) > self._max_body:
                return True
        request._body = bytes(held)
        return False


def _network(request: Request) -> str:
    """Return the address of a request; of IPv6 the /64 network, which is usually one client's."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address) or address.ipv4_mapped:
        return host
    return str(IPv6Network((address, 64), strict=False))


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that first gives a body that was read already, then what comes: the client's disconnect."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
