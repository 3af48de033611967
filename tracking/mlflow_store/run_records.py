"""Records that a search left on its runs in MLflow, checked: a spoiled one is told apart from the others."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from spaces.errors import WorkError
from spaces.trials.records import Rung, State, TrialPlan
from tracking.mlflow_store import tags
from tracking.mlflow_store.rung_tag import rungs_in
from tracking.mlflow_store.tags import SearchFacts

if TYPE_CHECKING:
    from mlflow.entities import Run

M = TypeVar("M", bound=BaseModel)

SEARCH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The pattern of a search's name, from which names of folders and jobs are made."""

_TRIAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
_ANYTHING = re.compile(r".+")
_SHOWN = 100  # characters of a spoiled value in a message
_LATEST = 253_402_300_799_000  # the end of the year 9999, in milliseconds


@dataclass(frozen=True)
class SearchRun:
    """A search, as its parent run in MLflow records it.

    Attributes:
        started: milliseconds since the epoch.
        metrics: the last value of each; those that are not finite are left out.
        search_id: the identity that tells it from other searches of its name.
        reason: why it failed.
    """

    run_id: str
    experiment_id: str
    started: int
    state: State
    metrics: dict[str, float]
    name: str
    search_id: str
    facts: SearchFacts
    reason: str | None = None


@dataclass(frozen=True)
class SpoiledSearch:
    """A search whose record cannot be read; `flaw` says why, in one line. `started`: milliseconds since the epoch."""

    run_id: str
    name: str
    started: int
    flaw: str


@dataclass(frozen=True)
class TrialRun:
    """A training, as its child run in MLflow records it: a trial, the reference, or a confirmation.

    Attributes:
        metrics: the last value of each; those that are not finite are left out.
        reason: why it failed or was stopped.
        seconds: from its first start to its end, pauses of the search included; None while it runs.
        spoiled: whether its record cannot be read; `reason` then says why.
        row_values: quality by validation row, packed (see `spaces.trials.row_values`); None of an earlier version.
        rungs: its evaluations, of many a part (see `tracking.mlflow_store.rung_tag`); none of an earlier version.
    """

    run_id: str
    state: State
    metrics: dict[str, float]
    plan: TrialPlan
    reason: str | None
    seconds: float | None = None
    spoiled: bool = False
    row_values: str | None = None
    rungs: tuple[Rung, ...] = ()

    @property
    def quality(self) -> float | None:
        """The quality at the last step; None unless the training finished."""
        return self.metrics.get("quality") if self.state == "finished" else None


def parse_search(run: Run) -> SearchRun:
    """Return the search that a run records.

    Raises:
        WorkError: when the record cannot be read, with the tag that is wrong.
    """
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


def parse_search_or_flaw(run: Run) -> SearchRun | SpoiledSearch:
    """Return the search that a run records, or why the record cannot be read."""
    try:
        return parse_search(run)
    except WorkError as error:
        return SpoiledSearch(run.info.run_id, name_of(run), started_of(run), str(error))


def parse_trial(run: Run) -> TrialRun:
    """Return the training that a run records.

    Raises:
        WorkError: when the record cannot be read, with the tag that is wrong.
    """
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
        rungs=rungs_in(run.data.tags.get(tags.RUNGS)),
        seconds=None if run.info.end_time is None else (run.info.end_time - _moment(run)) / 1000,
    )


def parse_trial_or_flaw(run: Run) -> TrialRun:
    """Return the training that a run records; in place of one that cannot be read a failed trial that is `spoiled`."""
    try:
        return parse_trial(run)
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
    """Return the name of the search of a run: that of its tag, or of the run; the run's id where both are spoiled."""
    given = (run.data.tags.get(tags.SEARCH), run.info.run_name)
    return next((one for one in given if one and SEARCH_NAME.fullmatch(one)), run.info.run_id)


def started_of(run: Run) -> int:
    """Return when a run began, in milliseconds since the epoch; 0 where its record is impossible."""
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
    """Return the metrics that are finite."""
    return {name: value for name, value in run.data.metrics.items() if is_number(value)}


def is_number(value: float) -> bool:
    """Tell whether a metric of MLflow is finite; its databases keep an infinity as the largest float."""
    return math.isfinite(value) and abs(value) < sys.float_info.max


def _record(run: Run, tag: str, model: type[M]) -> M:
    """Return the record in a tag, without fields that only a later version knows."""
    try:
        return model.model_validate_json(run.data.tags.get(tag, ""), extra="ignore")
    except ValidationError as error:
        raise _spoiled(run, f"tag {tag} is not a {model.__name__}") from error


def _spoiled(run: Run, reason: str) -> WorkError:
    return WorkError(f"MLflow run {run.info.run_id}: {reason}")
