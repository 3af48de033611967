"""One stage of a search: trainings that Ray Tune runs side by side on reused actors."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search.bridge import Bridge
from search.interruption import EndWhenInterrupted, Interruption
from search.searcher import config_of, settle
from spaces.ledger import Ledger
from spaces.records import TrialPlan
from trainables.trial import SharedSearch, TrialTrainable


class PlanList(Searcher):  # type: ignore[misc]
    """Hands out given plans and records how they end."""

    def __init__(self, plans: Sequence[TrialPlan], ledger: Ledger) -> None:
        super().__init__(metric="quality", mode="max")
        self._waiting = deque(plans)
        self._running: dict[str, TrialPlan] = {}
        self._ledger = ledger

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        if not self._waiting:
            return str(Searcher.FINISHED)
        plan = self._waiting.popleft()
        self._running[trial_id] = plan
        return config_of(plan)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        plan = self._running.pop(trial_id, None)
        if plan is not None:
            settle(self._ledger, plan, result, error)

    def save(self, checkpoint_path: str) -> None:
        """The ledger is the durable record."""
        Path(checkpoint_path).write_text("see the ledger of the search\n", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


def _name(trial: Trial) -> str:
    return f"{trial.config['plan']['trial']}-{trial.trial_id}"


def run_stage(
    shared: SharedSearch,
    searcher: Searcher,
    bridge: Bridge,
    *,
    name: str,
    trainings: int,
    stopper: TrialScheduler,
    gpus: float,
    interruption: Interruption,
) -> None:
    """Run until the searcher has no more, `trainings` have ended, or the search is interrupted."""
    spec = shared.spec
    trainable = tune.with_resources(
        tune.with_parameters(TrialTrainable, shared=shared), {"cpu": spec.resources.cpus, "gpu": gpus}
    )
    concurrent = spec.search.concurrent
    tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=stopper,
            num_samples=trainings,
            reuse_actors=True,
            max_concurrent_trials=None if concurrent == "auto" else concurrent,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(shared.home / "ray"),
            callbacks=[bridge],
            stop=EndWhenInterrupted(interruption),
            failure_config=tune.FailureConfig(max_failures=spec.search.max_failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
