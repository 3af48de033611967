"""Metrics for Prometheus: of the process, of requests, and searches by state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from search.documents.service import Phase, SearchStatus
from search.service.cache.single_flight import SingleFlight
from search.service.dependencies import Context
from search.service.status.search_status import list_statuses
from spaces.errors import RequestError, WorkError


class SearchStateCollector(Collector):
    """The number of searches in each state, counted at each scrape; absent while MLflow or Ray is away."""

    def __init__(self, context: Context) -> None:
        # A scrape needs no token, so any number of concurrent ones share a read.
        self._found: SingleFlight[None, list[SearchStatus]] = SingleFlight(
            lambda _: list_statuses(context.settings, context.trials, context.jobs.all())
        )

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge with a sample for each state."""
        try:
            found = self._found(None)
        except (RequestError, WorkError):
            return
        counts = Counter(one.state for one in found)
        gauge = GaugeMetricFamily("paretune_searches", "Searches by their state.", labels=["state"])
        for state in get_args(Phase):
            gauge.add_metric([state], counts[state])
        yield gauge


def metrics_registry(context: Context) -> CollectorRegistry:
    """Return the registry of one service, apart from the global one: a process may hold several services."""
    made = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=made)
    made.register(SearchStateCollector(context))
    return made
