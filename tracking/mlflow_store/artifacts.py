"""Artifacts of a search in MLflow: adapters and the spec."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from spaces.errors import RequestError, WorkError, one_line
from spaces.spec.spec import SearchSpec, parse_spec
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.tags import ADAPTER_FOLDER, PARENT, SPEC_FILE

_SPEC_BYTES = 10_000_000


def fetch_adapter(uri: str, run_id: str, destination: Path) -> Path:
    """Copy the adapter of a run into the folder `destination`, and return the folder of the adapter in it.

    Raises:
        RequestError: when the run has none, as only members of the front do.
        WorkError: when MLflow fails.
    """
    with reading(uri) as client:
        if not client.list_artifacts(run_id, ADAPTER_FOLDER):
            raise RequestError(f"MLflow run {run_id}: keeps no adapter; allowed: a run of a member of the front")
        destination.mkdir(parents=True, exist_ok=True)
        return Path(client.download_artifacts(run_id, ADAPTER_FOLDER, str(destination)))


def fetch_spec(uri: str, run_id: str) -> SearchSpec:
    """Return the spec of the search to which a run belongs: the search's own run, or one of its children.

    Raises:
        RequestError: when the run belongs to no search that kept its spec.
        WorkError: when MLflow fails, or what it keeps is no spec.
    """
    with reading(uri) as client, TemporaryDirectory() as folder:
        parent = client.get_run(run_id).data.tags.get(PARENT, run_id)
        sizes = {file.path: file.file_size or 0 for file in client.list_artifacts(parent)}
        if SPEC_FILE not in sizes:
            raise RequestError(f"MLflow run {run_id}: no {SPEC_FILE} of its search; allowed: a run of a search")
        if sizes[SPEC_FILE] > _SPEC_BYTES:
            raise WorkError(f"MLflow run {parent}: {SPEC_FILE} has {sizes[SPEC_FILE]:,} bytes, and is no spec")
        written = Path(client.download_artifacts(parent, SPEC_FILE, folder)).read_bytes()
    try:
        values = yaml.safe_load(written.decode())
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise WorkError(f"MLflow run {parent}: {SPEC_FILE} cannot be read ({one_line(error)})") from None
    return parse_spec(values)
