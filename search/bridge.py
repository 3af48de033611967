"""Tune's callbacks, passed on to the recorder and to the progress display."""

from __future__ import annotations

from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from search.driver.progress import Display
from search.driver.recorder import Recorder
from spaces.trials.records import TrialPlan


class Bridge(tune.Callback):  # type: ignore[misc]
    """Runs in the driver; by the time Tune calls it, the ledger already holds what happened."""

    def __init__(self, recorder: Recorder, display: Display) -> None:
        self._recorder = recorder
        self._display = display

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it belongs into Tune's snapshot."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._recorder.started(_plan(trial))
        self._display.refresh()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self._recorder.reported(_plan(trial))
        self._display.refresh()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.ended(_plan(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.ended(_plan(trial))

    def ended(self, plan: TrialPlan) -> None:
        """A training may have ended."""
        ended = self._recorder.finished(plan)
        if ended is not None:
            self._display.ended(ended)


def _plan(trial: Trial) -> TrialPlan:
    return TrialPlan.model_validate(trial.config["plan"])
