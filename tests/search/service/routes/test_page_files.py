"""The page and its files, without a browser."""

from __future__ import annotations

from pathlib import Path

from tests.search.service.detached import client


def test_the_page_and_its_files(tmp_path: Path) -> None:
    service = client(tmp_path)
    page = service.get("/")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name in ("app.js", "plotly.min.js", "style.css"):
        assert service.get(f"/assets/{name}").status_code == 200
    for name in ("nothing.js", "..%2Fapp.py", "index.html"):
        assert service.get(f"/assets/{name}").status_code in (404, 422)
