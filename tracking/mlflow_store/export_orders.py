"""Orders of exports from a service, kept in MLflow while they wait or are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracking.mlflow_store import tags
from tracking.mlflow_store.client import ensure_experiment
from tracking.mlflow_store.launch_requests import EXPERIMENT
from tracking.mlflow_store.run_records import SEARCH_NAME, started_of
from tracking.mlflow_store.runs import runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KIND = "export"
IDENTITY = "paretune.export"
ATTEMPT = "paretune.attempt"


@dataclass(frozen=True)
class ExportOrder:
    """An export that is to be made.

    Attributes:
        name: the search.
        identity: the export among those of the search.
        attempt: the number of the job that makes it.
        submitted: milliseconds since the epoch.
    """

    run_id: str
    name: str
    identity: str
    attempt: int
    submitted: int


def add_order(client: MlflowClient, name: str, identity: str, attempt: int) -> None:
    """Order an export; ordered twice, it is made once."""
    experiment = ensure_experiment(client, EXPERIMENT, None)
    named = {tags.KIND: KIND, tags.SEARCH: name, IDENTITY: identity, ATTEMPT: str(attempt)}
    client.create_run(experiment, run_name=f"{name} {identity}", tags=named)


def find_orders(client: MlflowClient) -> list[ExportOrder]:
    """Return every order, the earliest first; spoiled records are passed over."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiments = [] if experiment is None else [experiment.experiment_id]
    found = [_order(run) for run in runs(client, experiments, f"tags.`{tags.KIND}` = '{KIND}'")]
    return sorted((one for one in found if one is not None), key=lambda one: (one.submitted, one.run_id))


def drop_order(client: MlflowClient, order: ExportOrder) -> None:
    """Drop an order whose export was made or failed; may be repeated."""
    client.delete_run(order.run_id)


def _order(run: Run) -> ExportOrder | None:
    held = run.data.tags
    name, identity, attempt = (held.get(tag, "") for tag in (tags.SEARCH, IDENTITY, ATTEMPT))
    if not (SEARCH_NAME.fullmatch(name) and identity and attempt.isascii() and attempt.isdigit()):
        return None
    return ExportOrder(run.info.run_id, name, identity, int(attempt[:9]), started_of(run))
