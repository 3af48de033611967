"""Requests to the routes of exports."""

from __future__ import annotations

from pathlib import Path

from tests.search.service.detached import client


def test_an_id_too_long_for_a_file_is_refused(tmp_path: Path) -> None:
    answer = client(tmp_path).get(f"/v1/searches/a/exports/{'0' * 300}-peft/download")
    assert answer.status_code == 422
