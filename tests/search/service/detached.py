"""The application without the MLflow and the Ray that it would reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from search.service.app import create_app
from search.service.settings import Settings


def client(folder: Path, peer: str = "testclient", **options: Any) -> TestClient:
    """A client at the address `peer` of an application with these settings."""
    nowhere = "http://127.0.0.1:9"
    settings = Settings(folder, tracking_uri=nowhere, ray_jobs=nowhere, **options)
    app = create_app(settings)
    return TestClient(app, base_url="http://127.0.0.1", client=(peer, 50_000), raise_server_exceptions=False)


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}
