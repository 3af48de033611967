"""Searches and trials as they stand in MLflow, page by page; deleted ones are left out."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from spaces.errors import Unknown, WorkError
from spaces.spec.metrics import Mode
from spaces.trials.records import State, TrialPlan
from tracking.mlflow_store import tags
from tracking.mlflow_store.tags import SearchFacts
from tracking.mlflow_store.uri import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

M = TypeVar("M", bound=BaseModel)

_PAGE = 1000
_FRONT_PAGE = 50
_DELETED = "deleted"  # a run's or an experiment's stage of life
_EARLIEST = "attributes.start_time ASC"

SEARCH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Of a search; names of folders and of jobs are made of it."""

_TRIAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
_ANYTHING = re.compile(r".+")
_SHOWN = 100  # characters of what somebody spoiled
_LATEST = 253_402_300_799_000  # the end of the year 9999, in milliseconds


@dataclass(frozen=True)
class SearchRun:
    """A search: its parent run."""

    run_id: str
    experiment_id: str
    started: int  # milliseconds since the epoch
    state: State
    metrics: dict[str, float]
    name: str
    search_id: str
    facts: SearchFacts
    reason: str | None = None  # why it failed


@dataclass(frozen=True)
class SpoiledSearch:
    """A search whose record cannot be read: `flaw` says why, in one line."""

    run_id: str
    name: str
    started: int  # milliseconds since the epoch
    flaw: str


@dataclass(frozen=True)
class TrialRun:
    """A trial, the reference, or a confirmation: a child run."""

    run_id: str
    state: State
    metrics: dict[str, float]
    plan: TrialPlan
    reason: str | None
    seconds: float | None = None  # from its start to its end, whatever lay between
    spoiled: bool = False  # its record cannot be read, and `reason` says why
    row_values: str | None = None  # see `spaces.trials.row_values`; none of what an earlier version recorded

    @property
    def quality(self) -> float | None:
        """As a full trial: none unless it finished."""
        return self.metrics.get("quality") if self.state == "finished" else None


def list_searches(client: MlflowClient, name: str | None = None) -> list[SearchRun]:
    """Every search, or those called `name`, in all experiments; newest first.

    Raises:
        WorkError: when the record of one cannot be read.
    """
    return sorted(map(_search, _search_runs(client, name)), key=lambda row: row.started, reverse=True)


def scan_searches(client: MlflowClient, name: str | None = None) -> list[SearchRun | SpoiledSearch]:
    """The same, with those whose records cannot be read: a spoiled one hides no other."""
    found = (_search_or_flaw(run) for run in _search_runs(client, name))
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
    return _children(client, search, f"tags.`{tags.KIND}` != 'search'", _trial)


