"""Readiness names what does not answer."""

from __future__ import annotations

from pathlib import Path

from tests.search.service.detached import client


def test_what_does_not_answer_is_named(tmp_path: Path) -> None:
    answer = client(tmp_path).get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "MLflow does not answer"
