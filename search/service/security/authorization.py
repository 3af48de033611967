"""Authorization: the holder of a request's bearer token, and the role that a route needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from search.service.problems import Problem
from search.service.security.tokens import Holder, Role, holder_of, read_holders
from search.service.settings import Settings

BEARER = HTTPBearer(auto_error=False, description="A token that `paretune token` made.")
Given = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


def needs(role: Role) -> Callable[[Request, Given], Awaitable[None]]:
    """Return a dependency that refuses requests whose holder does not have the role.

    It reads `request.state.holder`, which `RateAndSizeLimits` sets before any route runs.
    """

    async def check(request: Request, given: Given) -> None:  # `given` only puts the scheme into the document
        settings: Settings = request.app.state.settings
        if settings.tokens is None:
            return
        holder: Holder | None = request.state.holder
        if holder is None:
            raise Problem(401, "Authorization: a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        if not holder.may(role):
            raise Problem(403, f"role {holder.role} of {holder.name}: may not do this; allowed: role {role}")

    return check


READ, RUN = Depends(needs("read")), Depends(needs("run"))


def bearer(request: Request, tokens: Path | None) -> Holder | None:
    """Return the holder of the request's token; None without a valid one, or where the service has no tokens.

    The file is read at every request, so that a token that was taken out of it is refused at once.

    Raises:
        RequestError: when the file of tokens cannot be read.
    """
    kind, token = get_authorization_scheme_param(request.headers.get("authorization"))
    if tokens is None or kind.lower() != "bearer":
        return None
    return holder_of(token, read_holders(tokens))
