"""`doctor`: is this installation fit to search, and do the records of a search agree?"""

from __future__ import annotations

import os
import platform
from collections import Counter
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from optuna.trial import TrialState
from pydantic import BaseModel
from rich.console import Console

from search import home as search_home
from search.storage import check_storage, check_tracking
from search.study import TRIAL, open_study
from spaces.errors import RequestError
from spaces.ledger import Ledger
from spaces.records import State
from tracking.client import reading
from tracking.rows import find_search, read_trials
from tracking.uri import probe, resolve_uri

PACKAGES = ("paretune", "torch", "transformers", "peft", "ray", "optuna", "mlflow", "datasets", "pydantic")
_OPTUNA_STATES: dict[State, TrialState] = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


class DoctorDocument(BaseModel):
    """What `doctor --json` prints."""

    healthy: bool
    facts: dict[str, str]
    problems: list[str]


def doctor(name: str | None, storage: Path, given: str | None, as_json: bool, console: Console) -> int:
    """Check, print, and return 1 when something is wrong."""
    document = _environment(storage, given) if name is None else _search(name, storage, given)
    if as_json:
        print(document.model_dump_json(indent=2))
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
    for check in (partial(check_storage, storage), partial(check_tracking, uri, storage)):
        try:
            check()
        except RequestError as error:
            problems.append(str(error))
    return DoctorDocument(healthy=not problems, facts=facts, problems=problems)


def _search(name: str, storage: Path, given: str | None) -> DoctorDocument:
    """Ledger, Optuna and MLflow must hold the same trials in the same states, each once."""
    home = search_home.find("doctor", storage, name)
    spec, identity = search_home.read(home)
    uri = resolve_uri(given, identity.tracking_uri or spec.tracking.uri, Path(spec.storage))
    probe(uri, write=False)
    states: dict[str, State] = {}
    for folder in Ledger(home).trials():
        result = folder.result()
        states[folder.plan().trial] = result.state if result is not None else "running"
    searched = {trial for trial in states if Ledger(home).trial(trial).plan().kind == "trial"}

    study = open_study(spec, identity.search_id, home)
    told = [trial for trial in study.get_trials(deepcopy=False) if trial.user_attrs.get(TRIAL) is not None]
    optuna_states = {trial.user_attrs[TRIAL]: trial.state for trial in told}
    with reading(uri) as client:
        rows = read_trials(client, find_search(client, name))
    tracked = {row.plan.trial: str(row.state) for row in rows}
    # A trial that was planned and not begun when the search was cut short has no run yet.
    begun = {one: str(state) for one, state in states.items() if state != "running" or one in tracked}
    problems = [
        *_doubled("Optuna", [trial.user_attrs[TRIAL] for trial in told]),
        *_doubled("MLflow", [row.plan.trial for row in rows]),
        *_differing(
            "Optuna",
            {one: _OPTUNA_STATES[states[one]].name for one in searched},
            {one: state.name for one, state in optuna_states.items()},
        ),
        *_differing("MLflow", begun, tracked),
    ]
    zombies = [
        str(trial.number)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if trial.user_attrs.get(TRIAL) not in states
    ]
    if zombies:
        problems.append(f"Optuna trials without a plan are RUNNING: {', '.join(zombies)}")
    facts = {"search": name, "trainings": str(len(states))}
    facts |= {state: str(number) for state, number in Counter(states.values()).items()}
    return DoctorDocument(healthy=not problems, facts=facts, problems=problems)


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
