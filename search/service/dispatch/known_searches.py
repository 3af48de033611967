"""Searches and requests that MLflow has, read together; a spoiled record costs its own search and no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tracking.mlflow_store.launch_requests import LaunchRequest, find_requests
from tracking.mlflow_store.run_records import SearchRun
from tracking.mlflow_store.runs import scan_searches

if TYPE_CHECKING:
    from tracking.mlflow_store.client import MlflowClient


@dataclass(frozen=True)
class KnownSearches:
    """The searches and requests of one read.

    Attributes:
        rows: the newest search of each name.
        spoiled: by name, why the record of the newest search cannot be read.
        requests: the first request of each name, the earliest first. One whose search is in `spoiled` has no spec, so
            that it is not run.
    """

    rows: dict[str, SearchRun]
    spoiled: dict[str, str]
    requests: list[LaunchRequest]


def read_searches(client: MlflowClient, name: str | None = None) -> KnownSearches:
    """Read every search and request, or only those called `name`."""
    rows: dict[str, SearchRun] = {}
    spoiled: dict[str, str] = {}
    for row in scan_searches(client, name):
        if row.name in rows or row.name in spoiled:
            continue
        if isinstance(row, SearchRun):
            rows[row.name] = row
        else:
            spoiled[row.name] = f"its record in MLflow cannot be read ({row.flaw})"
    first: dict[str, LaunchRequest] = {}
    for request in find_requests(client, name):
        first.setdefault(request.name, request)
    return KnownSearches(rows, spoiled, _without_spoiled_specs(first.values(), spoiled))


def _without_spoiled_specs(requests: Iterable[LaunchRequest], spoiled: Mapping[str, str]) -> list[LaunchRequest]:
    """Take the spec from requests whose search cannot be read."""
    return [
        replace(one, spec=None, flaw=one.flaw or spoiled[one.name]) if one.name in spoiled else one for one in requests
    ]
