"""A spec whose searches are driven by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.spec.spec import SearchSpec, parse_spec
from tests.spaces.conftest import inventory as inventory


@pytest.fixture
def spec(tmp_path: Path) -> SearchSpec:
    return parse_spec(
        {
            "name": "mine",
            "model": {"path": "m"},
            "data": {"train": "t.csv"},
            "budget": {"parameters": 68_000},
            "storage": str(tmp_path),
            "training": {"max_steps": 9},
        }
    )
