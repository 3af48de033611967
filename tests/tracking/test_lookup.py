"""Searches looked up by name, wherever MLflow is."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.errors import RequestError
from tests.conftest import ADDRESSES
from tests.search.written_searches import write_search
from tracking import compare, front, searches, trials
from tracking.queries import front_document


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_search(folder, "first", (0.6, 0.7, 0.65))
    write_search(folder, "second", (0.55, 0.8))
    return folder


@pytest.fixture(autouse=True)
def _no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)


def test_a_front_is_that_of_mlflow_and_a_table(storage: Path) -> None:
    found = front("first", storage=storage)
    assert found == front_document(f"sqlite:///{storage}/mlflow.db", "first")
    table = found.to_pandas()
    assert list(table["trial"]) == ["0000", "0001"]
    assert list(table["trainable_parameters"]) == [1000, 2000]
    assert set(table["config.rank"]) == {2}
    assert list(front("first", confirmed=True, axis="stored", storage=storage).to_pandas()["quality"]) == [0.6, 0.7]


def test_trials_and_searches(storage: Path) -> None:
    assert list(trials("first", storage=str(storage)).to_pandas()["quality"]) == [0.6, 0.7, 0.65]
    assert [one.search for one in searches(storage=storage).searches] == ["second", "first"]


def test_a_comparison_is_of_the_front_of_all(storage: Path) -> None:
    table = compare("first", "second", storage=storage).to_pandas()
    assert list(zip(table["search"], table["trial"], strict=True)) == [("first", "0000"), ("second", "0001")]
    with pytest.raises(RequestError, match="compare first first: allowed: two different searches or more"):
        compare("first", "first", storage=storage)


def test_mlflow_is_where_the_caller_or_the_environment_says(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{storage}/mlflow.db"
    with pytest.raises(RequestError, match=r"mlflow\.db"):
        front("first", storage=tmp_path)
    assert front("first", storage=tmp_path, tracking_uri=uri).search == "first"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert front("first", storage=tmp_path).search == "first"
    monkeypatch.chdir(tmp_path)
    assert front("first").search == "first"


def test_a_search_that_is_not_there(storage: Path) -> None:
    with pytest.raises(RequestError, match="nowhere"):
        trials("nowhere", storage=storage)
