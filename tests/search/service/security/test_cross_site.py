"""Without tokens other sites, and other names of this machine, are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.datastructures import Headers

from search.service.security.cross_site import is_cross_site
from tests.search.service.detached import client


def test_without_tokens_another_name_of_this_machine_is_refused(tmp_path: Path) -> None:
    service = client(tmp_path)
    for name in ("elsewhere.example.org", "127.0.0.1.example.org", "[", ""):
        refused = service.get("/healthz", headers={"Host": name})
        assert refused.status_code == 400
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert "allowed: 127.0.0.1" in refused.json()["detail"]
    for name in ("localhost:8080", "127.0.0.1", "[::1]:8080"):
        assert service.get("/healthz", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(
    ("method", "headers", "refused"),
    [
        ("POST", {}, False),  # no browser
        ("POST", {"sec-fetch-site": "same-origin"}, False),
        ("POST", {"sec-fetch-site": "none"}, False),
        ("POST", {"sec-fetch-site": "same-site"}, True),
        ("GET", {"sec-fetch-site": "cross-site"}, True),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, False),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, True),
        ("POST", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, True),
        ("POST", {"origin": "http://here:8080"}, False),
        ("POST", {"origin": "http://HERE:8080"}, False),
        ("POST", {"origin": "http://here:8081"}, True),
        ("POST", {"origin": "null"}, True),
        ("POST", {"origin": "http://["}, True),
        ("POST", {"origin": "http://elsewhere", "sec-fetch-site": "same-origin"}, False),  # set by the browser alone
    ],
)
def test_a_page_of_another_site_is_known_by_what_the_browser_says(
    method: str, headers: dict[str, str], refused: bool
) -> None:
    assert is_cross_site(method, Headers({"host": "here:8080", **headers})) is refused
