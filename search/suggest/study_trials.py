"""Taking up a search: Optuna is made to agree with the ledger."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from search.suggest.study import AGAIN, GIVEN, TRIAL, numbers_by_trial, tell
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger


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
