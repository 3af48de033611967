"""Many trials on few actors: the shared base stays as it was, actors and imports are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.tune.experiment import Trial
from rich.console import Console

from search.bridge import Bridge
from search.cluster import quiet_environment
from search.interruption import Interruption
from search.phases import share
from search.preflight import Prepared, prepare
from search.progress import Display
from search.recorder import Recorder
from search.searcher import plan_of
from search.stages import PlanList, run_stage
from search.stoppers import make_stopper
from spaces.draws import FixedDraw
from spaces.ledger import Ledger
from spaces.space import Proposal
from spaces.spec import load_spec
from tests.conftest import Workplace
from tracking.writer import SearchWriter
from trainables.trial import SharedSearch
from trainables.weights import SharedWeights

STEPS = 600

pytestmark = pytest.mark.integration


@pytest.fixture
def two_cpus() -> Iterator[None]:
    quiet_environment()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def digest(weights: SharedWeights) -> str:
    found = hashlib.sha256()
    for name in sorted(weights.arrays):
        found.update(weights.arrays[name].tobytes())
    return found.hexdigest()


class Watch(Bridge):
    """Hashes the base whenever a trial has ended, while another one is training."""

    def __init__(self, recorder: Recorder, display: Display, shared: SharedSearch) -> None:
        super().__init__(recorder, display)
        self._shared = shared
        self.hashes: dict[str, str] = {}
        self.processes: set[int] = set()
        self.most_at_once = 0

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self.processes.add(result["pid"])
        self.most_at_once = max(self.most_at_once, len(self._recorder.running))
        super().on_trial_result(iteration, trials, trial, result, **info)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        super().on_trial_complete(iteration, trials, trial, **info)
        self.hashes[trial.config["plan"]["trial"]] = digest(ray.get(self._shared.weights))


def test_the_shared_base_is_never_written(workplace: Workplace, two_cpus: None) -> None:
    """Two trials at once, every method twice; the object store's copy of the base is hashed whenever one ends."""
    # Steps enough for the second actor to start while the first one trains.
    steps, storage = {"max_steps": STEPS}, str(workplace.folder / "runs")
    spec = load_spec(
        workplace.spec(
            budget={"parameters": "100%", "at_least": 1}, training=steps, storage=storage, search={"concurrent": 2}
        )
    )
    prepared = prepare(spec.model_copy(update={"methods": {**spec.methods, "full": {}}}))
    assert "full" in prepared.space.names
    ledger = Ledger(spec.home)
    spec.home.mkdir(parents=True)
    writer = SearchWriter(f"sqlite:///{workplace.folder}/mlflow.db", spec, "id", spec.home)
    inventory = prepared.inventory
    writer.start_search(prepared.budget, inventory.base_parameters, inventory.head_parameters)
    recorder = Recorder(ledger, writer, prepared.budget, spec.metric)
    shared = share(prepared, ledger)
    before = digest(ray.get(shared.weights))
    plans = [
        plan_of(f"{number}-{method}", propose(prepared, method), prepared.budget, {}, seed=number)
        for number in range(2)
        for method in prepared.space.names
    ]
    for plan in plans:
        ledger.trial(plan.trial).write_plan(plan)
    display = Display(Console(quiet=True), recorder, title="", total=len(plans), max_steps=STEPS)
    watch = Watch(recorder, display, shared)
    run_stage(
        shared,
        PlanList(plans, ledger, max_failures=0),
        watch,
        name="stage",
        stopper=make_stopper(spec, ledger, 48),
        gpus=0,
        interruption=Interruption(),
    )
    writer.close(60)
    for plan in plans:
        result = ledger.trial(plan.trial).result()
        assert result is not None
        assert result.state == "finished", result.reason
    assert watch.hashes == {plan.trial: before for plan in plans}
    # Ten trials trained in two processes, two at once: actors are reused, with what they hold.
    assert len(watch.processes) == watch.most_at_once == 2


def propose(prepared: Prepared, method: str) -> Proposal:
    """A configuration of `method` with a tenth of the budget; `full` takes all of it."""
    share = 1.0 if method == "full" else 0.1
    fixed = {"method": method, "share": share, "targets": "all", "layers": "all", "learning_rate_multiplier": 1.0}
    return prepared.space.propose(FixedDraw(fixed))
