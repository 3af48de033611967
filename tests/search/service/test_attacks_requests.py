"""Attacks by requests: who asks, how often, from where, in which form of HTTP, and for which paths.

Members of a kind are tried against the application in this process, or against the server that `paretune serve` runs
where the bytes themselves matter; neither Ray nor a job is needed. Load is measured by `make bench-attack`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from search.service.security.tokens import make_token
from tests.search.service.alone import Alone, alone_in
from tests.search.service.listening import answer_to, listening


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[Alone, str]:
    """A service that asks for tokens, and one that may read."""
    folder = tmp_path_factory.mktemp("guarded")
    read = make_token(folder / "tokens", "eyes", "read")
    return alone_in(folder, empty_database, tokens=folder / "tokens", requests_per_minute=100_000), read


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[int]:
    """The port of a service without tokens that gives a request two seconds to arrive."""
    folder = tmp_path_factory.mktemp("listening")
    settings = alone_in(folder, empty_database, request_seconds=2.0, requests_per_minute=100_000).settings
    with listening(settings) as found:
        yield found


def odd_headers(token: str) -> list[bytes]:
    """Everything but a bearer token."""
    good = token.encode()
    return [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer null",
        b"Bearer " + good[:-1],
        b"Bearer " + good + b"x",
        b"Bearer " + good.upper(),
        b"Bearer " + good + b", Bearer " + good,
        b"Bearer " + good + b"\xff",
        b"Bearer " + good + b" " + good,
        b"Basic " + good,
        b"Token " + good,
        b"Bearer\t" + good,
        good,
        b"Bearer " + b"a" * 8_000,
        b"Bearer {}",
        b"Bearer \xc3\x28",
    ]


def test_no_form_of_a_wrong_token_lets_anyone_in(guarded: tuple[Alone, str]) -> None:
    alone, token = guarded
    assert alone.http.get("/v1/searches", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    for header in odd_headers(token):
        answer = alone.http.get("/v1/searches", headers=[(b"Authorization", header)])
        assert answer.status_code == 401, header
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert token not in answer.text
    twice = [(b"Authorization", b"Bearer x"), (b"Authorization", f"Bearer {token}".encode())]
    assert alone.http.get("/v1/searches", headers=twice).status_code == 401
    for place in (f"?token={token}", f"?access_token={token}", f"?Authorization=Bearer%20{token}"):
        assert alone.http.get(f"/v1/searches{place}").status_code == 401
    alone.http.cookies.set("Authorization", f"Bearer {token}")
    assert alone.http.get("/v1/searches").status_code == 401
    alone.http.cookies.clear()


def test_who_may_read_may_not_change_anything_by_another_verb(guarded: tuple[Alone, str]) -> None:
    alone, token = guarded
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("/v1/searches", "/v1/searches/a/stop", "/v1/searches/a/resume", "/v1/searches/a/exports"):
        assert alone.http.post(path, json={}, headers=headers).status_code == 403
        for verb in ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT"):
            assert alone.http.request(verb, path, headers=headers).status_code == 405
        changed = {**headers, "X-HTTP-Method-Override": "POST"}
        assert alone.http.get(path, headers=changed).status_code in (200, 404, 405)


NAMES = [
    "127.0.0.1.example.org", "example.org", "127.0.0.1@example.org", "example.org#127.0.0.1", "localhost.example.org",
    "0.0.0.0", "127.1", "2130706433", "[::ffff:127.0.0.1]", "127.0.0.1, example.org", "127.0.0.1:x@example.org", "[",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_without_tokens_a_name_that_leads_here_does_not_let_a_page_in(alone: Alone, name: str) -> None:
    """DNS rebinding: a page asks its own name, which has become the address of this machine."""
    for port in ("", ":8080"):
        answer = alone.http.get("/v1/searches", headers={"Host": f"{name}{port}"})
        assert answer.status_code == 400
    forwarded = {"Host": name, "X-Forwarded-Host": "127.0.0.1", "Forwarded": "host=127.0.0.1"}
    assert alone.http.get("/v1/searches", headers=forwarded).status_code == 400


CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    {"Origin": "http://evil.example.org"},
    {"Origin": "http://127.0.0.1:9"},
    {"Origin": "http://localhost"},
    {"Origin": "null"},
    {"Origin": "file://"},
    {"Origin": "http://["},
]


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_without_tokens_a_page_of_another_site_changes_nothing(alone: Alone, headers: dict[str, str]) -> None:
    alone.launch("mine")
    for verb in ("stop", "resume"):
        refused = alone.http.post(f"/v1/searches/mine/{verb}", headers=headers)
        assert refused.status_code == 403
        assert "a page of another site" in refused.json()["detail"]
    body = alone.spec("theirs").model_dump_json()
    for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
        refused = alone.http.post("/v1/searches", content=body, headers={**headers, "Content-Type": kind})
        assert refused.status_code == 403
    assert alone.request("mine").wanted == "run"
    assert alone.http.get("/v1/searches").json()["total"] == 1


def test_own_pages_other_programs_and_links_are_served(alone: Alone) -> None:
    alone.launch("mine")
    own = [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1"},
    ]
    for headers in own:
        assert alone.http.post("/v1/searches/mine/resume", headers=headers).status_code == 202
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert alone.http.get("/", headers=followed).status_code == 200
    assert alone.http.get("/", headers={**followed, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert alone.http.get("/v1/methods", headers={**followed, "Sec-Fetch-Mode": "no-cors"}).status_code == 403


def test_with_tokens_it_is_the_token_that_counts(guarded: tuple[Alone, str]) -> None:
    alone, token = guarded
    headers = {"Authorization": f"Bearer {token}", "Origin": "http://another.example.org", "Host": "paretune.lan"}
    assert alone.http.get("/v1/searches", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/searches/..%2f..%2fetc", "/v1/searches/%2e%2e/front", "/v1/searches/.hidden", "/v1/searches/a%00b",
        "/v1/searches/a%0ab", "/v1/searches/a'%20OR%20'1'='1", "/v1/searches/%ff", "/v1/searches/-a",
        "/v1/searches/a/exports/..%2f0000-peft/download", "/v1/searches/a/exports/0000-peft%2f..%2fx/download",
        "/v1/searches/a/exports/0000-lora-8e%00/download", "/v1/searches/a/trials/..%2f0000/curve",
        "/assets/..%2fapp.py", "/assets/%2e%2e%2f%2e%2e%2fsettings.py", "/assets/app.js%00.css", "/assets/....//app.py",
        "//etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
    ],
)  # fmt: skip
def test_no_path_leads_out(alone: Alone, path: str) -> None:
    answer = alone.http.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


def get(*headers: bytes, body: bytes = b"", verb: bytes = b"POST", path: bytes = b"/v1/searches") -> bytes:
    lines = [verb + b" " + path + b" HTTP/1.1", b"Host: 127.0.0.1", *headers, b"", b""]
    return b"\r\n".join(lines) + body


HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        get(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
        get(b"Content-Length: 4", b"Content-Length: 40", body=HIDDEN),
        get(b"Content-Length: 4, 40", body=HIDDEN),
        get(b"Content-Length: +4", body=HIDDEN),
        get(b"Content-Length: 0x4", body=HIDDEN),
        get(b"Content-Length: -1", body=HIDDEN),
        get(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + HIDDEN),
        get(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + HIDDEN),
        get(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + HIDDEN),
        get(b"Transfer-Encoding: chunked", body=b"-1\r\n\r\n" + HIDDEN),
        b"POST /v1/searches HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n" + HIDDEN,
        b"GET /v1/searches HTTP/1.1\r\n\r\n" + HIDDEN,
        b"GET  /healthz HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_no_request_is_smuggled_in_another(port: int, sent: bytes) -> None:
    """A request hidden in a body, behind lengths that contradict each other, is never answered as a request."""
    said = answer_to(port, sent)
    assert b'"status":"ok"' not in said
    assert said.count(b"HTTP/1.1 ") == said.count(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"GE",),
        (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",),
        (get(b"Content-Length: 100", body=b'{"name"'),),
        (get(b"Transfer-Encoding: chunked", body=b"5\r\nabc"),),
        (HIDDEN, b"GET /heal"),
    ],
)
def test_a_request_that_does_not_arrive_whole_is_given_up(port: int, pieces: tuple[bytes, ...]) -> None:
    said = answer_to(port, *pieces)  # comes to an end
    assert said.count(b'"status":"ok"') == (HIDDEN in pieces)
    assert answer_to(port, HIDDEN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).count(b'"status":"ok"') == 1


def test_headers_without_end_are_refused(port: int) -> None:
    said = answer_to(port, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-Long: " + b"a" * 200_000)
    assert said == b"" or said.startswith(b"HTTP/1.1 4")  # or the connection was closed too early to read it


def test_of_many_equal_requests_at_once_one_made_the_search(tmp_path: Path, empty_database: Path) -> None:
    alone = alone_in(tmp_path, empty_database)
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: alone.launch("mine").status_code, range(10)))
    assert sorted(answers) == [200] * 9 + [201]
    other = alone.http.post("/v1/searches", json=alone.spec("mine", budget={"parameters": 7}).model_dump(mode="json"))
    assert other.status_code == 409
