"""A search over HTTP on the whole deployment, as real processes."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest

from search.home import is_finished
from search.service.documents import ExportRequest
from spaces.spec import parse_spec
from tests.conftest import Workplace
from tests.search.heads import free_port
from tests.search.service.networks import networks
from tests.search.service.surroundings import answers
from tests.search.service.topology import Topology, topology
from tests.search.test_interruption import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("topology")]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path) -> Iterator[Topology]:
    with topology(Workplace(tmp_path_factory.mktemp("topology"), tiny_model, tiny_data)) as running:
        yield running


def test_a_search_on_the_whole_deployment(deployed: Topology, tmp_path: Path) -> None:
    service, client = deployed.service, deployed.client
    sections = {"search": {"trials": 5, "concurrent": "auto"}, "training": {"max_steps": 60}}
    status = client.launch(parse_spec(service.values("whole", **sections)))
    assert status.state in ("queued", "running")
    assert client.wait("whole").state == "finished"
    assert deployed.submissions("whole") == 1
    trials = client.trials("whole").trials
    assert [(one.trial, one.state) for one in trials] == [(f"{number:04d}", "finished") for number in range(5)]
    local = ("--tracking-uri", service.tracking_uri)
    front = service.get("/v1/searches/whole/front").json()
    assert front["front"]
    assert front == service.place.read("front", "whole", *local)
    assert service.doctor("whole") == []
    # The study is in PostgreSQL, artifacts are with the MLflow server.
    assert not (service.storage / "whole" / "optuna.db").exists()
    [kept] = (service.place.folder / "artifacts").rglob("front.json")
    assert json.loads(kept.read_text()) == front
    export = client.export("whole", ExportRequest())
    wait_for(lambda: client.exported("whole", export.id).state != "running")
    assert client.exported("whole", export.id).state == "finished"
    client.download("whole", export.id, tmp_path / "adapter.zip")
    names = {Path(name).name for name in zipfile.ZipFile(tmp_path / "adapter.zip").namelist()}
    assert {"adapter_config.json", "adapter_model.safetensors", "recipe.yaml"} <= names


def test_a_search_that_ends_while_mlflow_is_away_is_told_to_it_later(deployed: Topology) -> None:
    service, client = deployed.service, deployed.client
    client.launch(parse_spec(service.values("untold", training={"max_steps": 300})))
    wait_for(lambda: deployed.results("untold"))
    deployed.tracking.end()
    try:
        wait_for(lambda: not service.jobs.all()["untold~1"].alive)
    finally:
        deployed.tracking.begin()
    assert is_finished(service.storage / "untold")
    assert client.wait("untold").state == "finished"
    assert deployed.submissions("untold") == 2
    assert client.status("untold").trials.finished == 4
    assert client.front("untold").front
    assert service.doctor("untold") == []


def test_a_network_is_cut_and_mended_and_taken_away(tmp_path: Path) -> None:
    with networks(2) as found:
        network, port = found.nodes[0], free_port()
        serve = [sys.executable, "-m", "http.server", str(port), "--bind", network.address]
        node = Popen([*network.within, *serve], cwd=tmp_path, stdout=DEVNULL, stderr=DEVNULL)
        try:
            url = f"http://{network.address}:{port}"
            wait_for(lambda: answers(url), node)  # type: ignore[arg-type]
            network.cut(node)
            assert not answers(url)
            network.mend(node)
            wait_for(lambda: answers(url), node)  # type: ignore[arg-type]
        finally:
            if not found.apart:
                node.kill()
    node.wait(10)  # with its network, where it has one
