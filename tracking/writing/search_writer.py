"""The writer of a search to MLflow. Its methods write to the outbox and return at once (`tracking.writing.outbox`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec, dump_spec
from spaces.trials.records import Rung, State, TrialPlan, TrialResult
from tracking.mlflow_store import tags
from tracking.mlflow_store.rung_tag import rung_tag
from tracking.writing.delivery import Delivery
from tracking.writing.encoding import clean, flatten, metrics, now, without_passwords
from tracking.writing.events import End, Event, Log, Start, Text, Upload
from tracking.writing.outbox import Outbox

SearchState = Literal["finished", "stopped", "failed"]

_STATUS: dict[State, Literal["FINISHED", "FAILED", "KILLED"]] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
}
_AT_RUNGS = ("quality", "loss", "quality_se", "loss_se")
_PARAMETERS = {"trainable_parameters", "stored_parameters", "head_parameters", "peak_updated_parameters"}
_NUMBERS = {"train_seconds", "peak_memory_bytes", "steps", "best_step", "test_quality"}


class SearchWriter:
    """Writes one search to MLflow: a parent run, and a child run for every training.

    Args:
        uri: MLflow tracking URI.
        search_id: the unique identity of the search. Events that an earlier writer left in `home` belong to the same
            search and are sent first.
        home: folder of the search, which holds the outbox.
    """

    def __init__(self, uri: str, spec: SearchSpec, search_id: str, home: Path) -> None:
        self._spec = without_passwords(spec)
        self._search_id = search_id
        self._outbox = Outbox(home, Delivery(uri, spec.tracking.experiment, search_id, Path(spec.storage)))
        self._ended: set[str | None] = set()
        self._adapters: set[str] = set()
        self._on_front: dict[str | None, str] = {}
        self._reported: set[tuple[str | None, int, str, float]] = set()
        self._held: list[Event] | None = None
        for event in self._outbox.history():
            self._remember(event)

    def start_search(
        self, budget: Budget, base_parameters: int, head_parameters: int, rows: Mapping[str, int] | None = None
    ) -> None:
        """Record that the search starts, or goes on. `rows`: the number of rows of each split."""
        facts = tags.SearchFacts.of(self._spec, budget, base_parameters, head_parameters, rows)
        named = self._tags("search") | {tags.FACTS: facts.model_dump_json()}
        settings = flatten(self._spec.model_dump(mode="json", exclude={"name"}))
        self._record(
            Start(trial=None, time=now(), name=self._spec.name, tags=named),
            Log(trial=None, time=now(), params=settings),
            metrics(None, facts.numbers()),
            Text(trial=None, time=now(), artifact_file=tags.SPEC_FILE, text=dump_spec(self._spec)),
        )

    def start_trial(self, plan: TrialPlan) -> None:
        """Record that a training starts, for the first time or again."""
        named = self._tags(plan.kind) | {
            tags.TRIAL: plan.trial,
            tags.METHOD: plan.method,
            tags.ON_FRONT: "false",
            tags.PLAN: plan.model_dump_json(),
        }
        if plan.confirms is not None:
            named[tags.CONFIRMS] = plan.confirms
        settings = {**plan.settings, "method": plan.method, "trial_seed": plan.seed}
        if plan.suggested:
            settings["suggested"] = plan.suggested
        self._record(
            Start(trial=plan.trial, time=now(), name=f"{plan.trial} {plan.method}", tags=named),
            Log(trial=plan.trial, time=now(), params=flatten(settings)),
            metrics(plan.trial, plan.model_dump(include=_PARAMETERS | {"adapter_bytes"})),
        )

    def report(self, trial: str, rungs: Sequence[Rung]) -> None:
        """Record the evaluations of a trial so far, in order; those that were recorded before add nothing."""
        fresh = self._reports(trial, rungs)
        if fresh:
            fresh[-1] = fresh[-1].model_copy(update={"tags": {tags.RUNGS: rung_tag(rungs)}})
            self._record(*fresh)

    def has_ended(self, trial: str | None) -> bool:
        """Tell whether any writer recorded the end of a trial, or of the search (None), since its last start."""
        return trial in self._ended

    def end_trial(self, plan: TrialPlan, result: TrialResult) -> None:
        """Record the result of a training."""
        numbers = result.model_dump(include=_NUMBERS)
        named = {tags.STATE: result.state, tags.REASON: clean(result.reason or "")}
        if result.row_values is not None:
            named[tags.ROW_VALUES] = result.row_values
        if result.rungs:
            named[tags.RUNGS] = rung_tag(result.rungs)
        self._record(
            *self._reports(plan.trial, result.rungs),
            *self._final(plan.trial, result),
            metrics(plan.trial, numbers),
            Log(trial=plan.trial, time=now(), tags=named),
            End(trial=plan.trial, time=now(), status=_STATUS[result.state]),
        )

    def set_on_front(self, trial: str, on_front: bool) -> None:
        """Record that a trial entered or left the front; a repeated value adds nothing."""
        value = "true" if on_front else "false"
        if self._on_front.get(trial) != value:
            self._record(Log(trial=trial, time=now(), tags={tags.ON_FRONT: value}))

    def set_confirmed(self, trial: str, mean: float, std: float | None, test: float | None, seeds: int = 1) -> None:
        """Record the confirmations of a trial: mean and standard deviation on validation, mean on test.

        Args:
            seeds: the number of trainings behind them.
        """
        numbers = {"confirmed_quality": mean, "confirmed_std": std, "test_quality": test, "confirmed_seeds": seeds}
        self._record(metrics(trial, numbers))

    def upload(self, path: Path) -> None:
        """Upload a file as an artifact of the search; it must exist until it is sent."""
        self._record(Upload(trial=None, time=now(), path=str(path.absolute()), artifact_path=None))

    def upload_adapter(self, trial: str, folder: Path) -> None:
        """Upload a folder as the adapter of a trial, once; it must exist until it is sent."""
        if trial not in self._adapters:
            path = str(folder.absolute())
            self._record(Upload(trial=trial, time=now(), path=path, artifact_path=tags.ADAPTER_FOLDER))

    def log_counts(self, *, finished: int, stopped: int, failed: int, rejected: int, hypervolume: float | None) -> None:
        """Record the numbers of trials by state, of rejected configurations, and the hypervolume."""
        counts = {"finished": finished, "stopped": stopped, "failed": failed, "rejected": rejected}
        self._record(metrics(None, counts | {"hypervolume": hypervolume}))

    def end_search(self, state: SearchState, reason: str = "") -> None:
        """Record that the search ended; it may be resumed. `reason`: why it failed."""
        self._record(
            Log(trial=None, time=now(), tags={tags.STATE: state, tags.REASON: clean(reason)}),
            End(trial=None, time=now(), status=_STATUS[state]),
        )

    def drain(self, timeout: float) -> int:
        """Wait until MLflow has every event, or took none for `timeout` seconds; return the number that it lacks."""
        return self._outbox.drain(timeout)

    def close(self, timeout: float) -> int:
        """Drain and stop; return the number of events that the next writer of this folder will send."""
        return self._outbox.close(timeout)

    def _reports(self, trial: str, rungs: Sequence[Rung]) -> list[Log]:
        """Return events for the evaluations that were not recorded yet, each once."""
        events: list[Log] = []
        for rung in dict.fromkeys(rungs):
            numbers = rung.model_dump(include=set(_AT_RUNGS), exclude_none=True)
            fresh = {name: one for name, one in numbers.items() if (trial, rung.step, name, one) not in self._reported}
            if fresh:
                events.append(metrics(trial, fresh, rung.step))
        return events

    def _final(self, trial: str, result: TrialResult) -> list[Event]:
        """Return an event for the quality of a finished trial, unless it is that of its last evaluation.

        MLflow is to show it as the latest value. Of two values at one step that is the later one, and of two at one
        moment the larger.
        """
        known = self._reported | {(trial, one.step, "quality", one.quality) for one in result.rungs}
        if result.quality is None or (trial, result.steps, "quality", result.quality) in known:
            return []
        return [metrics(trial, {"quality": result.quality}, result.steps, later=1)]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold all events of the block, and write them at its end in one write to the disk."""
        held: list[Event] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
            if held:
                self._outbox.append(*held)

    def _record(self, *events: Event) -> None:
        if self._held is not None:
            self._held += events
        elif events:
            self._outbox.append(*events)
        for event in events:
            self._remember(event)

    def _remember(self, event: Event) -> None:
        """Note an event of this writer or an earlier one, so that its content is not recorded again."""
        if isinstance(event, Start):
            self._ended.discard(event.trial)
            self._on_front[event.trial] = "false"
        elif isinstance(event, End):
            self._ended.add(event.trial)
        elif isinstance(event, Log):
            self._reported |= {
                (event.trial, one.step, one.name, one.value) for one in event.metrics if one.name in _AT_RUNGS
            }
            if tags.ON_FRONT in event.tags:
                self._on_front[event.trial] = event.tags[tags.ON_FRONT]
        elif isinstance(event, Upload) and event.trial is not None:
            self._adapters.add(event.trial)

    def _tags(self, kind: str) -> dict[str, str]:
        identity = {tags.KIND: kind, tags.SEARCH: self._spec.name, tags.SEARCH_ID: self._search_id}
        return identity | {tags.STATE: "running"}
