"""Metrics for Prometheus, while MLflow is away."""

from __future__ import annotations

from pathlib import Path

from tests.search.service.detached import client


def test_figures_are_given_to_prometheus(tmp_path: Path) -> None:
    service = client(tmp_path)
    service.get("/healthz")
    said = service.get("/metrics").text
    assert 'http_requests_total{handler="/healthz"' in said
    assert "process_resident_memory_bytes" in said
    assert "paretune_searches" not in said  # for nobody can say
