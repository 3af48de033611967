"""Fronts, trials and searches, from MLflow alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from spaces.errors import RequestError, WorkError
from spaces.spec.spec import SearchSpec
from tracking.documents.building import CONFIRMED, build_front, build_search, build_trials
from tracking.documents.schemas import (
    Axis,
    ComparisonDocument,
    FrontDocument,
    SearchesDocument,
    TrialsDocument,
    UnreadableSearch,
)
from tracking.mlflow_store.artifacts import fetch_spec
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.run_records import SearchRun, SpoiledSearch
from tracking.mlflow_store.runs import (
    find_search,
    read_confirmations,
    read_front,
    read_reference,
    read_trials,
    scan_searches,
)
from tracking.reports.comparison import compare
from tracking.reports.comparison_picture import compose_comparison
from tracking.reports.figure import Picture


def front_document(uri: str, name: str, *, confirmed: bool = False, axis: Axis = "trainable") -> FrontDocument:
    """The search called `name` and its front, computed from the runs of those trials that it can hold.

    Args:
        confirmed: take only points that were confirmed, and compare them by their confirmed quality.
        axis: the count that quality is traded for; the hypervolume is over it as well.

    Raises:
        RequestError: when there is no such search, or no MLflow at `uri`.
        WorkError: when MLflow fails.
    """
    with reading(uri) as client:
        search = find_search(client, name)
        read = partial(read_front, client, search, mode=search.facts.mode, size=f"{axis}_parameters")
        rows = read_reference(client, search) + read(measure=CONFIRMED)
        if confirmed:
            rows += read_confirmations(client, search)
        else:
            # The best that was trained once may be beaten by the one quality of a trial whose confirmed one is lower.
            found = read(measure="quality", counts=lambda row: CONFIRMED not in row.metrics)
            rows += [row for row in found if row not in rows]
        return build_front(search, rows, confirmed=confirmed, axis=axis)


def trials_document(uri: str, name: str) -> TrialsDocument:
    """Everything that the search called `name` trained.

    Raises:
        RequestError: when there is no such search, or no MLflow at `uri`.
        WorkError: when MLflow fails.
    """
    with reading(uri) as client:
        search = find_search(client, name)
        return build_trials(search, read_trials(client, search))


def searches_document(uri: str) -> SearchesDocument:
    """Every search, newest first; those that cannot be read are named apart.

    Raises:
        RequestError: when there is no MLflow at `uri`.
        WorkError: when MLflow fails.
    """
    with reading(uri) as client:
        found = scan_searches(client)
        rows = [one for one in found if isinstance(one, SearchRun)]
        names = {one: client.get_experiment(one).name for one in {row.experiment_id for row in rows}}
    return SearchesDocument(
        searches=tuple(build_search(row, names[row.experiment_id]) for row in rows),
        unreadable=tuple(
            UnreadableSearch(search=one.name, run_id=one.run_id, reason=one.flaw)
            for one in found
            if isinstance(one, SpoiledSearch)
        ),
    )


def comparison(uri: str, names: Sequence[str], *, confirmed: bool = False) -> tuple[ComparisonDocument, Picture]:
    """Searches side by side, as a document and as a picture.

    Raises:
        RequestError: when one of them does not exist, their metrics differ, or there is no MLflow at `uri`.
        WorkError: when MLflow fails.
    """
    fronts = [front_document(uri, name, confirmed=confirmed) for name in names]
    document = compare(fronts, confirmed=confirmed, specs=_specs(uri, names))
    return document, compose_comparison(document, fronts, confirmed=confirmed)


def _specs(uri: str, names: Sequence[str]) -> dict[str, SearchSpec]:
    """Specs of searches by name, of those that kept theirs in MLflow and whose artifacts are at hand."""
    with reading(uri) as client:
        runs = {name: find_search(client, name).run_id for name in names}
    found = {}
    for name, run in runs.items():
        with suppress(RequestError, WorkError):
            found[name] = fetch_spec(uri, run)
    return found
