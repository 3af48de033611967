"""Queries for the runs of searches and trials in MLflow, page by page; deleted runs are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from spaces.errors import Unknown
from spaces.spec.metrics import Mode
from spaces.trials.records import State
from tracking.mlflow_store import tags
from tracking.mlflow_store.run_records import (
    SearchRun,
    SpoiledSearch,
    TrialRun,
    parse_search,
    parse_search_or_flaw,
    parse_trial,
    parse_trial_or_flaw,
)
from tracking.mlflow_store.uri import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGE = 1000
_FRONT_PAGE = 50
_DELETED = "deleted"  # `lifecycle_stage` of a run or an experiment
_EARLIEST = "attributes.start_time ASC"


def list_searches(client: MlflowClient, name: str | None = None) -> list[SearchRun]:
    """Return every search, or those called `name`, of all experiments; newest first.

    Raises:
        WorkError: when the record of one cannot be read.
    """
    return sorted(map(parse_search, _search_runs(client, name)), key=lambda row: row.started, reverse=True)


def scan_searches(client: MlflowClient, name: str | None = None) -> list[SearchRun | SpoiledSearch]:
    """Return every search, or those called `name`, newest first; a record that cannot be read hides no other."""
    found = (parse_search_or_flaw(run) for run in _search_runs(client, name))
    return sorted(found, key=lambda row: row.started, reverse=True)


def _search_runs(client: MlflowClient, name: str | None) -> Iterator[Run]:
    named = f" and tags.`{tags.SEARCH}` = '{name}'" if name is not None else ""
    experiments = [one.experiment_id for one in _pages(client.search_experiments)]
    return runs(client, experiments, f"tags.`{tags.KIND}` = 'search'{named}")


def find_search(client: MlflowClient, name: str) -> SearchRun:
    """Return the search called `name`; of several, the newest.

    Raises:
        Unknown: when there is none, with the nearest names, or with how to restore it where it was deleted.
        WorkError: when its record cannot be read.
    """
    found = [] if "'" in name else list_searches(client, name)
    if not found:
        if reason := deleted_search(client, name):
            raise Unknown(f"search {name!r}: {reason}")
        names = {row.name for row in scan_searches(client)}
        nearest = ", ".join(get_close_matches(name, names, n=3, cutoff=0.0)) or "none, for there are no searches yet"
        raise Unknown(f"search {name!r}: not in MLflow at {redact(client.tracking_uri)}; nearest: {nearest}")
    return found[0]


def deleted_search(client: MlflowClient, name: str) -> str | None:
    """Return how to restore the search called `name`, where it or its experiment was deleted; else None."""
    from mlflow.entities import ViewType

    if "'" in name:
        return None
    every = partial(client.search_experiments, view_type=ViewType.ALL)
    experiments = {one.experiment_id: one for one in _pages(every)}
    query = f"tags.`{tags.KIND}` = 'search' and tags.`{tags.SEARCH}` = '{name}'"
    found = list(runs(client, list(experiments), query, deleted=True))
    if not found:
        return None
    run = found[-1].info
    experiment = experiments[run.experiment_id]
    if experiment.lifecycle_stage == _DELETED:
        return (
            f"its experiment {experiment.name} is deleted in MLflow; restore it: "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`"
        )
    return f"its run is deleted in MLflow; restore it: `mlflow runs restore --run-id {run.run_id}`"


def deleted_trials(client: MlflowClient, search: SearchRun) -> dict[str, str]:
    """Return the ids of the deleted runs of a search's trainings, by trial."""
    query = _of(search, f"tags.`{tags.KIND}` != 'search'")
    found = runs(client, [search.experiment_id], query, deleted=True)
    return {run.data.tags.get(tags.TRIAL, ""): run.info.run_id for run in found}


