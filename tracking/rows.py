"""Searches and trials as they stand in MLflow, page by page; deleted ones are left out."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from spaces.errors import Unknown, WorkError
from spaces.metrics import Mode
from spaces.records import State, TrialPlan
from tracking import tags
from tracking.tags import SearchFacts
from tracking.uri import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

M = TypeVar("M", bound=BaseModel)

_PAGE = 1000
_FRONT_PAGE = 50
_EARLIEST = "attributes.start_time ASC"


@dataclass(frozen=True)
class SearchRow:
    """A search: its parent run."""

    run_id: str
    experiment_id: str
    started: int  # milliseconds since the epoch
    state: State
    metrics: dict[str, float]
    name: str
    search_id: str
    facts: SearchFacts


@dataclass(frozen=True)
class TrialRow:
    """A trial, the reference, or a confirmation: a child run."""

    run_id: str
    state: State
    metrics: dict[str, float]
    plan: TrialPlan
    reason: str | None
    seconds: float | None = None  # from its start to its end, whatever lay between

    @property
    def quality(self) -> float | None:
        """As a full trial: none unless it finished."""
        return self.metrics.get("quality") if self.state == "finished" else None


def list_searches(client: MlflowClient, name: str | None = None) -> list[SearchRow]:
    """Every search, or those called `name`, in all experiments; newest first."""
    named = f" and tags.`{tags.SEARCH}` = '{name}'" if name is not None else ""
    experiments = [one.experiment_id for one in _pages(client.search_experiments)]
    found = runs(client, experiments, f"tags.`{tags.KIND}` = 'search'{named}")
    return sorted((_search(run) for run in found), key=lambda row: row.started, reverse=True)


def find_search(client: MlflowClient, name: str) -> SearchRow:
    """The search called `name`; of several, the newest.

    Raises:
        RequestError: when there is none, naming the nearest.
    """
    found = [] if "'" in name else list_searches(client, name)
    if not found:
        names = {row.name for row in list_searches(client)}
        nearest = ", ".join(get_close_matches(name, names, n=3, cutoff=0.0)) or "none, for there are no searches yet"
        raise Unknown(f"search {name!r}: not in MLflow at {redact(client.tracking_uri)}; nearest: {nearest}")
    return found[0]


def read_trials(client: MlflowClient, search: SearchRow) -> list[TrialRow]:
    """Every training of a search in the order of ids: trials, reference and confirmations."""
    return _children(client, search, f"tags.`{tags.KIND}` != 'search'")


def read_front(
    client: MlflowClient,
    search: SearchRow,
    *,
    mode: Mode,
    measure: str,
    size: str,
    counts: Callable[[TrialRow], bool] = lambda row: True,
) -> list[TrialRow]:
    """The finished trials that no other beats on the metrics `measure` and `size`, among some that are beaten.

    Those that only trials beat for which `counts` is false are among them as well.

    MLflow takes more than a millisecond for each run that it gives, so it is asked for few: for the best ones of those
    that are smaller than all that were found before.
    """
    # Not the finished ones alone, so that a state which somebody spoiled is not passed over.
    others = "".join(f" and tags.`{tags.STATE}` != '{one}'" for one in get_args(State) if one != "finished")
    query = _of(search, f"tags.`{tags.KIND}` = 'trial'{others}")
    order = [f"metrics.{measure} {'DESC' if mode == 'max' else 'ASC'}", f"metrics.{size} ASC", _EARLIEST]
    found: list[TrialRow] = []
    smaller, token = "", None
    while True:
        page = client.search_runs(
            [search.experiment_id], query + smaller, order_by=order, max_results=_FRONT_PAGE, page_token=token
        )
        # Runs without the metric come last.
        best = [row for row in map(_trial, page) if measure in row.metrics]
        found += best
        if not page.token or not best:
            return found
        sizes = [row.metrics[size] for row in best if counts(row)]
        token = None if sizes else page.token
        smaller = f" and metrics.{size} < {int(min(sizes))}" if sizes else smaller


def read_reference(client: MlflowClient, search: SearchRow) -> list[TrialRow]:
    """The task head trained alone, if it was."""
    return _children(client, search, f"tags.`{tags.KIND}` = 'reference'")


def _children(client: MlflowClient, search: SearchRow, query: str) -> list[TrialRow]:
    found = runs(client, [search.experiment_id], _of(search, query))
    # Ids are padded with zeros to four digits; the ten-thousandth is longer and comes after them.
    return sorted((_trial(run) for run in found), key=lambda row: (len(row.plan.trial), row.plan.trial))


def _of(search: SearchRow, query: str) -> str:
    return f"tags.`{tags.SEARCH_ID}` = '{search.search_id}' and {query}"


def runs(client: MlflowClient, experiments: list[str], query: str) -> Iterator[Run]:
    """Every run of these experiments that the query finds, the earliest first."""

    def page(**token: Any) -> Any:
        return client.search_runs(experiments, query, order_by=[_EARLIEST], **token)

    return _pages(page) if experiments else iter(())


def _pages(page: Callable[..., Any]) -> Iterator[Any]:
    """Everything that a paged call of MLflow gives."""
    token = None
    while True:
        found = page(max_results=_PAGE, page_token=token)
        yield from found
        if not (token := found.token):
            return


def _search(run: Run) -> SearchRow:
    return SearchRow(
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        started=run.info.start_time,
        state=_state(run),
        metrics=_metrics(run),
        name=run.data.tags[tags.SEARCH],
        search_id=run.data.tags[tags.SEARCH_ID],
        facts=_record(run, tags.FACTS, SearchFacts),
    )


def _trial(run: Run) -> TrialRow:
    return TrialRow(
        run_id=run.info.run_id,
        state=_state(run),
        metrics=_metrics(run),
        plan=_record(run, tags.PLAN, TrialPlan),
        reason=run.data.tags.get(tags.REASON) or None,
        seconds=None if run.info.end_time is None else (run.info.end_time - run.info.start_time) / 1000,
    )


def _state(run: Run) -> State:
    state = run.data.tags.get(tags.STATE, "running")
    if state not in get_args(State):
        raise WorkError(f"MLflow run {run.info.run_id}: tag {tags.STATE} = {state!r} is none of {get_args(State)}")
    return cast(State, state)


def _metrics(run: Run) -> dict[str, float]:
    """The finite ones. MLflow's databases keep an infinity as the largest float."""
    return {
        name: value
        for name, value in run.data.metrics.items()
        if math.isfinite(value) and abs(value) < sys.float_info.max
    }


def _record(run: Run, tag: str, model: type[M]) -> M:
    try:
        return model.model_validate_json(run.data.tags.get(tag, ""))
    except ValidationError as error:
        raise WorkError(f"MLflow run {run.info.run_id}: tag {tag} is not a {model.__name__}") from error
