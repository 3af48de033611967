"""Without tokens other sites, and other names of this machine, are refused."""

from __future__ import annotations

from pathlib import Path

from tests.search.service.detached import client


def test_without_tokens_another_name_of_this_machine_is_refused(tmp_path: Path) -> None:
    service = client(tmp_path)
    for name in ("elsewhere.example.org", "127.0.0.1.example.org", "[", ""):
        refused = service.get("/healthz", headers={"Host": name})
        assert refused.status_code == 400
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert "allowed: 127.0.0.1" in refused.json()["detail"]
    for name in ("localhost:8080", "127.0.0.1", "[::1]:8080"):
        assert service.get("/healthz", headers={"Host": name}).status_code == 200
