"""The Optuna study of a search, in a durable storage, and how trial records become Optuna states."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import sqlalchemy.exc
from optuna.trial import TrialState
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from search.samplers import make_sampler
from search.storage import try_writing
from spaces.errors import RequestError
from spaces.metrics import Metric
from spaces.records import TrialPlan, TrialResult
from spaces.spec import SearchSpec

CONNECT_SECONDS = 5

# User attributes of an Optuna trial.
TRIAL = "paretune.trial"
REJECTED = "paretune.rejected"
DUPLICATE = "paretune.duplicate"
GIVEN = "paretune.given"


def storage_url(spec: SearchSpec, home: Path) -> str:
    """The SQLAlchemy URL of the study.

    Raises:
        RequestError: for a URL that is malformed, or that holds a password.
    """
    given = spec.search.study_storage
    if given is None:
        return f"sqlite:///{home.resolve()}/optuna.db"
    try:
        url = make_url(given)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # a port that is no number is a ValueError
        # What is malformed may still hold a password, so it is not shown.
        raise RequestError(
            "search.study_storage: not a database URL; allowed: postgresql+psycopg://HOST/DATABASE or sqlite:///FILE"
        ) from None
    if url.password or "password" in url.query:
        raise RequestError("search.study_storage: holds a password; allowed: none there, use PGPASSWORD or ~/.pgpass")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


def check_storage(spec: SearchSpec) -> None:
    """See that a storage given by URL answers, before anything is written. A SQLite file is not made.

    Raises:
        RequestError: when it does not.
    """
    given = spec.search.study_storage
    if given is None:
        return
    url = make_url(storage_url(spec, spec.home))
    patience = {"connect_timeout": CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}
    try:
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
            try_writing(Path(url.database).parent)
            return
        create_engine(url, connect_args=patience).connect().close()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        raise RequestError(
            f"search.study_storage = {given}: cannot be opened ({reason}); allowed: a database that answers"
        ) from None


def open_study(spec: SearchSpec, search_id: str, home: Path) -> optuna.Study:
    """Create the study of a search, or take it up again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=optuna.storages.RDBStorage(storage_url(spec, home), engine_kwargs={"pool_pre_ping": True}),
        study_name=f"{spec.name}-{search_id}",
        directions=["maximize" if spec.metric.mode == "max" else "minimize", "minimize"],
        load_if_exists=True,
    )
    study.sampler = make_sampler(spec, taken=len(study.get_trials(deepcopy=False)))
    return study


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
    """Optuna's number of each of our trials."""
    return {
        trial.user_attrs[TRIAL]: trial.number
        for trial in study.get_trials(deepcopy=False)
        if trial.user_attrs.get(TRIAL) is not None
    }


def rejected_count(study: optuna.Study) -> int:
    """How many suggestions lay outside the budget and were never trained."""
    return sum(REJECTED in trial.user_attrs for trial in study.get_trials(deepcopy=False))
