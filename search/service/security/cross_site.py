"""Requests that a page of another site has a browser send.

With tokens such a page has none to send. Without them the browser alone is what lets it in, so that its own word
counts: `Sec-Fetch-Site`, which no page can set, and `Origin` where a browser does not send the former.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

_OWN = ("same-origin", "none")
_SAFE = ("GET", "HEAD", "OPTIONS")


def is_cross_site(method: str, headers: Headers) -> bool:
    """Whether another page sends it. Its links are followed all the same: each opens a page of the service whole."""
    site = headers.get("sec-fetch-site")
    if site is None:
        return _is_of_another(headers)
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return site not in _OWN and not (followed and method in _SAFE)


def _is_of_another(headers: Headers) -> bool:
    """Whether it comes from a page of another host or port; that of a file, or of a frame without rights, is one."""
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True
