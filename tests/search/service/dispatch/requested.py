"""Requests for searches, as MLflow has them."""

from __future__ import annotations

from spaces.spec.spec import parse_spec
from tracking.mlflow_store.launch_requests import JobEnd, LaunchRequest, Wanted

SPEC = parse_spec({"name": "a", "model": {"path": "m"}, "data": {"train": "t.csv"}, "budget": {"parameters": 9}})


def request(
    name: str,
    submitted: int = 0,
    wanted: Wanted = "run",
    attempts: int = 0,
    since: int = 0,
    ended: JobEnd | None = None,
) -> LaunchRequest:
    """The request for a search of this name."""
    return LaunchRequest(f"run-{name}", name, SPEC, submitted, wanted, attempts, since, ended)
