"""Trials of the Optuna study: the attributes that tie them to our trials, and their states, which follow the ledger."""

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
REJECTED = "paretune.rejected"
DUPLICATE = "paretune.duplicate"
GIVEN = "paretune.given"
AGAIN = "paretune.again"
"""The number of the Optuna trial that failed and that this one tries again: what ended cannot be opened in Optuna."""

PUBLISHED = "paretune.published"


def tell(study: optuna.Study, number: int, plan: TrialPlan, result: TrialResult, metric: Metric) -> None:
    """Tell Optuna how a trial ended; a trial that was told before stays as it is.

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
    """Optuna's number of each of our trials; of one that was tried again, the last."""
    return {
        trial.user_attrs[TRIAL]: trial.number
        for trial in study.get_trials(deepcopy=False)
        if trial.user_attrs.get(TRIAL) is not None
    }


def rejected_count(study: optuna.Study) -> int:
    """How many suggestions lay outside the budget and were never trained."""
    return sum(REJECTED in trial.user_attrs for trial in study.get_trials(deepcopy=False))


def reconcile(study: optuna.Study, ledger: Ledger, spec: SearchSpec) -> None:
    """Make Optuna's states follow the ledger, whatever moment an earlier driver was killed at."""
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
    """Add a trial that failed once more, for it is tried again."""
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
    """Give what Optuna was asked for, when the driver was killed before its plan was written, to a trial to come."""
    attributes = {name: value for name, value in frozen.user_attrs.items() if name == GIVEN}
    study.enqueue_trial(frozen.system_attrs.get("fixed_params", frozen.params), user_attrs=attributes)
    if TRIAL in frozen.user_attrs:
        optuna.Trial(study, frozen._trial_id).set_user_attr(TRIAL, None)
    study.tell(frozen.number, state=TrialState.FAIL)
