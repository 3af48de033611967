"""One stage of a search: trainings that Ray Tune runs side by side on reused actors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search.bridge import Bridge
from search.driver.interruption import EndWhenInterrupted, Interruption
from search.suggest.plan_queue import Plans
from search.suggest.searcher import PlannedSearch
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan
from trainables.trial import TrialTrainable, WorkerInputs


class PlanList(Searcher):  # type: ignore[misc]
    """Hands out given plans and records how they end."""

    def __init__(self, plans: Sequence[TrialPlan], ledger: Ledger, *, max_failures: int) -> None:
        super().__init__(metric="quality", mode="max")
        self.plans = Plans(ledger, plans, retries=max_failures)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        plan = self.plans.next()
        if plan is not None:
            return self.plans.hand_out(trial_id, plan)
        return None if self.plans.out else str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.plans.take_back(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """The ledger is the durable record."""
        Path(checkpoint_path).write_text("see the ledger of the search\n", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


def _name(trial: Trial) -> str:
    return f"{trial.config['plan']['trial']}-{trial.trial_id}"


def run_stage(
    shared: WorkerInputs,
    searcher: PlanList | PlannedSearch,
    bridge: Bridge,
    *,
    name: str,
    stopper: TrialScheduler,
    gpus: float,
    interruption: Interruption,
) -> None:
    """Run until the searcher has no more, or the search is interrupted."""
    spec = shared.spec
    trainable = tune.with_resources(
        tune.with_parameters(TrialTrainable, inputs=shared), {"cpu": spec.resources.cpus, "gpu": gpus}
    )
    concurrent = spec.search.concurrent
    tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=stopper,
            num_samples=-1,  # the searcher says when
            reuse_actors=True,
            max_concurrent_trials=None if concurrent == "auto" else concurrent,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(shared.ledger.home / "ray"),
            callbacks=[bridge],
            stop=EndWhenInterrupted(interruption),
            failure_config=tune.FailureConfig(max_failures=0),  # see search/suggest/plan_queue.py
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
    for trial_id, plan in searcher.plans.recorded():
        searcher.on_trial_complete(trial_id)
        bridge.ended(plan)
