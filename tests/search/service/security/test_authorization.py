"""What stands before every route, in the application itself; Ray and MLflow are not there, and are not reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from search.service.app import create_app
from search.service.security.tokens import make_token
from search.service.settings import Settings


def client(folder: Path, **options: Any) -> TestClient:
    nowhere = "http://127.0.0.1:9"
    settings = Settings(folder, tracking_uri=nowhere, ray_jobs=nowhere, **options)
    return TestClient(create_app(settings), base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture
def guarded(tmp_path: Path) -> tuple[TestClient, str, str]:
    file = tmp_path / "tokens"
    run, read = make_token(file, "ours", "run"), make_token(file, "eyes", "read")
    return client(tmp_path, tokens=file, max_body=200), run, read


OPEN = ("/healthz", "/readyz", "/metrics")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_route_but_those_of_health_and_the_page_needs_a_token(guarded: tuple[TestClient, str, str]) -> None:
    service, run, read = guarded
    described = service.get("/openapi.json").json()
    for path, verbs in described["paths"].items():
        for verb in verbs:
            filled = path.replace("{name}", "a").replace("{trial}", "0000").replace("{identity}", "0000-peft")
            assert path in OPEN or "401" in described["paths"][path][verb]["responses"]
            if path == "/v1/methods":  # tries every method, which takes a while
                continue
            answers = [
                service.request(verb, filled, headers=headers).status_code
                for headers in ({}, bearer("paretune_x"), bearer(read), bearer(run))
            ]
            if path in OPEN:
                assert answers == [503 if path == "/readyz" else 200] * 4
            else:
                assert answers[:2] == [401, 401]
                assert (answers[2] == 403) != (verb == "get")
                assert answers[3] not in (401, 403)


def test_a_new_token_counts_at_once_and_one_that_was_taken_out_no_more(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    make_token(file, "ours", "run")
    service = client(tmp_path, tokens=file)
    later = make_token(file, "later", "read")
    assert service.get("/v1/methods/nothing", headers=bearer(later)).status_code == 404
    assert service.get("/v1/searches", headers=bearer(later)).status_code != 401
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "later" not in line))
    assert service.get("/v1/searches", headers=bearer(later)).status_code == 401


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


def test_a_damaged_file_of_tokens_is_said_to_whoever_brings_one(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    ours = make_token(file, "ours", "run")
    service = client(tmp_path, tokens=file)
    file.write_text("no holder\n")
    refused = service.get("/v1/searches", headers=bearer(ours))
    assert refused.status_code == 503
    assert "a line is no holder" in refused.json()["detail"]
    assert service.get("/healthz").status_code == 200


def test_without_tokens_another_name_of_this_machine_is_refused(tmp_path: Path) -> None:
    service = client(tmp_path)
    for name in ("elsewhere.example.org", "127.0.0.1.example.org", "[", ""):
        refused = service.get("/healthz", headers={"Host": name})
        assert refused.status_code == 400
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert "allowed: 127.0.0.1" in refused.json()["detail"]
    for name in ("localhost:8080", "127.0.0.1", "[::1]:8080"):
        assert service.get("/healthz", headers={"Host": name}).status_code == 200


def test_every_answer_says_what_a_browser_may_do_with_it(tmp_path: Path) -> None:
    service = client(tmp_path, requests_per_minute=4, max_body=10)
    app = cast(FastAPI, service.app)

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError

    answers = [
        service.get("/"),
        service.get("/broken"),
        service.get("/healthz", headers={"Host": "elsewhere"}),
        service.post("/v1/searches", content=b" " * 11),
        service.get("/v1/searches"),
        service.get("/v1/searches"),
    ]
    assert [one.status_code for one in answers] == [200, 500, 400, 413, 503, 429]
    for one in answers:
        assert one.headers["X-Content-Type-Options"] == "nosniff"
        assert one.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert {one.headers["Cache-Control"] for one in answers[1:]} == {"no-store"}


def test_the_page_and_its_files(tmp_path: Path) -> None:
    service = client(tmp_path)
    page = service.get("/")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name in ("app.js", "plotly.min.js", "style.css"):
        assert service.get(f"/assets/{name}").status_code == 200
    for name in ("nothing.js", "..%2Fapp.py", "index.html"):
        assert service.get(f"/assets/{name}").status_code in (404, 422)


def test_figures_are_given_to_prometheus(tmp_path: Path) -> None:
    service = client(tmp_path)
    service.get("/healthz")
    said = service.get("/metrics").text
    assert 'http_requests_total{handler="/healthz"' in said
    assert "process_resident_memory_bytes" in said
    assert "paretune_searches" not in said  # for nobody can say


def test_a_wrong_method_is_told_all_that_a_path_has(tmp_path: Path) -> None:
    answer = client(tmp_path).put("/v1/searches")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"\\ud800": 1}', 422),  # no text
        (b'{"a": ' + b"1" * 5_000 + b"}", 400),  # no number that Python reads
        (b"[" * 100_000, 400),
        (b"\xff", 400),
        (b"", 422),
    ],
)
def test_a_body_that_nobody_can_read_is_a_problem_of_its_sender(tmp_path: Path, body: bytes, status: int) -> None:
    answer = client(tmp_path).post("/v1/searches", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("knob", ["a\0b", "a" * 101, "--set"])
def test_a_knob_is_a_name(tmp_path: Path, knob: str) -> None:
    asked = {"spec": {}, "method": "lora", "settings": {knob: 1}}
    assert client(tmp_path).post("/v1/count", json=asked).status_code == 422


def test_an_id_too_long_for_a_file_is_refused(tmp_path: Path) -> None:
    answer = client(tmp_path).get(f"/v1/searches/a/exports/{'0' * 300}-peft/download")
    assert answer.status_code == 422


def test_what_does_not_answer_is_named(tmp_path: Path) -> None:
    answer = client(tmp_path).get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "MLflow does not answer"
