"""`doctor`: is this installation fit to search, and do the records of a search agree?"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel
from rich.console import Console

from search.storage import search_folder
from search.storage.checks import check_tracking, check_writable
from search.storage.kept_adapters import missing
from search.suggest.study import read_study
from search.suggest.study_trials import AGAIN, TRIAL
from search.terminal import print_json
from spaces.errors import RequestError, WorkError
from spaces.trials.ledger import Ledger
from spaces.trials.records import State, TrialPlan
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.run_records import TrialRun
from tracking.mlflow_store.runs import deleted_trials, find_search, scan_trials
from tracking.mlflow_store.uri import probe, resolve_uri

PACKAGES = ("paretune", "torch", "transformers", "peft", "ray", "optuna", "mlflow", "datasets", "pydantic")
_OPTUNA_STATES: dict[State, TrialState] = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


class DoctorDocument(BaseModel):
    """The document of `doctor --json`."""

    healthy: bool
    facts: dict[str, str]
    problems: list[str]


def doctor(name: str | None, storage: Path, given: str | None, as_json: bool, console: Console) -> int:
    """Check this installation or a search, print what was found, and return 1 when there are problems."""
    document = _environment(storage, given) if name is None else _search(name, storage, given)
    if as_json:
        print_json(document)
    else:
        for fact, value in document.facts.items():
            console.print(f"{fact:<20} {value}", highlight=False)
        for problem in document.problems:
            console.print(f"problem: {problem}", style="red", highlight=False)
        console.print("healthy" if document.healthy else f"{len(document.problems)} problems")
    return 0 if document.healthy else 1


def _environment(storage: Path, given: str | None) -> DoctorDocument:
    facts, problems = {"python": platform.python_version(), "cpus": str(os.cpu_count())}, []
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            problems.append(f"{package} is not installed")
    import torch

    facts["gpus"] = str(torch.cuda.device_count())
    facts["storage"] = str(storage)
    uri = resolve_uri(given, None, storage)
    facts["tracking"] = uri
    for check in (partial(check_writable, storage), partial(check_tracking, uri, storage)):
        try:
            check()
        except RequestError as error:
            problems.append(str(error))
    return DoctorDocument(healthy=not problems, facts=facts, problems=problems)


def _search(name: str, storage: Path, given: str | None) -> DoctorDocument:
    """Check that ledger, Optuna and MLflow hold the same trials in the same states, and that adapters are whole.

    Nothing is changed.
    """
    home = search_folder.find("doctor", storage, name)
    spec, identity = search_folder.read(home)
    uri = resolve_uri(given, identity.tracking_uri or spec.tracking.uri, Path(spec.storage))
    probe(uri, write=False)
    recorded = _recorded(Ledger(home))
    try:
        told = read_study(spec, identity.search_id, home).get_trials(deepcopy=False)
        optuna_problems = _optuna_problems(recorded, told)
    except RequestError as error:
        optuna_problems = [str(error)]
    with reading(uri) as client:
        search = find_search(client, name)
        rows, deleted = scan_trials(client, search), deleted_trials(client, search)
    adapters = missing(Ledger(home), recorded.finished)
    problems = [*recorded.damage, *adapters, *optuna_problems, *_mlflow_problems(recorded, rows, deleted)]
    facts = {"search": name, "trainings": str(len(recorded.states))}
    facts |= {state: str(number) for state, number in Counter(recorded.states.values()).items()}
    return DoctorDocument(healthy=not problems, facts=facts, problems=problems)


@dataclass(frozen=True)
class _Recorded:
    """The ledger's record of a search.

    `states`: by training. `searched`: trials, without reference and confirmations. `damage`: a line for each damaged
    file. `unknown`: trials of damaged files. `finished`: trials that must have an adapter.
    """

    states: dict[str, State]
    searched: set[str]
    damage: list[str]
    unknown: set[str]
    finished: list[TrialPlan]


def _recorded(ledger: Ledger) -> _Recorded:
    found = _Recorded({}, set(), [], set(), [])
    for folder in ledger.trials():
        try:
            plan, result = folder.plan(), folder.result()
        except WorkError as error:
            found.damage.append(str(error))
            found.unknown.add(folder.path.name)
            continue
        found.states[plan.trial] = result.state if result is not None else "running"
        if plan.kind == "trial":
            found.searched.add(plan.trial)
            if result is not None and result.state == "finished":
                found.finished.append(plan)
    return found


def _optuna_problems(recorded: _Recorded, told: list[FrozenTrial]) -> list[str]:
    replaced = {trial.user_attrs.get(AGAIN) for trial in told}
    named = [(trial.user_attrs.get(TRIAL), trial) for trial in told if trial.number not in replaced]
    states = {name: trial.state.name for name, trial in named if name is not None and name not in recorded.unknown}
    zombies = [
        str(trial.number)
        for name, trial in named
        if trial.state is TrialState.RUNNING and name not in recorded.states and name not in recorded.unknown
    ]
    return [
        *_doubled("Optuna", [name for name, _ in named if name is not None]),
        *_differing("Optuna", {one: _OPTUNA_STATES[recorded.states[one]].name for one in recorded.searched}, states),
        *([f"Optuna trials without a plan are RUNNING: {', '.join(zombies)}"] if zombies else []),
    ]


def _mlflow_problems(recorded: _Recorded, rows: list[TrialRun], deleted: Mapping[str, str]) -> list[str]:
    tracked = {row.plan.trial: str(row.state) for row in rows if row.plan.trial not in recorded.unknown}
    # A trial that was planned, but not begun when the search was cut off, has no run.
    begun = {one: str(state) for one, state in recorded.states.items() if state != "running" or one in tracked}
    gone = {trial: run for trial, run in deleted.items() if trial in begun and trial not in tracked}
    return [
        *_doubled("MLflow", [row.plan.trial for row in rows]),
        *_differing("MLflow", {one: state for one, state in begun.items() if one not in gone}, tracked),
        *(
            f"the MLflow run of trial {trial} is deleted; restore it: `mlflow runs restore --run-id {run}`"
            for trial, run in sorted(gone.items())
        ),
    ]


def _doubled(where: str, trials: list[str]) -> list[str]:
    return [f"{where} has trial {trial} {count} times" for trial, count in Counter(trials).items() if count > 1]


def _differing(where: str, expected: dict[str, str], found: dict[str, str]) -> list[str]:
    missing, foreign = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    problems = [f"{where} lacks trial {trial}" for trial in missing]
    problems += [f"{where} has trial {trial}, which was never planned" for trial in foreign]
    problems += [
        f"trial {trial} is {expected[trial]} by the ledger, {found[trial]} in {where}"
        for trial in sorted(expected.keys() & found.keys())
        if expected[trial] != found[trial]
    ]
    return problems
