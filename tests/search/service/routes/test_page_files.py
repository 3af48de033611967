"""The page and its files, without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

from spaces.spec.sections import Task
from spaces.spec.spec import parse_spec
from tests.search.service.detached import client
from tracking.reports.figure import SHARES


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


def test_the_form_has_a_valid_example_of_every_task(tmp_path: Path) -> None:
    """The examples are JSON within their module, so that they can be read here."""
    script = client(tmp_path).get("/assets/examples.js").text
    examples = json.loads(script.partition("EXAMPLES = ")[2].rstrip().removesuffix(";"))
    usual = {"name": "mine", "budget": {"parameters": "0.3%"}, "training": {"max_steps": 300}}
    specs = [parse_spec(usual | sections) for sections in examples.values()]
    assert {spec.model.task for spec in specs} == set(Task)
    assert any(spec.objective.generation for spec in specs)
    assert any(spec.data.messages for spec in specs)


def test_the_page_writes_the_same_metrics_as_percentages_as_tables_do(tmp_path: Path) -> None:
    script = client(tmp_path).get("/assets/words.js").text
    assert set(re.findall('"(.+?)"', script.partition("SHARES = ")[2].partition("]")[0])) == SHARES
