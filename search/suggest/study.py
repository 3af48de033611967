"""The Optuna study of a search, in a database that outlives the driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy.exc
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url

from search.storage.checks import try_writing
from search.suggest.samplers import make_sampler
from spaces.errors import Away, RequestError, Unreachable, one_line
from spaces.spec.spec import SearchSpec
from tracking.mlflow_store.uri import has_password

CONNECT_SECONDS = 5

_PASSING = (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, sqlalchemy.exc.TimeoutError, OSError)
"""Errors of a database or a disk that is away and may come back."""


def storage_url(spec: SearchSpec, home: Path) -> str:
    """Return the SQLAlchemy URL of the study.

    Raises:
        RequestError: for a URL that is malformed, or that holds a password.
    """
    given = spec.search.study_storage
    if given is None:
        return f"sqlite:///{home.resolve()}/optuna.db"
    try:
        url = make_url(given)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # a port that is no number is a ValueError
        # A malformed URL may still hold a password, so it is not shown.
        raise RequestError(
            "search.study_storage: not a database URL; allowed: postgresql+psycopg://HOST/DATABASE or sqlite:///FILE"
        ) from None
    if has_password(given):
        raise RequestError("search.study_storage: holds a password; allowed: none there, use PGPASSWORD or ~/.pgpass")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


def check_database(spec: SearchSpec) -> None:
    """Check, before anything is written, that `search.study_storage` is a database that answers.

    Creates no SQLite file.

    Raises:
        RequestError: when it does not answer.
    """
    url = make_url(storage_url(spec, spec.home))
    with _explained(spec, spec.home):
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
            if spec.search.study_storage is not None:
                try_writing(Path(url.database).parent)
        else:
            _tables(url)


def open_study(spec: SearchSpec, search_id: str, home: Path) -> optuna.Study:
    """Create the study of a search, or load it.

    Raises:
        RequestError: when its database cannot be used.
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
    """Load the study of a search for reading; nothing is created where there is none.

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
    """Return the names of the tables. This is a query, because opening a SQLite file does not look into it."""
    patience = {"connect_timeout": CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}
    with create_engine(url, connect_args=patience).connect() as connection:
        return inspect(connection).get_table_names()


@contextmanager
def _explained(spec: SearchSpec, home: Path) -> Iterator[None]:
    """Turn errors of SQLAlchemy and Optuna into a RequestError of one line."""
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
    """Return the database's own message, on one line."""
    return one_line(getattr(cause, "orig", None) or cause, 200)


@contextmanager
def answering(spec: SearchSpec) -> Iterator[None]:
    """Turn failures of the study's database during a search into `Away`.

    Raises:
        Away: when the database fails.
    """
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        reason = _reason(error.__cause__ or error)
        where = spec.search.study_storage or spec.home / "optuna.db"
        raise Away(
            f"search.study_storage = {where}: failed ({reason}); `paretune resume {spec.name}` goes on"
        ) from error
