"""Response headers that limit what a browser does."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from fastapi import FastAPI

from tests.search.service.detached import client


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
