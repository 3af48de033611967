"""Errors are problem details."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.search.service.detached import client


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
