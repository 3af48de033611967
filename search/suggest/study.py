"""The Optuna study of a search, in a durable storage, and how trial records become Optuna states."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy.exc
from optuna.trial import TrialState
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url

from search.storage.checks import try_writing
from search.suggest.samplers import make_sampler
from spaces.errors import Away, RequestError, Unreachable, one_line
from spaces.spec.metrics import Metric
from spaces.spec.spec import SearchSpec
from spaces.trials.records import TrialPlan, TrialResult
from tracking.mlflow_store.uri import has_password

CONNECT_SECONDS = 5

_PASSING = (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, sqlalchemy.exc.TimeoutError, OSError)
"""Of a database or a disk that is away, and may be there again."""

# User attributes of an Optuna trial.
TRIAL = "paretune.trial"
REJECTED = "paretune.rejected"
DUPLICATE = "paretune.duplicate"
GIVEN = "paretune.given"
AGAIN = "paretune.again"
"""The number of the Optuna trial that failed and that this one tries again: what ended cannot be opened in Optuna."""

PUBLISHED = "paretune.published"


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
    if has_password(given):
        raise RequestError("search.study_storage: holds a password; allowed: none there, use PGPASSWORD or ~/.pgpass")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


def check_storage(spec: SearchSpec) -> None:
    """See that the storage is a database that answers, before anything is written. A SQLite file is not made.

    Raises:
        RequestError: when it does not.
    """
    url = make_url(storage_url(spec, spec.home))
    with _explained(spec, spec.home):
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
            if spec.search.study_storage is not None:
                try_writing(Path(url.database).parent)
        else:
            _tables(url)


def open_study(spec: SearchSpec, search_id: str, home: Path) -> optuna.Study:
    """Create the study of a search, or take it up again.

    Raises:
        RequestError: when its storage does not serve.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _explained(spec, home):
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(storage_url(spec, home), engine_kwargs={"pool_pre_ping": True}),
            study_name=_study_name(spec, search_id),
            directions=["maximize" if spec.metric.mode == "max" else "minimize", "minimize"],
            load_if_exists=True,
        )
        study.sampler = make_sampler(spec, taken=len(study.get_trials(deepcopy=False)))
    return study


def read_study(spec: SearchSpec, search_id: str, home: Path) -> optuna.Study:
    """The study of a search, to be looked at; nothing is made where there is none.

    Raises:
        RequestError: when it cannot be read.
    """
    url = make_url(storage_url(spec, home))
    with _explained(spec, home):
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise FileNotFoundError("there is no such file")
        if "studies" not in _tables(url):
            raise LookupError("it holds no study")
        storage = optuna.storages.RDBStorage(storage_url(spec, home), skip_table_creation=True)
        return optuna.load_study(study_name=_study_name(spec, search_id), storage=storage)


def _study_name(spec: SearchSpec, search_id: str) -> str:
    return f"{spec.name}-{search_id}"


def _tables(url: URL) -> list[str]:
    """Names of the tables; a query, for a SQLite file is not looked into before."""
    patience = {"connect_timeout": CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}
    with create_engine(url, connect_args=patience).connect() as connection:
        return inspect(connection).get_table_names()


@contextmanager
def _explained(spec: SearchSpec, home: Path) -> Iterator[None]:
    """What SQLAlchemy and Optuna raise, in one line."""
    try:
        yield
    except (
        sqlalchemy.exc.SQLAlchemyError,
        optuna.exceptions.StorageInternalError,
        ImportError,
        OSError,
        LookupError,
        RuntimeError,  # tables of another version of Optuna
    ) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        reason = _reason(cause)
        kind = Unreachable if isinstance(cause, _PASSING) else RequestError
        raise kind(
            f"search.study_storage = {spec.search.study_storage or home / 'optuna.db'}: cannot be opened ({reason}); "
            "allowed: a database that answers"
        ) from None


def _reason(cause: BaseException | None) -> str:
    """What the database itself said, in one line."""
    return one_line(getattr(cause, "orig", None) or cause, 200)


@contextmanager
def answering(spec: SearchSpec) -> Iterator[None]:
    """While a search uses its study.

    Raises:
        Away: when the database of the study fails.
    """
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        reason = _reason(error.__cause__ or error)
        where = spec.search.study_storage or spec.home / "optuna.db"
        raise Away(
            f"search.study_storage = {where}: failed ({reason}); `paretune resume {spec.name}` goes on"
        ) from error


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
