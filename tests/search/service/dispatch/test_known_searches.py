"""Searches and requests are read together; a spoiled search is not run, and costs no other."""

from __future__ import annotations

import pytest

from search.service.dispatch.known_searches import read_searches
from tests.search.service.alone import Alone
from tracking.mlflow_store import tags
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.runs import find_search

pytestmark = pytest.mark.integration


def test_a_spoiled_search_takes_the_spec_from_its_request_alone(alone: Alone) -> None:
    for name in ("asked", "bad"):
        alone.launch(name)
    for name in ("bad", "ours"):
        alone.begin(alone.spec(name))
    with reading(alone.settings.tracking_uri) as client:
        before = read_searches(client)
        assert (sorted(before.rows), before.spoiled) == (["bad", "ours"], {})
        assert [one.name for one in before.requests if one.spec is not None] == ["asked", "bad"]
        client.set_tag(find_search(client, "bad").run_id, tags.FACTS, "x")
        found = read_searches(client)
        assert (sorted(found.rows), list(found.spoiled)) == (["ours"], ["bad"])
        asked, bad = found.requests
        assert (asked.name, asked.spec, bad.spec) == ("asked", before.requests[0].spec, None)
        assert bad.flaw == found.spoiled["bad"]
        assert bad.flaw.startswith("its record in MLflow cannot be read (MLflow run ")
        assert list(read_searches(client, "ours").rows) == ["ours"]
        assert read_searches(client, "ours").requests == []


def test_of_searches_of_one_name_the_newest_counts(alone: Alone) -> None:
    alone.begin(alone.spec("mine"), "stopped")
    again = alone.spec("mine", storage=str(alone.storage / "another"))
    alone.begin(again)
    with reading(alone.settings.tracking_uri) as client:
        newest = find_search(client, "mine")
        assert read_searches(client).rows == {"mine": newest}
        assert newest.state == "running"
