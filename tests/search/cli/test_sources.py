"""A reading command reads from MLflow, or from a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.sources import Mlflow, source
from search.client import Client
from spaces.errors import RequestError
from tests.search.written_searches import write_search


def test_a_service_is_asked_where_one_is_named(tmp_path: Path) -> None:
    assert isinstance(source("http://127.0.0.1:1", None, tmp_path), Client)


def test_mlflow_is_probed_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"mlflow\.db"):
        source(None, f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    write_search(tmp_path, "mine", (0.6,))
    read = source(None, f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    assert isinstance(read, Mlflow)
    assert [point.quality for point in read.front("mine").front] == [0.6]
    assert [one.quality for one in read.trials("mine").trials] == [0.6]
