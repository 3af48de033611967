"""Delivery of events to MLflow, by calls that may be repeated."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

from spaces.errors import one_line
from tracking.mlflow_store.client import artifact_root, connect, ensure_experiment
from tracking.mlflow_store.tags import KIND, PARENT, SEARCH_ID, TRIAL
from tracking.writing.events import End, Event, Log, Start, Text, Upload, merge_logs

if TYPE_CHECKING:
    from mlflow import MlflowClient


_STORE_PATIENCE = 60.0  # seconds


class Refused(Exception):
    """MLflow will never accept this event."""


class Delivery:
    """Sends the events of one search to an experiment at `uri`; connects at the first event.

    Before a run is created it is looked up, unless no other process can have created it: see `take_over`.

    Args:
        experiment: the name of the experiment.
        search_id: the identity of the search, by which its runs are found.
        storage: the folder of searches, which holds artifacts where MLflow has no place of its own.
    """

    def __init__(self, uri: str, experiment: str, search_id: str, storage: Path) -> None:
        self._uri, self._experiment, self._search_id = uri, experiment, search_id
        self._storage = storage
        self._client: MlflowClient | None = None
        self._experiment_id = ""
        self._run_ids: dict[str | None, str] = {}
        self._store_fails_since: float | None = None
        self._alone = False
        self._perhaps_made: set[str | None] = set()

    def take_over(self, started: AbstractSet[str | None]) -> None:
        """Note that no other process sends from now on, so that only the runs of `started` need be looked up."""
        self._alone = True
        self._perhaps_made |= started

    def send(self, events: Sequence[Event]) -> None:
        """Send a batch of events: starts, then logs in as few requests as possible, then artifacts and ends.

        Raises:
            Refused: when MLflow answers that one of them is invalid.
            Exception: any other failure, after which the batch may be sent again.
        """
        client = self._client or self._open()
        from mlflow.exceptions import MlflowException

        try:
            for event in events:
                if isinstance(event, Start):
                    self._start(client, event)
            for request in merge_logs([event for event in events if isinstance(event, Log)]):
                self._log(client, request)
            for event in events:
                if isinstance(event, Text | Upload):
                    self._store(client, event)
                elif isinstance(event, End):
                    client.set_terminated(self._run_id(client, event.trial), event.status, event.time)
        except MlflowException as error:
            if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                # The run, or the whole experiment, may have been deleted while its id was cached here.
                self._run_ids.clear()
                self._client = None
                raise Refused(str(error)) from error
            raise

    def _open(self) -> MlflowClient:
        client = connect(self._uri)
        # urllib3 would repeat a request whose answer was lost, and create a run twice; here runs are looked up first.
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        self._experiment_id = ensure_experiment(client, self._experiment, artifact_root(self._uri, self._storage))
        self._client = client
        return client

    def _start(self, client: MlflowClient, event: Start) -> None:
        looking = not self._alone or event.trial in self._perhaps_made
        self._perhaps_made.add(event.trial)  # before the request, whose answer may be lost
        run_id = self._find(client, event.trial) if looking else None
        if run_id is None:
            tags = dict(event.tags)
            if event.trial is not None:
                tags[PARENT] = self._run_id(client, None)
            run = client.create_run(self._experiment_id, start_time=event.time, tags=tags, run_name=event.name)
            run_id = run.info.run_id
        else:
            client.update_run(run_id, status="RUNNING")
            self._log(client, Log(trial=event.trial, time=event.time, tags=event.tags))
        self._run_ids[event.trial] = run_id

    def _log(self, client: MlflowClient, event: Log) -> None:
        from mlflow.entities import Metric, Param, RunTag

        client.log_batch(
            self._run_id(client, event.trial),
            metrics=[Metric(one.name, one.value, one.time, one.step) for one in event.metrics],
            params=[Param(key, value) for key, value in event.params.items()],
            tags=[RunTag(key, value) for key, value in event.tags.items()],
        )

    def _store(self, client: MlflowClient, event: Text | Upload) -> None:
        """Store an artifact. A store that fails for long while MLflow answers must not hold back all other events."""
        run_id = self._run_id(client, event.trial)
        try:
            _log_artifact(client, run_id, event)
        except Refused:
            raise
        except Exception as error:
            client.get_run(run_id)  # raises an error of its own when MLflow is away, and not only the store
            self._store_fails_since = self._store_fails_since or time.monotonic()
            if time.monotonic() - self._store_fails_since < _STORE_PATIENCE:
                raise
            raise Refused(f"the artifact store fails: {one_line(error)}") from error
        self._store_fails_since = None

    def _run_id(self, client: MlflowClient, trial: str | None) -> str:
        run_id = self._run_ids.get(trial) or self._find(client, trial)
        if run_id is None:
            raise Refused(f"MLflow has no run of {trial or 'the search'}")
        self._run_ids[trial] = run_id
        return run_id

    def _find(self, client: MlflowClient, trial: str | None) -> str | None:
        """Return the run of a trial, or of the search, by its tags, the only identity that outlives this process."""
        one = f"tags.`{KIND}` = 'search'" if trial is None else f"tags.`{TRIAL}` = '{trial}'"
        found = client.search_runs(
            [self._experiment_id],
            f"tags.`{SEARCH_ID}` = '{self._search_id}' and {one}",
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        return found[0].info.run_id if found else None


def _log_artifact(client: MlflowClient, run_id: str, event: Text | Upload) -> None:
    if isinstance(event, Text):
        client.log_text(run_id, event.text, event.artifact_file)
    elif Path(event.path).is_dir():
        client.log_artifacts(run_id, event.path, event.artifact_path)
    elif Path(event.path).is_file():
        client.log_artifact(run_id, event.path, event.artifact_path)
    else:
        raise Refused(f"{event.path} is gone")
