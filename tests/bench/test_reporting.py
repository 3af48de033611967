"""Requests are counted once each, by what they ask, and the driver's time without that of other threads."""

from __future__ import annotations

import threading
import time

import pytest
from mlflow.entities import Metric
from requests import Request
from requests.adapters import HTTPAdapter

from tests.bench.reporting import Counts, call_of, exchanged, path_of


class Store:
    """Calls itself, as MLflow's stores do."""

    def log_batch(self, size: int) -> int:
        return self.log_metric(size) + self.log_metric(1)

    def log_metric(self, size: int) -> int:
        return size


def test_a_call_within_another_one_is_no_request_of_its_own() -> None:
    counts, store = Counts(), Store()
    names = ("log_batch", "log_metric")
    places = [(Store, name, lambda of, name=name: counts.requested(of, lambda *_: name)) for name in names]
    with exchanged(places):
        assert store.log_batch(2) == 3
        store.log_metric(1)
    store.log_metric(1)
    assert counts.requests == {"log_batch": 1, "log_metric": 1}


def test_only_the_driver_s_own_thread_is_blocked() -> None:
    counts = Counts()
    pause = counts.waited(time.sleep)
    thread = threading.Thread(target=pause, args=(0.05,))
    thread.start()
    thread.join()
    assert counts.blocked == 0.0
    pause(0.01)
    assert counts.blocked >= 0.01


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        (
            "POST",
            "/api/2.0/mlflow/runs/log-batch",
            '{"metrics": [{"key": "quality"}]}',
            "POST runs/log-batch, a report",
        ),
        ("POST", "/api/2.0/mlflow/runs/log-metric", b'{"key": "pid"}', "POST runs/log-metric"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/abc", None, "PUT mlflow-artifacts/artifacts"),
    ],
)
def test_requests_are_named_by_what_they_ask(method: str, path: str, body: str | bytes | None, name: str) -> None:
    request = Request(method, f"http://127.0.0.1:5000{path}", data=body).prepare()
    assert path_of(HTTPAdapter(), request, timeout=1) == name


def test_calls_of_a_store_are_named_alike() -> None:
    quality, size = (Metric(key, 1.0, 1, 1) for key in ("quality", "size"))
    assert call_of("log_batch", "store", "run", [size, quality], []) == "log_batch, a report"
    assert call_of("log_metric", "store", "run", metric=quality) == "log_metric, a report"
    assert call_of("log_batch", "store", "run", [size], []) == "log_batch"
