"""Searches and trials as they stand in MLflow, page by page; deleted ones are left out."""

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
_DELETED = "deleted"  # a run's or an experiment's stage of life
_EARLIEST = "attributes.start_time ASC"


def list_searches(client: MlflowClient, name: str | None = None) -> list[SearchRun]:
    """Every search, or those called `name`, in all experiments; newest first.

    Raises:
        WorkError: when the record of one cannot be read.
    """
    return sorted(map(parse_search, _search_runs(client, name)), key=lambda row: row.started, reverse=True)


def scan_searches(client: MlflowClient, name: str | None = None) -> list[SearchRun | SpoiledSearch]:
    """The same, with those whose records cannot be read: a spoiled one hides no other."""
    found = (parse_search_or_flaw(run) for run in _search_runs(client, name))
    return sorted(found, key=lambda row: row.started, reverse=True)


def _search_runs(client: MlflowClient, name: str | None) -> Iterator[Run]:
    named = f" and tags.`{tags.SEARCH}` = '{name}'" if name is not None else ""
    experiments = [one.experiment_id for one in _pages(client.search_experiments)]
    return runs(client, experiments, f"tags.`{tags.KIND}` = 'search'{named}")


def find_search(client: MlflowClient, name: str) -> SearchRun:
    """The search called `name`; of several, the newest.

    Raises:
        RequestError: when there is none, naming the nearest; of one that was deleted, saying how to restore it.
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
    """Why the search called `name` is not found though MLflow has it: it, or its experiment, was deleted."""
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
    """Trainings of a search whose runs were deleted, and the ids of these."""
    query = _of(search, f"tags.`{tags.KIND}` != 'search'")
    found = runs(client, [search.experiment_id], query, deleted=True)
    return {run.data.tags.get(tags.TRIAL, ""): run.info.run_id for run in found}


def read_trials(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """Every training of a search in the order of ids: trials, reference and confirmations.

    Raises:
        WorkError: when the record of one cannot be read.
    """
    return _children(client, search, f"tags.`{tags.KIND}` != 'search'", parse_trial)


def scan_trials(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """The same; a training whose record cannot be read is a failed one, for that reason."""
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
    """The finished trials that no other beats on the metrics `measure` and `size`, among some that are beaten.

    Those that only trials beat for which `counts` is false are among them as well.

    MLflow takes more than a millisecond for each run that it gives, so it is asked for few: for the best ones of those
    that are smaller than all that were found before.
    """
    # Not the finished ones alone, so that a state which somebody spoiled is not passed over.
    others = "".join(f" and tags.`{tags.STATE}` != '{one}'" for one in get_args(State) if one != "finished")
    query = _of(search, f"tags.`{tags.KIND}` = 'trial'{others}")
    order = [f"metrics.{measure} {'DESC' if mode == 'max' else 'ASC'}", f"metrics.{size} ASC", _EARLIEST]
    found: list[TrialRun] = []
    smaller, token = "", None
    while True:
        page = client.search_runs(
            [search.experiment_id], query + smaller, order_by=order, max_results=_FRONT_PAGE, page_token=token
        )
        # Runs without the metric come last.
        best = [row for row in map(parse_trial, page) if measure in row.metrics]
        found += best
        if not page.token or not best:
            return found
        sizes = [row.metrics[size] for row in best if counts(row)]
        token = None if sizes else page.token
        smaller = f" and metrics.{size} < {int(min(sizes))}" if sizes else smaller


def read_reference(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """The task head trained alone, if it was."""
    return _children(client, search, f"tags.`{tags.KIND}` = 'reference'", parse_trial)


def read_confirmations(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """Points of the front trained again."""
    return _children(client, search, f"tags.`{tags.KIND}` = 'confirmation'", parse_trial_or_flaw)


def _children(client: MlflowClient, search: SearchRun, query: str, read: Callable[[Run], TrialRun]) -> list[TrialRun]:
    found = runs(client, [search.experiment_id], _of(search, query))
    # Ids are padded with zeros to four digits; the ten-thousandth is longer and comes after them.
    return sorted(map(read, found), key=lambda row: (len(row.plan.trial), row.plan.trial))


def _of(search: SearchRun, query: str) -> str:
    return f"tags.`{tags.SEARCH_ID}` = '{search.search_id}' and {query}"


def runs(client: MlflowClient, experiments: list[str], query: str, *, deleted: bool = False) -> Iterator[Run]:
    """Every run of these experiments that the query finds, the earliest first; or every one that was deleted."""
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY

    def page(**token: Any) -> Any:
        return client.search_runs(experiments, query, run_view_type=view, order_by=[_EARLIEST], **token)

    return _pages(page) if experiments else iter(())


def _pages(page: Callable[..., Any]) -> Iterator[Any]:
    """Everything that a paged call of MLflow gives."""
    token = None
    while True:
        found = page(max_results=_PAGE, page_token=token)
        yield from found
        if not (token := found.token):
            return
