"""The two phases of a search: trials, the reference first, then confirmations."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import optuna
import ray
from ray.tune.schedulers import FIFOScheduler
from rich.console import Console

from search.driver.confirm import planned_round, summarise
from search.driver.early_stopping import make_stopper
from search.driver.interruption import Interruption
from search.driver.metric_check import check_metric
from search.driver.outlook import Outlook, steps_reached
from search.driver.preflight import Prepared
from search.driver.progress import Display
from search.driver.recorder import Recorder
from search.driver.tune_run import RecordingCallback, run_trainings
from search.suggest.initial_points import enqueue
from search.suggest.plan_queue import PlanList
from search.suggest.proposer import Measure, Proposer
from search.suggest.samplers import regional_sampler
from search.suggest.searcher import GoesOn, PlannedSearch
from spaces.errors import RequestError, WorkError
from spaces.spec.metrics import standard_error
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan, TrialResult
from tracking.writing.search_writer import SearchWriter
from trainables.allowed_folders import confined_reading
from trainables.data.splits import load_test
from trainables.generation.request import check_generation
from trainables.trial import WorkerInputs

REFERENCE = "reference"


@dataclass(frozen=True)
class Run:
    """The parts of a running search."""

    prepared: Prepared
    ledger: Ledger
    study: optuna.Study
    writer: SearchWriter
    recorder: Recorder
    console: Console
    gpus: float
    interruption: Interruption

    @property
    def spec(self) -> SearchSpec:
        """The spec of the search."""
        return self.prepared.spec

    def display(self, title: str, trainings: int) -> Display:
        """Return the progress display of one phase."""
        return Display(
            self.console, self.recorder, title=title, total=trainings, max_steps=self.spec.training.max_steps
        )


def share(prepared: Prepared, ledger: Ledger) -> WorkerInputs:
    """Put model and data into Ray's object store, from which every node fetches them once."""
    return WorkerInputs(
        prepared.spec,
        prepared.inventory,
        ledger,
        weights=ray.put(prepared.weights),
        train=ray.put(prepared.train),
        validation=ray.put(prepared.validation),
        metric=prepared.metric,
    )


def search_phase(run: Run, shared: WorkerInputs) -> None:
    """Run the reference and the trials that are still to run, unless the search is given up."""
    spec, ledger = run.spec, run.ledger
    planned = [folder.plan() for folder in ledger.trials("trial")]
    waiting = [plan for plan in planned if ledger.trial(plan.trial).result() is None]
    if ledger.trial(REFERENCE).result() is None:
        reference = reference_plan(run.prepared)
        ledger.trial(REFERENCE).write_plan(reference)
        waiting.insert(0, reference)
    trainings = len(waiting) + max(0, spec.search.trials - len(planned))
    if not trainings:
        return
    searcher = _searcher(run, waiting)
    with run.display(spec.name, trainings) as display:
        run_trainings(
            shared,
            searcher,
            RecordingCallback(run.recorder, display),
            name=f"search-{time.time_ns()}",
            stopper=make_stopper(spec, ledger, len(run.prepared.validation)),
            gpus=run.gpus,
            interruption=run.interruption,
        )
    searcher.check()


def _searcher(run: Run, waiting: list[TrialPlan]) -> PlannedSearch:
    """Return the searcher of the trials, with `waiting` plans first."""
    spec, rows = run.spec, len(run.prepared.validation)
    enqueue(run.study, run.ledger, run.prepared.given)
    proposer = Proposer(
        run.study,
        run.prepared.space,
        spec.metric,
        max_steps=spec.training.max_steps,
        sampler_of=regional_sampler(spec),
        noise=partial(standard_error, spec.metric, rows=rows),
        seed=spec.search.seed,
        at_rungs=Measure(spec.rung_metric.mode, partial(standard_error, spec.rung_metric, rows=rows), spec.compared),
    )
    return PlannedSearch(
        proposer,
        run.ledger,
        spec,
        waiting=waiting,
        on_rejected=run.recorder.reject,
        goes_on=_give_up_when_hopeless(run),
    )


