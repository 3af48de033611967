"""Documents of fronts, trials, searches and comparisons, read from MLflow alone.

A training whose record in MLflow was spoiled costs no more than itself: it counts as failed, and a warning names it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
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
from tracking.mlflow_store.run_records import SearchRun, SpoiledSearch, TrialRun
from tracking.mlflow_store.runs import (
    find_search,
    read_confirmations,
    read_front,
    read_reference,
    scan_searches,
    scan_trials,
)
from tracking.reports.comparison import compare
from tracking.reports.comparison_picture import compose_comparison
from tracking.reports.figure import Picture

_logger = logging.getLogger(__name__)


def front_document(uri: str, name: str, *, confirmed: bool = False, axis: Axis = "trainable") -> FrontDocument:
    """Return the search called `name` with its front, computed from the runs of the trials that can be on it.

    Args:
        confirmed: only points that were confirmed, compared by their confirmed quality.
        axis: the count that quality is traded for, and over which the hypervolume is taken.

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
    _warn_of_spoiled(rows)
    return build_front(search, rows, confirmed=confirmed, axis=axis)


def trials_document(uri: str, name: str) -> TrialsDocument:
    """Return every training of the search called `name`.

    Raises:
        RequestError: when there is no such search, or no MLflow at `uri`.
        WorkError: when MLflow fails.
    """
    return build_trials(*_trainings(uri, name))


def front_and_trials(
    uri: str, name: str, *, confirmed: bool = False, axis: Axis = "trainable"
) -> tuple[FrontDocument, TrialsDocument]:
    """Return the front and every training of the search called `name`, from one reading of all runs.

    Args:
        confirmed: as for `front_document`.
        axis: as for `front_document`.

    Raises:
        RequestError: when there is no such search, or no MLflow at `uri`.
        WorkError: when MLflow fails.
    """
    search, rows = _trainings(uri, name)
    return build_front(search, rows, confirmed=confirmed, axis=axis), build_trials(search, rows)


def _trainings(uri: str, name: str) -> tuple[SearchRun, list[TrialRun]]:
    """Return a search with all its trainings, and warn of spoiled ones."""
    with reading(uri) as client:
        search = find_search(client, name)
        rows = scan_trials(client, search)
    _warn_of_spoiled(rows)
    return search, rows


def searches_document(uri: str) -> SearchesDocument:
    """Return every search, newest first; those whose records cannot be read under `unreadable`.

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
    """Return a comparison of searches, and its picture.

    Raises:
        RequestError: when one of them does not exist, their metrics differ, or there is no MLflow at `uri`.
        WorkError: when MLflow fails.
    """
    fronts = [front_document(uri, name, confirmed=confirmed) for name in names]
    with reading(uri) as client:
        runs = {name: find_search(client, name) for name in names}
    perfects = {name: run.facts.perfect for name, run in runs.items()}
    document = compare(fronts, confirmed=confirmed, perfects=perfects, specs=_specs(uri, runs))
    return document, compose_comparison(document, fronts, confirmed=confirmed)


def _warn_of_spoiled(rows: Iterable[TrialRun]) -> None:
    for row in rows:
        if row.spoiled:
            _logger.warning("trial %s counts as failed, its record cannot be read: %s", row.plan.trial, row.reason)


def _specs(uri: str, runs: Mapping[str, SearchRun]) -> dict[str, SearchSpec]:
    """Return specs by search, of those searches whose spec can be read from their artifacts."""
    found = {}
    for name, run in runs.items():
        with suppress(RequestError, WorkError):
            found[name] = fetch_spec(uri, run.run_id)
    return found
