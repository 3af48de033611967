"""Requests to the routes of tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.search.service.detached import client


@pytest.mark.parametrize("knob", ["a\0b", "a" * 101, "--set"])
def test_a_knob_is_a_name(tmp_path: Path, knob: str) -> None:
    asked = {"spec": {}, "method": "lora", "settings": {knob: 1}}
    assert client(tmp_path).post("/v1/count", json=asked).status_code == 422
