"""Many trials on few actors: the shared base stays as it was, actors and imports are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from rich.console import Console

from search.bridge import Bridge
from search.cluster import quiet_environment
from search.phases import share
from search.preflight import Prepared, prepare
from search.progress import Display
from search.recorder import Recorder
from search.searcher import plan_of
from search.stages import PlanList, make_stopper, run_stage
from spaces.draws import FixedDraw
from spaces.ledger import Ledger
from spaces.spec import load_spec
from tests.conftest import Workplace
from tracking.writer import SearchWriter
from trainables.weights import SharedWeights

pytestmark = pytest.mark.integration


@pytest.fixture
def two_cpus() -> Iterator[None]:
    quiet_environment()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def digest(weights: SharedWeights) -> str:
    found = hashlib.sha256()
    for name in sorted(weights.arrays):
        found.update(weights.arrays[name].tobytes())
    return found.hexdigest()


def test_the_shared_base_is_never_written(workplace: Workplace, two_cpus: None) -> None:
    """Two concurrent trials of every method, twice over; the object store's copy of the base is hashed after each."""
    base = 22_000
    spec = load_spec(
        workplace.spec(budget={"parameters": 100_000, "at_least": 1}, storage=str(workplace.folder / "runs"))
    )
    spec = spec.model_copy(update={"budget": spec.budget.model_copy(update={"parameters": "100%"})})
    prepared = prepare(spec.model_copy(update={"methods": {**spec.methods, "full": {}}}))
    assert prepared.inventory.base_parameters > base
    ledger = Ledger(spec.home)
    spec.home.mkdir(parents=True)
    writer = SearchWriter(f"sqlite:///{workplace.folder}/mlflow.db", spec, "id", spec.home)
    recorder = Recorder(ledger, writer, prepared.budget, spec.metric, lambda: 0)
    shared = share(prepared)
    before = digest(ray.get(shared.weights))
    processes = set()
    for method in prepared.space.names:
        plans = []
        for number in range(4):
            trial = f"{method}-{number}"
            plan = plan_of(trial, propose(prepared, method), prepared.budget, {}, seed=number)
            ledger.trial(trial).write_plan(plan)
            plans.append(plan)
        display = Display(Console(quiet=True), recorder, title="", total=4, max_steps=9)
        run_stage(
            shared,
            PlanList(plans, ledger),
            Bridge(recorder, display),
            name=method,
            trainings=4,
            stopper=make_stopper(spec),
            gpus=0,
        )
        for plan in plans:
            result = ledger.trial(plan.trial).result()
            assert result is not None
            assert result.state == "finished", result.reason
        assert digest(ray.get(shared.weights)) == before, method
        processes |= actors(spec.home / "ray" / method)
    # Four trials at two at once on each stage: every stage had two actors, each of which trained on.
    assert len(processes) <= 2 * len(prepared.space.names)
    writer.close(60)


def propose(prepared: Prepared, method: str):  # type: ignore[no-untyped-def]
    return prepared.space.propose(
        FixedDraw({"method": method, "share": 0.1, "targets": "all", "layers": "all", "learning_rate_multiplier": 1.0})
    )


def actors(stage: Path) -> set[int]:
    """Process ids that reported in a stage."""
    return {
        trial["last_result"]["pid"]
        for file in stage.glob("experiment_state-*.json")
        for trial in [
            json.loads(one[1]) if isinstance(one, list) else one for one in json.loads(file.read_text())["trial_data"]
        ]
        if "last_result" in trial
    }
