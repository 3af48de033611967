"""The smallest spec that is complete."""

from __future__ import annotations

from typing import Any

MINIMAL: dict[str, Any] = {
    "name": "mine",
    "model": {"path": "some/model"},
    "data": {"train": "train.csv"},
    "budget": {"parameters": "0.3%"},
}
