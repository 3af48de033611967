"""Taking up a search: Optuna is made to agree with the ledger."""

from __future__ import annotations

import optuna

from search.study import TRIAL, numbers_by_trial, tell
from spaces.ledger import Ledger
from spaces.spec import SearchSpec


def reconcile(study: optuna.Study, ledger: Ledger, spec: SearchSpec) -> None:
    """Make Optuna's states follow the ledger, whatever moment an earlier driver was killed at."""
    numbers = numbers_by_trial(study)
    planned = {folder.plan().trial: folder for folder in ledger.trials("trial")}
    for trial, folder in planned.items():
        result = folder.result()
        if result is not None and trial in numbers:
            tell(study, numbers[trial], folder.plan(), result, spec.metric)
    for frozen in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        # Killed between Optuna's ask and the plan: nobody will ever train it.
        if frozen.user_attrs.get(TRIAL) not in planned:
            study.tell(frozen.number, state=optuna.trial.TrialState.FAIL)
