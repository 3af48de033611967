"""What stands before every route, in the application itself; Ray and MLflow are not there, and are not reached."""

from __future__ import annotations

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


OPEN = ("/healthz", "/readyz", "/metrics")


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


def test_a_damaged_file_of_tokens_is_said_to_whoever_brings_one(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    ours = make_token(file, "ours", "run")
    service = client(tmp_path, tokens=file)
    file.write_text("no holder\n")
    refused = service.get("/v1/searches", headers=bearer(ours))
    assert refused.status_code == 503
    assert "a line is no holder" in refused.json()["detail"]
    assert service.get("/healthz").status_code == 200