def scan_trials(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """The same; a training whose record cannot be read is a failed one, for that reason."""
    return _children(client, search, f"tags.`{tags.KIND}` != 'search'", _trial_or_flaw)


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
        best = [row for row in map(_trial, page) if measure in row.metrics]
        found += best
        if not page.token or not best:
            return found
        sizes = [row.metrics[size] for row in best if counts(row)]
        token = None if sizes else page.token
        smaller = f" and metrics.{size} < {int(min(sizes))}" if sizes else smaller


def read_reference(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """The task head trained alone, if it was."""
    return _children(client, search, f"tags.`{tags.KIND}` = 'reference'", _trial)


def read_confirmations(client: MlflowClient, search: SearchRun) -> list[TrialRun]:
    """Points of the front trained again."""
    return _children(client, search, f"tags.`{tags.KIND}` = 'confirmation'", _trial_or_flaw)


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


def _search(run: Run) -> SearchRun:
    facts = _record(run, tags.FACTS, SearchFacts)
    if not (0 <= facts.budget.at_least <= facts.budget.parameters and math.isfinite(facts.perfect)):
        raise _spoiled(run, f"tag {tags.FACTS} is of no search")
    return SearchRun(
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        started=_moment(run),
        state=_state(run),
        metrics=_metrics(run),
        name=_text(run, tags.SEARCH, SEARCH_NAME),
        search_id=_text(run, tags.SEARCH_ID, _ANYTHING),
        facts=facts,
        reason=run.data.tags.get(tags.REASON) or None,
    )


def _search_or_flaw(run: Run) -> SearchRun | SpoiledSearch:
    try:
        return _search(run)
    except WorkError as error:
        return SpoiledSearch(run.info.run_id, name_of(run), started_of(run), str(error))


def _trial(run: Run) -> TrialRun:
    plan = _record(run, tags.PLAN, TrialPlan)
    if not _TRIAL_ID.fullmatch(plan.trial) or plan.trainable_parameters < 0 or plan.stored_parameters < 0:
        raise _spoiled(run, f"tag {tags.PLAN} is of no trial")
    return TrialRun(
        run_id=run.info.run_id,
        state=_state(run),
        metrics=_metrics(run),
        plan=plan,
        reason=run.data.tags.get(tags.REASON) or None,
        row_values=run.data.tags.get(tags.ROW_VALUES),
        seconds=None if run.info.end_time is None else (run.info.end_time - _moment(run)) / 1000,
    )


def _trial_or_flaw(run: Run) -> TrialRun:
    try:
        return _trial(run)
    except WorkError as error:
        plan = TrialPlan(
            trial=run.data.tags.get(tags.TRIAL, run.info.run_id)[:_SHOWN],
            kind="trial",
            method=run.data.tags.get(tags.METHOD, "")[:_SHOWN],
            config={},
            seed=0,
            trainable_parameters=0,
            stored_parameters=0,
            adapter_bytes=0,
            head_parameters=0,
            peak_updated_parameters=0,
        )
        return TrialRun(run.info.run_id, "failed", {}, plan, str(error), spoiled=True)


def name_of(run: Run) -> str:
    """The name of what a run records, as its tag has it or the run itself; its id where both are no name."""
    given = (run.data.tags.get(tags.SEARCH), run.info.run_name)
    return next((one for one in given if one and SEARCH_NAME.fullmatch(one)), run.info.run_id)


def started_of(run: Run) -> int:
    """When a run began, in milliseconds since the epoch; 0 where that cannot be."""
    started = run.info.start_time
    return started if isinstance(started, int) and 0 <= started <= _LATEST else 0


def _moment(run: Run) -> int:
    if not started_of(run):
        raise _spoiled(run, f"start_time = {run.info.start_time} is no moment")
    return started_of(run)


def _text(run: Run, tag: str, allowed: re.Pattern[str]) -> str:
    value: str | None = run.data.tags.get(tag)
    if value is None:
        raise _spoiled(run, f"tag {tag} is missing")
    if not allowed.fullmatch(value):
        raise _spoiled(run, f"tag {tag} = {value[:_SHOWN]!r} is no name")
    return value


def _state(run: Run) -> State:
    state = run.data.tags.get(tags.STATE, "running")
    if state not in get_args(State):
        raise _spoiled(run, f"tag {tags.STATE} = {state[:_SHOWN]!r} is none of {get_args(State)}")
    return cast(State, state)


def _metrics(run: Run) -> dict[str, float]:
    """The finite ones."""
    return {name: value for name, value in run.data.metrics.items() if is_number(value)}


def is_number(value: float) -> bool:
    """Whether MLflow means a number: its databases keep an infinity as the largest float."""
    return math.isfinite(value) and abs(value) < sys.float_info.max


def _record(run: Run, tag: str, model: type[M]) -> M:
    """What a tag holds. A later version may have written fields of which this one does not know."""
    try:
        return model.model_validate_json(run.data.tags.get(tag, ""), extra="ignore")
    except ValidationError as error:
        raise _spoiled(run, f"tag {tag} is not a {model.__name__}") from error


def _spoiled(run: Run, reason: str) -> WorkError:
    return WorkError(f"MLflow run {run.info.run_id}: {reason}")
