"""A service in this process, with MLflow in a file and without Ray: nothing is submitted, and nothing runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from search.service.app import create_app
from search.service.jobs.ray_jobs import Job, Jobs
from search.service.settings import Settings
from search.storage import search_folder
from spaces.errors import WorkError
from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec, parse_spec
from tracking.mlflow_store.client import connect, reading
from tracking.mlflow_store.launch_requests import SPEC, LaunchRequest, find_requests
from tracking.writing.search_writer import SearchState, SearchWriter

TAG = f"{SPEC}.0"


class Kept(Jobs):
    """Ray's jobs, kept here: none of them runs."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.known: dict[str, Job] = {}

    def submit(self, name: str, module: str, arguments: Sequence[str]) -> bool:
        if name.startswith("cursed"):
            raise WorkError("Ray at http://127.0.0.1:9: takes no such job")
        if name in self.known:
            return False
        self.known[name] = Job(name, "running")
        return True

    def all(self) -> dict[str, Job]:
        return dict(self.known)


@dataclass(frozen=True)
class Alone:
    """The service and what it stands on."""

    settings: Settings
    http: TestClient

    @property
    def storage(self) -> Path:
        return self.settings.storage

    def spec(self, name: str, **sections: Any) -> SearchSpec:
        """One that the service may run."""
        (root,) = self.settings.roots
        values = {"model": {"path": "some/model"}, "data": {"train": str(root / "train.csv")}, "name": name}
        return parse_spec({**values, "budget": {"parameters": 50_000}, "storage": str(self.storage), **sections})

    def launch(self, name: str) -> Any:
        """Ask for a search, which waits from then on; gives the answer."""
        return self.http.post("/v1/searches", json=self.spec(name).model_dump(mode="json"))

    def begin(self, spec: SearchSpec, state: SearchState | None = None) -> None:
        """What a command leaves that runs the search, in this state or in its middle."""
        search_folder.create(spec, search_folder.Identity(f"id of {spec.name}", {}, self.settings.tracking_uri))
        writer = SearchWriter(self.settings.tracking_uri, spec, f"id of {spec.name}", spec.home)
        writer.start_search(Budget(50_000, 50), 1_000_000, 770)
        if state is not None:
            writer.end_search(state)
        assert writer.close(60) == 0

    def request(self, name: str) -> LaunchRequest:
        """What MLflow has of what was asked for."""
        with reading(self.settings.tracking_uri) as client:
            (found,) = find_requests(client, name)
        return found

    def status(self, name: str) -> dict[str, Any]:
        """How a search stands."""
        found: dict[str, Any] = self.http.get(f"/v1/searches/{name}").json()
        return found

    def spoil(self, name: str, written: Callable[[str], str]) -> None:
        """Change the spec of a request, as MLflow has it."""
        client, run = connect(self.settings.tracking_uri), self.request(name).run_id
        client.set_tag(run, TAG, written(client.get_run(run).data.tags[TAG]))


def alone_in(folder: Path, database: Path, **options: Any) -> Alone:
    """A service whose places are in this folder; `database`: one of MLflow's, which is copied."""
    for name in ("storage", "data"):
        (folder / name).mkdir()
    shutil.copy(database, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    settings = Settings(folder / "storage", uri, "http://127.0.0.1:9", roots=(folder / "data",), **options)
    return Alone(settings, client_of(settings))


def client_of(settings: Settings) -> TestClient:
    """What speaks to a service of these settings."""
    return TestClient(create_app(settings), base_url="http://127.0.0.1", raise_server_exceptions=False)
