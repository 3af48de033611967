"""Bodies that are too large and requests that are too many are refused, and others are not delayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from search.service.security.tokens import make_token
from tests.search.service.detached import bearer, client


@pytest.fixture
def guarded(tmp_path: Path) -> tuple[TestClient, str, str]:
    file = tmp_path / "tokens"
    run, read = make_token(file, "ours", "run"), make_token(file, "eyes", "read")
    return client(tmp_path, tokens=file, max_body=200), run, read


@pytest.mark.parametrize("pieces", [1, 40])
def test_a_body_that_is_too_large_is_refused(guarded: tuple[TestClient, str, str], pieces: int) -> None:
    service, run, _ = guarded

    def body() -> Iterator[bytes]:  # sent in pieces, so that no length is told before
        for _ in range(pieces):
            yield b" " * (201 // pieces + 1)

    for content in (b" " * 201, body()):
        refused = service.post("/v1/searches", content=content, headers=bearer(run))
        assert refused.status_code == 413
        assert refused.json()["detail"] == "body: larger than allowed; allowed: at most 200 bytes"


def test_a_body_that_is_small_enough_arrives_whole(guarded: tuple[TestClient, str, str]) -> None:
    service, run, _ = guarded
    answer = service.post("/v1/searches", json={"name": "a"}, headers=bearer(run))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("model: missing")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_who_asks_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    ours = make_token(file, "ours", "read")
    service = client(tmp_path, requests_per_minute=3, tokens=file)
    answers = [service.get("/", headers=bearer(str(number))).status_code for number in range(4)]
    assert answers == [200, 200, 200, 429]  # whichever tokens it makes up
    assert [service.get("/", headers=bearer(ours)).status_code for _ in range(4)] == [200, 200, 200, 429]
    other = TestClient(service.app, base_url="http://127.0.0.1", client=("192.0.2.7", 50_000))
    assert other.get("/").status_code == 200
    assert service.get("/healthz").status_code == 200  # who asks that asks for all


def test_nobody_makes_up_where_it_comes_from(tmp_path: Path) -> None:
    service = client(tmp_path, "127.0.0.1", requests_per_minute=3)
    said = [
        service.get("/", headers={name: f"192.0.2.{number}"}).status_code
        for number in range(2)
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded")
    ]
    assert said == [200] * 3 + [429] * 3


def test_behind_a_proxy_that_is_named_each_client_is_counted_alone(tmp_path: Path) -> None:
    service = client(tmp_path, "10.1.2.3", requests_per_minute=2, proxies=("10.1.0.0/16",))

    def ask(forwarded: str) -> int:
        return service.get("/", headers={"X-Forwarded-For": forwarded}).status_code

    assert [ask("192.0.2.1") for _ in range(3)] == [200, 200, 429]
    assert ask("192.0.2.2") == 200
    # Who asks the proxy may send such a header as well: the proxy adds its client's address behind that.
    assert [ask(f"198.51.100.{number}, 192.0.2.3") for number in range(3)] == [200, 200, 429]
    other = client(tmp_path, "203.0.113.9", requests_per_minute=2, proxies=("10.1.0.0/16",))
    said = [other.get("/", headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code for number in range(3)]
    assert said == [200, 200, 429]


def test_all_addresses_of_one_network_of_version_6_count_as_one(tmp_path: Path) -> None:
    service = client(tmp_path, "2001:db8::1", requests_per_minute=2)
    again = TestClient(service.app, base_url="http://127.0.0.1", client=("2001:db8::ffff:1", 1))
    other = TestClient(service.app, base_url="http://127.0.0.1", client=("2001:db8:0:1::1", 1))
    assert [one.get("/").status_code for one in (service, again, service, again, other)] == [200, 200, 429, 429, 200]
