"""One run of Ray Tune: trainings side by side on reused actors, with a callback that records them."""

from __future__ import annotations

from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search.driver.interruption import EndWhenInterrupted, Interruption
from search.driver.progress import Display
from search.driver.recorder import Recorder
from search.suggest.plan_queue import PlanList
from search.suggest.searcher import PlannedSearch
from spaces.trials.records import TrialPlan
from trainables.trial import TrialTrainable, WorkerInputs


class RecordingCallback(tune.Callback):  # type: ignore[misc]
    """Passes Tune's events to the recorder and the display; the ledger holds each event before Tune calls."""

    def __init__(self, recorder: Recorder, display: Display) -> None:
        self._recorder = recorder
        self._display = display

    def __getstate__(self) -> dict[str, Any]:
        """Keep out of Tune's snapshot, which pickles callbacks."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record that a training began."""
        self._recorder.started(_plan(trial))
        self._display.refresh()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Record the rungs that a training reached."""
        self._recorder.reported(_plan(trial))
        self._display.refresh()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record the end of a training."""
        self.ended(_plan(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record the end of a training whose worker died, unless it is to begin again."""
        self.ended(_plan(trial))

    def ended(self, plan: TrialPlan) -> None:
        """Record the end of a training, if the ledger has it."""
        ended = self._recorder.finished(plan)
        if ended is not None:
            self._display.ended(ended)


def _plan(trial: Trial) -> TrialPlan:
    return TrialPlan.model_validate(trial.config["plan"])


def _name(trial: Trial) -> str:
    return f"{trial.config['plan']['trial']}-{trial.trial_id}"


def run_trainings(
    shared: WorkerInputs,
    searcher: PlanList | PlannedSearch,
    callback: RecordingCallback,
    *,
    name: str,
    stopper: TrialScheduler,
    gpus: float,
    interruption: Interruption,
) -> None:
    """Run trainings until the searcher has no more, or the search is interrupted.

    Args:
        shared: Model, data and ledger for the workers.
        searcher: Gives the plans.
        callback: Records the events.
        name: Of the run's folder, within `ray` in the search folder.
        stopper: Ends weak trials at a rung.
        gpus: Of one trial.
        interruption: Ends the run early.
    """
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
            num_samples=-1,  # the searcher decides the number
            reuse_actors=True,
            max_concurrent_trials=None if concurrent == "auto" else concurrent,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(shared.ledger.home / "ray"),
            callbacks=[callback],
            stop=EndWhenInterrupted(interruption),
            failure_config=tune.FailureConfig(max_failures=0),  # see search/suggest/plan_queue.py
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
    for trial_id, plan in searcher.plans.recorded():
        searcher.on_trial_complete(trial_id)
        callback.ended(plan)