def _give_up_when_hopeless(run: Run) -> GoesOn:
    """Return a check for the end of each training, which gives the search up when those to come would fail as well."""
    outlook = Outlook(run.spec, run.prepared.budget)
    outlook.take_up(run.ledger)

    def goes_on(plan: TrialPlan, result: TrialResult, running: Collection[TrialPlan]) -> bool:
        outlook.ended(plan, result)
        if result.state != "failed":
            return True
        reason = outlook.verdict(max((steps_reached(run.ledger.trial(one.trial)) for one in running), default=0))
        if reason is not None:
            run.interruption.give_up(reason)
        return reason is None

    return goes_on


def confirm_phase(run: Run, shared: WorkerInputs) -> None:
    """Train points on and near the front again on fresh seeds, round by round. Only here the test split is read.

    Raises:
        WorkError: when the test split cannot be read.
    """
    confirming: WorkerInputs | None = None
    while plans := _unconfirmed(run):
        confirming = confirming or _with_test(run, shared)
        with run.display(f"{run.spec.name}: confirm", len(plans)) as display:
            run_trainings(
                confirming,
                PlanList(plans, run.ledger, max_failures=run.spec.search.max_failures),
                RecordingCallback(run.recorder, display),
                name=f"confirm-{time.time_ns()}",
                stopper=FIFOScheduler(),
                gpus=run.gpus,
                interruption=run.interruption,
            )
        if run.interruption.ended is not None:
            break
    if run.spec.confirm.top and run.recorder.front and not run.ledger.trials("confirmation"):
        run.console.print("Nothing to confirm: no trial is known to beat the head alone.", highlight=False)
    on_front = {one.plan.trial for one in run.recorder.front}
    for one in summarise(run.ledger):
        run.writer.set_confirmed(one.trial, one.mean, one.deviation, one.test, one.seeds)
        if one.trial not in on_front:  # near the front, and perhaps better: it can be exported as well
            run.writer.upload_adapter(one.trial, run.ledger.trial(one.trial).adapter)


def _with_test(run: Run, shared: WorkerInputs) -> WorkerInputs:
    try:
        with confined_reading(run.spec):
            test = load_test(run.spec, run.prepared.labels)
            if test is not None:
                check_generation(run.spec, run.prepared.weights.config, {"data.test": test})
                check_metric(run.spec, "data.test", test, run.prepared.labels)
    except RequestError as error:
        raise WorkError(f"{error}; `paretune resume {run.spec.name}` confirms once that is mended") from None
    return dataclasses.replace(shared, test=None if test is None else ray.put(test))


def _unconfirmed(run: Run) -> list[TrialPlan]:
    """Return the planned confirmations without a result; when there are none, plan the next round."""
    ledger = run.ledger
    plans = [folder.plan() for folder in ledger.trials("confirmation") if folder.result() is None]
    if plans:
        return plans
    recorder = run.recorder
    rows, reference = len(run.prepared.validation), recorder.reference
    plans = planned_round(recorder.ended, recorder.front, ledger, run.spec, rows, reference=reference)
    for plan in plans:
        ledger.trial(plan.trial).write_plan(plan)
    return plans


def reference_plan(prepared: Prepared) -> TrialPlan:
    """Return the plan of the reference: the task head trained alone."""
    head = prepared.inventory.head_parameters
    counted = head if prepared.budget.count_head else 0
    return TrialPlan(
        trial=REFERENCE,
        kind="reference",
        method="head",
        config={"learning_rate": prepared.spec.training.head_learning_rate},
        seed=prepared.spec.search.seed,
        trainable_parameters=counted,
        stored_parameters=counted,
        adapter_bytes=0,
        head_parameters=head,
        peak_updated_parameters=0,
    )
