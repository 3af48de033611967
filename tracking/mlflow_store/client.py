"""Clients of MLflow that print nothing and give up soon; every failure becomes one line."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from spaces.errors import Away, RequestError, Unreachable, one_line
from tracking.mlflow_store.uri import probe, redact, sqlite_file

if TYPE_CHECKING:
    from mlflow import (
        MlflowClient as MlflowClient,  # re-exported for annotations in `search`, which may not import mlflow
    )
    from mlflow.entities import Experiment

_ANSWER_SECONDS = 5
_ANY_REQUEST = "/api/2.0/mlflow/experiments/search"

# By default MLflow prints links to stdout and progress bars to stderr, sends telemetry, and retries for minutes.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "GIT_PYTHON_REFRESH": "quiet",
}


def connect(uri: str) -> MlflowClient:
    """Return a client of the MLflow at `uri`. A missing SQLite file is made, so call `probe` before reading."""
    _settle()
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It logs whole tracebacks of errors that it also raises; they are reported where they are caught.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        _make_database(file)
    return MlflowClient(tracking_uri=uri)


def _make_database(file: Path) -> None:
    """Make a database of MLflow at `file`, whole or not at all, also where another process makes it at the same time.

    MLflow makes its tables in many steps, and cannot open a file in which it was killed between two of them.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as folder:
        made = Path(folder) / file.name
        artifacts = (file.parent / "mlartifacts").as_uri()
        SqlAlchemyStore(f"sqlite:///{made}", artifacts).engine.dispose()  # type: ignore[no-untyped-call]
        with suppress(FileExistsError):
            os.link(made, file)


def _settle() -> None:
    """Set the environment variables that MLflow reads when it is imported, unless the user has set them."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def reading(uri: str) -> Iterator[MlflowClient]:
    """Yield a client to read with; nothing is created.

    Raises:
        RequestError: when `uri` cannot be an MLflow.
        Unreachable: when no MLflow answers at `uri`.
        Away: when MLflow fails within the block.
    """
    probe(uri, write=False)
    _settle()
    from mlflow.exceptions import MlflowException

    failures = (MlflowException, SQLAlchemyError, OSError)
    try:
        _ask(uri)
        client = connect(uri)
    except failures as error:
        raise Unreachable(
            f"tracking.uri = {redact(uri)}: does not answer as MLflow ({one_line(error)}); "
            "allowed: a reachable MLflow tracking URI"
        ) from error
    try:
        yield client
    except failures as error:
        raise Away(f"MLflow at {redact(uri)}: {one_line(error)}") from error


def _ask(uri: str) -> None:
    """Check that a server answers as MLflow does, or a database at all; MLflow's client would retry for minutes."""
    if uri.startswith(("http:", "https:")):
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request, verify_rest_response

        answer = http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(uri),  # type: ignore[no-untyped-call]
            _ANY_REQUEST,
            "GET",
            params={"max_results": 1},
            max_retries=0,
            timeout=_ANSWER_SECONDS,
        )
        verify_rest_response(answer, _ANY_REQUEST)
    elif sqlite_file(uri) is None:
        create_engine(uri, connect_args={"connect_timeout": _ANSWER_SECONDS}).connect().close()


def check_experiment(client: MlflowClient, name: str) -> None:
    """Check that runs can be written into the experiment called `name`, which need not exist.

    Raises:
        RequestError: when it was deleted.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        _check_active(found, name)


def _check_active(found: Experiment | None, name: str) -> Experiment:
    if found is None or found.lifecycle_stage != "active":
        raise RequestError(
            f"tracking.experiment = {name}: deleted in MLflow; allowed: another name, or restore the experiment"
        )
    return found


def ensure_experiment(client: MlflowClient, name: str, artifact_root: str | None) -> str:
    """Return the id of the experiment called `name`, which is made where there is none.

    Raises:
        RequestError: when it was deleted; its name stays taken until MLflow removes it for good.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_root))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Another search made it in between, or it was deleted and the first look-up did not return it.
            found = client.get_experiment_by_name(name)
    return str(_check_active(found, name).experiment_id)


def artifact_root(uri: str, storage: Path) -> str | None:
    """Return the place of a new experiment's artifacts, as a URI.

    A server decides itself (None). With a database they are beside its file, or in `storage`; MLflow's default would be
    the current folder.
    """
    if uri.startswith(("http:", "https:")):
        return None
    file = sqlite_file(uri)
    return ((file.parent if file else storage.expanduser().resolve()) / "mlartifacts").as_uri()