def read_trials(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """Return every training of a search in the order of ids: trials, reference and confirmations.

    Raises:
        WorkError: when the record of one cannot be read.
    """
    return _children(client, search, f"tags.`{tags.KIND}` != 'search'", parse_trial)


def scan_trials(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """Return every training of a search in the order of ids; one with an unreadable record is `spoiled`, and failed."""
    return _children(client, search, f"tags.`{tags.KIND}` != 'search'", parse_trial_or_flaw)


def read_front(
    client: MlflowClient,
    search: SearchRun,
    *,
    mode: Mode,
    measure: str,
    size: str,
    counts: Callable[[TrialRun], bool] = lambda row: True,
) -> list[TrialRun]:
    """Return the finished trials on the front over two metrics, among some that are not on it, and spoiled ones.

    MLflow takes more than a millisecond for each run that it returns, so it is asked for few: for the best ones of
    those that are smaller than all that were found before.

    Args:
        mode: whether `measure` is better when it is larger ("max") or smaller.
        measure: the metric of quality.
        size: the metric of size, a count.
        counts: trials for which it is false beat no other, so that those on the front without them are returned too.

    Returns:
        Trials that have the metric, and trials whose record cannot be read (`spoiled`), each once.
    """
    # All but the other states, so that a run whose state was spoiled is found as well.
    others = "".join(f" and tags.`{tags.STATE}` != '{one}'" for one in get_args(State) if one != "finished")
    query = _of(search, f"tags.`{tags.KIND}` = 'trial'{others}")
    order = [f"metrics.{measure} {'DESC' if mode == 'max' else 'ASC'}", f"metrics.{size} ASC", _EARLIEST]
    found: dict[str, TrialRun] = {}
    smaller, token = "", None
    while True:
        page = client.search_runs(
            [search.experiment_id], query + smaller, order_by=order, max_results=_FRONT_PAGE, page_token=token
        )
        # Runs without the metric come last.
        best = [row for row in map(parse_trial_or_flaw, page) if row.spoiled or measure in row.metrics]
        found |= {row.run_id: row for row in best}
        if not page.token or not best:
            return list(found.values())
        sizes = [row.metrics[size] for row in best if not row.spoiled and counts(row)]
        token = None if sizes else page.token
        smaller = f" and metrics.{size} < {int(min(sizes))}" if sizes else smaller


def read_reference(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """Return the training of the task head alone, if there was one; `spoiled` if its record cannot be read."""
    return _children(client, search, f"tags.`{tags.KIND}` = 'reference'", parse_trial_or_flaw)


def read_confirmations(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """Return the trainings that confirm points of the front; those whose records cannot be read are `spoiled`."""
    return _children(client, search, f"tags.`{tags.KIND}` = 'confirmation'", parse_trial_or_flaw)


def _children(client: MlflowClient, search: SearchRun, query: str, read: Callable[[Run], TrialRun]) -> list[TrialRun]:
    found = runs(client, [search.experiment_id], _of(search, query))
    # Ids are padded with zeros to four digits; the ten-thousandth is longer and comes after them.
    return sorted(map(read, found), key=lambda row: (len(row.plan.trial), row.plan.trial))


def _of(search: SearchRun, query: str) -> str:
    return f"tags.`{tags.SEARCH_ID}` = '{search.search_id}' and {query}"


def runs(client: MlflowClient, experiments: list[str], query: str, *, deleted: bool = False) -> Iterator[Run]:
    """Yield the runs of these experiments that the query finds, the earliest first; of deleted ones if `deleted`."""
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY

    def page(**token: Any) -> Any:
        return client.search_runs(experiments, query, run_view_type=view, order_by=[_EARLIEST], **token)

    return _pages(page) if experiments else iter(())


def _pages(page: Callable[..., Any]) -> Iterator[Any]:
    """Yield all results of a paged call of MLflow."""
    token = None
    while True:
        found = page(max_results=_PAGE, page_token=token)
        yield from found
        if not (token := found.token):
            return
