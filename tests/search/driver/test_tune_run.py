"""Many trials on few actors: the shared base stays as it was, actors and imports are kept."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.tune.experiment import Trial
from rich.console import Console

from search.driver.early_stopping import make_stopper
from search.driver.interruption import Interruption
from search.driver.phases import share
from search.driver.preflight import Prepared, prepare
from search.driver.progress import Display
from search.driver.recorder import Recorder
from search.driver.tune_run import RecordingCallback, run_trainings
from search.suggest.plan_queue import PlanList
from search.suggest.searcher import plan_of
from spaces.space.proposal import Proposal
from spaces.space.suggesters import FixedSuggester
from spaces.spec.spec import load_spec
from spaces.trials.ledger import Ledger
from spaces.trials.records import Progress, TrialPlan, TrialResult
from tests.conftest import Workplace, make_empty_database, start_ray
from tracking.queries import trials_document
from tracking.writing.search_writer import SearchWriter
from trainables.base_model.weights import BaseWeights
from trainables.trial import WorkerInputs

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def instance() -> Iterator[None]:
    """Ray with more CPUs than trials are to run at once, and a GPU that need not exist."""
    ray.shutdown()
    start_ray(num_cpus=4, num_gpus=1)
    yield
    ray.shutdown()


def digest(weights: BaseWeights) -> str:
    found = hashlib.sha256()
    for name in sorted(weights.arrays):
        found.update(weights.arrays[name].tobytes())
    return found.hexdigest()


class Watch(RecordingCallback):
    """Hashes the base whenever a trial has ended, while another one is training."""

    def __init__(self, recorder: Recorder, display: Display, shared: WorkerInputs) -> None:
        super().__init__(recorder, display)
        self._shared = shared
        self.hashes: dict[str, str] = {}
        self.processes: set[int] = set()
        self.most_at_once = 0
        self.most_cpus = 0.0
        self.told: list[Progress | None] = []

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self.processes.add(result["pid"])
        if not result["done"]:
            self.told.append(self._recorder.ledger.trial(result["trial"]).progress())
        self.most_at_once = max(self.most_at_once, len(self._recorder.running))
        taken = ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0)
        self.most_cpus = max(self.most_cpus, taken)
        super().on_trial_result(iteration, trials, trial, result, **info)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        super().on_trial_complete(iteration, trials, trial, **info)
        self.hashes[trial.config["plan"]["trial"]] = digest(ray.get(self._shared.weights))


class Stage:
    """A search that is prepared but for its plans."""

    def __init__(self, place: Workplace, **sections: Any) -> None:
        room = {"parameters": "100%", "at_least": 1}
        self.spec = load_spec(place.spec(storage=str(place.folder / "runs"), budget=room, **sections))
        self.spec.home.mkdir(parents=True)
        self.ledger = Ledger(self.spec.home)
        self.prepared = prepare(self.spec)
        self.shared = share(self.prepared, self.ledger)
        self.uri = f"sqlite:///{place.folder}/mlflow.db"
        shutil.copy(make_empty_database(), place.folder / "mlflow.db")

    def plan(self, name: str, method: str, seed: int = 0) -> TrialPlan:
        plan = plan_of(name, propose(self.prepared, method), self.prepared.budget, {}, seed=seed)
        self.ledger.trial(name).write_plan(plan)
        return plan

    def run(self, plans: list[TrialPlan], *, gpus: float = 0) -> Watch:
        """Run the plans to their ends."""
        prepared, steps = self.prepared, self.spec.training.max_steps
        writer = SearchWriter(self.uri, self.spec, "id", self.spec.home)
        writer.start_search(prepared.budget, prepared.inventory.base_parameters, prepared.inventory.head_parameters)
        recorder = Recorder(self.ledger, writer, prepared.budget, self.spec.metric)
        display = Display(Console(quiet=True), recorder, title="", total=len(plans), max_steps=steps)
        watch = Watch(recorder, display, self.shared)
        run_trainings(
            self.shared,
            PlanList(plans, self.ledger, max_failures=0),
            watch,
            name="stage",
            stopper=make_stopper(self.spec, self.ledger, 48),
            gpus=gpus,
            interruption=Interruption(),
        )
        writer.close(60)
        return watch

    def result(self, plan: TrialPlan) -> TrialResult:
        result = self.ledger.trial(plan.trial).result()
        assert result is not None
        return result


def test_the_shared_base_is_never_written(workplace: Workplace) -> None:
    """Two trials at once, every method twice; the object store's copy of the base is hashed whenever one ends."""
    methods = ["lora", "sparta", "surm-circulant", "dst", "full"]
    stage = Stage(
        workplace,
        methods=methods,
        # Enough for the second actor to start while the first one trains.
        training={"max_steps": 200},
        search={"concurrent": 2},
    )
    before = digest(ray.get(stage.shared.weights))
    plans = [stage.plan(f"{number}-{method}", method, seed=number) for number in range(2) for method in methods]
    watch = stage.run(plans)
    for plan in plans:
        assert stage.result(plan).state == "finished", stage.result(plan).reason
    assert watch.hashes == {plan.trial: before for plan in plans}
    # Ten trials trained in two processes, two at once: actors are reused, with what they hold.
    assert len(watch.processes) == watch.most_at_once == 2


