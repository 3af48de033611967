"""Requests for searches."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from search.service.routes import searches
from tests.search.service.alone import alone_in
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import LaunchRequest, add_request, find_requests

pytestmark = pytest.mark.integration


def test_no_more_searches_wait_than_may_however_many_ask_at_once(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*given: Any) -> tuple[LaunchRequest, bool]:  # while the others count those that wait
        time.sleep(1)
        return add_request(*given)

    monkeypatch.setattr(searches, "add_request", slowly)
    alone = alone_in(tmp_path, empty_database, max_queued=3)
    names = [f"s{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as threads:
        answers = list(threads.map(lambda name: alone.launch(name).status_code, names))
    assert sorted(answers) == [201] * 3 + [429] * 5
    with reading(alone.settings.tracking_uri) as client:
        assert len(find_requests(client)) == 3


def test_a_list_of_files_that_leaves_the_roots_is_refused(tmp_path: Path, empty_database: Path) -> None:
    alone = alone_in(tmp_path, empty_database)
    root = tmp_path / "data"
    (root / "train.csv").touch()
    (root / "link.csv").symlink_to("/etc/passwd")
    good = f"{root}/train.csv"
    for path in ("/etc/passwd", f"{root}/../mlflow.db", f"{root}/link.csv", f"{root}/*.csv", "../mlflow.db", ""):
        for split in ("train", "validation", "test"):
            values = alone.spec("mine").model_dump(mode="json")
            values["data"][split] = [good, path]
            for address in ("/v1/searches", "/v1/validate"):
                answer = alone.http.post(address, json=values)
                assert (answer.status_code, f"data.{split} = " in answer.text) == (422, True), (path, split, address)
    with reading(alone.settings.tracking_uri) as client:
        assert find_requests(client) == []
