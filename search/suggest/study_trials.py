"""Trials of the Optuna study: the attributes that link them to the ledger's trials, and their states."""

from __future__ import annotations

import math

import optuna
from optuna.trial import TrialState

from spaces.spec.metrics import Metric
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan, TrialResult

# User attributes of an Optuna trial.
TRIAL = "paretune.trial"
"""The name of the trial in the ledger."""

REJECTED = "paretune.rejected"
"""The reason why a suggestion outside the budget was not trained."""

DUPLICATE = "paretune.duplicate"
"""Marks a configuration that was planned before."""

GIVEN = "paretune.given"
"""The exact settings from the spec or an earlier front, to which the knobs may only come near."""

AGAIN = "paretune.again"
"""The number of the failed Optuna trial that this one repeats: Optuna cannot reopen a trial that ended."""

PUBLISHED = "paretune.published"
"""The turn in which a published default was taken."""


def tell(study: optuna.Study, number: int, plan: TrialPlan, result: TrialResult, metric: Metric) -> None:
    """Tell Optuna how a trial ended; a trial that has ended in Optuna stays as it is.

    Only a finished trial is COMPLETE, with both objectives. A stopped trial is PRUNED: its score at a rung is not a
    score at the last step. Everything else is FAIL.
    """
    quality = result.quality
    if result.state == "finished" and quality is not None and math.isfinite(quality):
        study.tell(number, [quality, plan.trainable_parameters], skip_if_finished=True)
    elif result.state == "stopped":
        study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
    else:
        study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def numbers_by_trial(study: optuna.Study) -> dict[str, int]:
    """Return Optuna's number of each trial in the ledger; the last number of a trial that was tried again."""
    return {
        trial.user_attrs[TRIAL]: trial.number
        for trial in study.get_trials(deepcopy=False)
        if trial.user_attrs.get(TRIAL) is not None
    }


def rejected_count(study: optuna.Study) -> int:
    """Return the number of suggestions outside the budget, which were never trained."""
    return sum(REJECTED in trial.user_attrs for trial in study.get_trials(deepcopy=False))


def reconcile(study: optuna.Study, ledger: Ledger, spec: SearchSpec) -> None:
    """Make Optuna's states agree with the ledger, at whatever moment an earlier driver was killed."""
    planned = {folder.plan().trial: folder for folder in ledger.trials("trial")}
    for lost in planned.keys() - numbers_by_trial(study).keys():  # the study's database is another one
        study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={TRIAL: lost}))
    numbers, told = numbers_by_trial(study), study.get_trials(deepcopy=False)
    for trial, folder in planned.items():
        result = folder.result()
        if result is not None:
            tell(study, numbers[trial], folder.plan(), result, spec.metric)
        elif (ended := told[numbers[trial]]).state.is_finished():
            _open_again(study, ended)
    for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if frozen.user_attrs.get(TRIAL) not in planned:
            _ask_again(study, frozen)


def _open_again(study: optuna.Study, ended: optuna.trial.FrozenTrial) -> None:
    """Add a copy of a failed trial, which is to be tried again."""
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=ended.params,
            distributions=ended.distributions,
            user_attrs=ended.user_attrs | {AGAIN: ended.number},
            system_attrs=ended.system_attrs,
        )
    )


def _ask_again(study: optuna.Study, frozen: optuna.trial.FrozenTrial) -> None:
    """Enqueue the suggestion of a trial whose plan was not written when the driver was killed, and end that trial."""
    attributes = {name: value for name, value in frozen.user_attrs.items() if name == GIVEN}
    study.enqueue_trial(frozen.system_attrs.get("fixed_params", frozen.params), user_attrs=attributes)
    if TRIAL in frozen.user_attrs:
        # Optuna opens a running trial by this id alone; by its number a study can only end it.
        optuna.Trial(study, frozen._trial_id).set_user_attr(TRIAL, None)
    study.tell(frozen.number, state=TrialState.FAIL)