def test_two_trials_share_a_gpu(workplace: Workplace) -> None:
    """Each has a CPU, of which there are more: what is taken when one of them reports is that of two."""
    stage = Stage(workplace, search={"concurrent": "auto"})
    plans = [stage.plan(f"{number:04d}", "lora", seed=number) for number in range(3)]
    watch = stage.run(plans, gpus=0.5)
    assert [stage.result(plan).state for plan in plans] == ["finished"] * 3
    assert watch.most_cpus == 2
    assert [progress is not None and progress.step >= 1 for progress in watch.told] == [True] * len(watch.told) != []


def test_what_fails_before_a_training_is_told(workplace: Workplace) -> None:
    """As the failure that it is, not as a dead process."""
    stage = Stage(workplace, search={"max_failures": 0})
    stage.shared = dataclasses.replace(stage.shared, weights=ray.put("no weights"))
    plan = stage.plan("0000", "lora")
    stage.run([plan])
    assert stage.result(plan).state == "failed"
    assert (stage.result(plan).reason or "").startswith("AttributeError: 'str' object has no attribute ")
    (tracked,) = trials_document(stage.uri, "mine").trials
    assert (tracked.state, tracked.reason) == ("failed", stage.result(plan).reason)
    kept = stage.ledger.trial(plan.trial).error.read_text()
    assert kept.startswith("Traceback")
    assert "in _load" in kept


def test_a_training_whose_checkpoint_is_damaged_begins_anew(workplace: Workplace) -> None:
    stage = Stage(workplace)
    whole, torn = stage.plan("0000", "lora"), stage.plan("0001", "lora")
    stage.ledger.trial(torn.trial).checkpoint.write_bytes(b"PK\x03\x04 the first bytes of one, and no more")
    stage.run([whole, torn])
    assert stage.result(whole).reason is None
    anew = stage.result(torn)
    assert (anew.state, anew.quality) == ("finished", stage.result(whole).quality)
    assert (anew.reason or "").startswith("started again, because its checkpoint was damaged (")
    assert [one.reason for one in trials_document(stage.uri, "mine").trials] == [None, anew.reason]


def propose(prepared: Prepared, method: str) -> Proposal:
    """A configuration of `method` with a tenth of the budget; `full` takes all of it."""
    share = 1.0 if method == "full" else 0.1
    fixed = {"method": method, "share": share, "targets": "all", "layers": "all", "learning_rate_multiplier": 1.0}
    return prepared.space.propose(FixedSuggester(fixed))
