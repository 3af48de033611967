"""Requests that a page of another site makes a browser send: refused where the service has no tokens.

With tokens such a page has none to send. Without them only the browser lets it in, so its headers decide:
`Sec-Fetch-Site`, which no page can set, and `Origin` where a browser does not send the former. The name by which the
service was asked decides as well: a foreign name may be made to resolve to this machine (DNS rebinding).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers

from search.service.settings import LOOPBACK

_OWN = ("same-origin", "none")
_SAFE = ("GET", "HEAD", "OPTIONS")


def site_refusal(request: Request) -> tuple[int, str] | None:
    """Return status and detail that refuse a request of another site, or under another host name; None if allowed."""
    # Starlette's TrustedHostMiddleware splits the header at ":" and so breaks `[::1]`, and answers in plain text.
    if (name := _host(request)) not in LOOPBACK:
        return 400, f"Host = {name}: not this machine; allowed: {', '.join(sorted(LOOPBACK))}, or tokens"
    if is_cross_site(request.method, request.headers):
        return 403, "Sec-Fetch-Site, Origin: a page of another site; allowed: those of this service, or tokens"
    return None


def is_cross_site(method: str, headers: Headers) -> bool:
    """Tell whether a page of another site sends the request.

    Following a link of that page is allowed all the same: it opens a whole page of the service.
    """
    site = headers.get("sec-fetch-site")
    if site is None:
        return _has_other_origin(headers)
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return site not in _OWN and not (followed and method in _SAFE)


def _has_other_origin(headers: Headers) -> bool:
    """Tell whether `Origin` names another host or port; a file's and a sandboxed frame's, `null`, count as others."""
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True


def _host(request: Request) -> str:
    """Return the host name by which the service was asked."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""
