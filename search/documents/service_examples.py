"""Examples in the service's OpenAPI document; the numbers are made up."""

from __future__ import annotations

from typing import Any

from tracking.documents.schema_examples import FRONT, OTHER, POINT, RUNGS, SEARCH

__all__ = ["OTHER", "SEARCH"]

SPEC: dict[str, Any] = {
    "name": SEARCH,
    "model": {"path": "sentence-transformers/all-MiniLM-L6-v2"},
    "data": {"train": "/data/sst2/train.csv", "validation": "/data/sst2/dev.csv", "max_length": 64},
    "budget": {"parameters": "0.3%"},
    "training": {"max_steps": 300},
}

STATUS: dict[str, Any] = {
    "search": SEARCH,
    "state": "running",
    "submitted": "2026-11-21T08:00:00+00:00",
    "started": "2026-11-21T08:00:12+00:00",
    "base_model": FRONT["base_model"],
    "budget": FRONT["budget"],
    "objective": FRONT["objective"],
    "hypervolume": FRONT["hypervolume"],
    "trials": FRONT["trials"],
    "planned": 40,
    "progress": 0.5,
    "eta_seconds": 1_800.0,
    "best": POINT,
    "knee": POINT,
    "message": None,
}

PAGE: dict[str, Any] = {"searches": [STATUS | {"best": None, "knee": None}], "total": 1, "limit": 50, "offset": 0}

CURVE: dict[str, Any] = {
    "trial": "0012",
    "rungs": RUNGS,
}

EXPORT_REQUEST: dict[str, Any] = {"choice": "knee", "format": "peft"}

EXPORT: dict[str, Any] = {
    "id": "0012-peft",
    "search": SEARCH,
    "trial": "0012",
    "format": "peft",
    "rank": None,
    "state": "finished",
    "ahead": None,
    "message": None,
}

PROBLEM: dict[str, Any] = {
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "detail": f"search '{SEARCH}': not known; allowed: one of GET /v1/searches",
    "instance": f"/v1/searches/{SEARCH}",
}
