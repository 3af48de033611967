"""A search over HTTP on the whole deployment, as real processes."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import OperationalError

from search.documents.service import ExportRequest
from search.service.jobs.exit_codes import AWAY
from search.storage.search_folder import is_finished
from spaces.errors import RequestError
from spaces.spec.spec import parse_spec
from tests.conftest import Workplace
from tests.search.heads import free_port
from tests.search.processes import wait_for
from tests.search.service.networks import networks
from tests.search.service.remains import ray_folder, remains
from tests.search.service.surroundings import answers
from tests.search.service.topology import STUDIES, TRACKING, Topology, topology

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("topology")]


@pytest.fixture(scope="module")
def password() -> Iterator[str]:
    """That of the databases, in the environment of everything that is started here."""
    with pytest.MonkeyPatch.context() as patch:
        made = secrets.token_hex(16)
        patch.setenv("PGPASSWORD", made)
        yield made


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path, password: str
) -> Iterator[Topology]:
    place = Workplace(tmp_path_factory.mktemp("topology"), tiny_model, tiny_data)
    with topology(place, password=password) as running:
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
    wait_for(lambda: client.exported("whole", export.id).state not in ("queued", "running"))
    assert client.exported("whole", export.id).state == "finished"
    client.download("whole", export.id, tmp_path / "adapter.zip")
    names = {Path(name).name for name in zipfile.ZipFile(tmp_path / "adapter.zip").namelist()}
    assert {"adapter_config.json", "adapter_model.safetensors", "recipe.yaml"} <= names


def test_no_secret_is_left_anywhere(deployed: Topology, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the password of the databases nor a token: in no database, file, log, command line or answer."""
    service, client = deployed.service, deployed.client
    with monkeypatch.context() as patch:
        patch.delenv("PGPASSWORD")
        with pytest.raises(OperationalError, match="password"):
            create_engine(deployed.database.url(TRACKING, "postgresql+psycopg")).connect()
    values = service.values("careless")
    address = make_url(deployed.database.url(STUDIES)).set(password=password).render_as_string(hide_password=False)
    for section, field in (("search", "study_storage"), ("tracking", "uri")):
        given = {**values, section: {**values.get(section, {}), field: address}}
        with pytest.raises(RequestError, match="the service has its own") as refused:
            client.launch(parse_spec(given))
        assert password not in str(refused.value)
    client.launch(parse_spec(service.values("guarded", search={"trials": 2}, confirm={"top": 1, "seeds": 1})))
    assert client.wait("guarded").state == "finished"
    export = client.export("guarded", ExportRequest(trial="0000"))
    wait_for(lambda: client.exported("guarded", export.id).state not in ("queued", "running"))
    places = (
        f"table tags of {TRACKING}",
        f"table studies of {STUDIES}",
        f"{service.place.folder}/service-",
        f"{service.place.folder}/artifacts/",
        f"{service.storage}/guarded/trials/",
        f"{service.storage}/guarded/exports/{export.id}.zip: ",
        f"{ray_folder(service)}/",
        "command of ",
        "jobs of Ray",
        "GET /v1/searches/guarded/spec",
    )
    wanted = {one.encode(): one for one in (password, service.token, service.reader)}
    found, looked, spoken = [], set(), set()
    for where, content in remains(deployed, "guarded"):
        found += [(where, one) for secret, one in wanted.items() if secret in content]
        looked |= {one for one in places if where.startswith(one)}
        if b"guarded" in content:
            spoken.add(where)
    assert found == []
    assert looked == set(places)
    # What was looked at is what the search left: of itself there is word in logs and databases.
    assert f"table tags of {TRACKING}" in spoken
    assert any("/job-driver-" in where for where in spoken)
    assert any(where.startswith(f"{service.place.folder}/service-") for where in spoken)


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


def test_a_storage_that_is_away_is_waited_for(deployed: Topology) -> None:
    """In the middle of a search: its driver ends, others follow it in vain, and nothing is made in its place."""
    service, client = deployed.service, deployed.client
    client.launch(parse_spec(service.values("patient", training={"max_steps": 400})))
    wait_for(lambda: deployed.results("patient"))
    before = deployed.results("patient")
    away = service.storage.with_name("away")
    service.storage.rename(away)
    try:
        wait_for(lambda: deployed.submissions("patient") >= 3)
        jobs = {name: job for name, job in service.jobs.all().items() if name.startswith("patient~") and not job.alive}
        assert {job.code for job in jobs.values()} == {AWAY}
        status = client.status("patient")
        assert status.state in ("queued", "running")
        made = [str(one) for one in service.storage.rglob("*")]
    finally:
        shutil.rmtree(service.storage, ignore_errors=True)
        away.rename(service.storage)
    assert made == []
    assert client.wait("patient").state == "finished"
    after = deployed.results("patient")
    assert {path: after[path] for path in before} == before
    assert [one.state for one in client.trials("patient").trials] == ["finished"] * 4
    assert service.doctor("patient") == []


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
