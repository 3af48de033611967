"""What stands before every route: who may do what, how much may be sent, how often, and by which page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.service.problems import Problem, problem
from search.service.security.cross_site import is_cross_site
from search.service.security.tokens import Holder, Role, holder_of, read_holders
from search.service.settings import LOOPBACK, Settings
from spaces.errors import RequestError

BEARER = HTTPBearer(auto_error=False, description="A token that `paretune token` made.")
ALIVE = "/healthz"
Given = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


def needs(role: Role) -> Callable[[Request, Given], Awaitable[None]]:
    """A dependency that lets only those pass who have the role."""

    async def check(request: Request, given: Given) -> None:
        settings: Settings = request.app.state.settings
        if settings.tokens is None:
            return
        holder: Holder | None = request.state.holder  # see Limits; `given` stands here for the description
        if holder is None:
            raise Problem(401, "Authorization: a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        if not holder.may(role):
            raise Problem(403, f"role {holder.role} of {holder.name}: may not do this; allowed: role {role}")

    return check


READ, RUN = Depends(needs("read")), Depends(needs("run"))


class Limits:
    """Refuses bodies that are too large, before they are read, and clients that ask too often; notes who asks.

    Whether the service lives may be asked as often as one likes: who asks that stands between it and all clients.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._tokens = settings.tokens
        self._max_body = settings.max_body
        self._rate = RateLimitItemPerMinute(settings.requests_per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if {"content-length", "transfer-encoding"} <= set(request.headers):
            # A proxy in front may have taken the other one for the end of the body.
            detail = "Content-Length: beside Transfer-Encoding; allowed: one of the two"
            await problem(request, 400, detail, {"Connection": "close"})(scope, receive, send)
            return
        if self._tokens is None and (name := _host(request)) not in LOOPBACK:
            # Without tokens a web page elsewhere must not reach the service under a name of its own.
            detail = f"Host = {name}: not this machine; allowed: {', '.join(sorted(LOOPBACK))}, or tokens"
            await problem(request, 400, detail)(scope, receive, send)
            return
        if self._tokens is None and is_cross_site(request.method, request.headers):
            detail = "Sec-Fetch-Site, Origin: a page of another site; allowed: those of this service, or tokens"
            await problem(request, 403, detail)(scope, receive, send)
            return
        try:
            holder = self._holder(request)
        except RequestError as error:
            await problem(request, 503, str(error), {"Retry-After": "10"})(scope, receive, send)
            return
        request.state.holder = holder
        # Who has a token is counted alone, for a team may share an address; a wrong token costs nothing to make up.
        client = f"holder {holder.name}" if holder else f"address {_network(request)}"
        request.state.client = None if request.url.path == ALIVE else client
        if request.url.path != ALIVE and not self._limiter.hit(self._rate, client):
            refused = problem(request, 429, f"more than {self._rate.amount} requests a minute", {"Retry-After": "10"})
            await refused(scope, receive, send)
            return
        try:
            too_large = await self._is_too_large(request)
        except ClientDisconnect:  # in the middle of its body
            return
        if too_large:
            detail = f"body: larger than allowed; allowed: at most {self._max_body:,} bytes"
            await problem(request, 413, detail)(scope, receive, send)
            return
        await self._app(scope, _replay(await request.body(), receive), send)

    def _holder(self, request: Request) -> Holder | None:
        """Who asks. The file is read for every request, so that a token that was taken out counts no more."""
        kind, token = get_authorization_scheme_param(request.headers.get("authorization"))
        if self._tokens is None or kind.lower() != "bearer":
            return None
        return holder_of(token, read_holders(self._tokens))

    async def _is_too_large(self, request: Request) -> bool:
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
    """Where a request comes from: an address, or of version 6 all those that one client is usually given."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address) or address.ipv4_mapped:
        return host
    return str(IPv6Network((address, 64), strict=False))


def _host(request: Request) -> str:
    """The name by which the service was asked."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read already, and then whatever comes: that the client went away."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
