"""A team's searches over HTTP, on a real Ray head: launched, watched, stopped, resumed, exported."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests

from search.client import Client
from search.documents.service import ExportRequest
from search.service.dispatch.dispatcher import MODULE
from search.service.settings import Settings, job_options
from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec, parse_spec
from tests.search.processes import results_in, wait_for
from tests.search.service.surroundings import FIRST, Running
from tracking.documents.schemas import RungEntry
from tracking.mlflow_store.client import connect, reading
from tracking.mlflow_store.launch_requests import SPEC, JobEnd, add_request, find_requests, want_stop

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("service")]

LONG = {"training": {"max_steps": 600}, "search": {"trials": 3, "rungs": 3}}


def stored(service: Running, name: str, **sections: Any) -> SearchSpec:
    """A spec as the service keeps it."""
    return parse_spec(service.values(name, storage=str(service.storage), **sections))


def recorded(service: Running, name: str) -> JobEnd | None:
    """The end of a search as MLflow has it."""
    with reading(service.tracking_uri) as client:
        (found,) = find_requests(client, name)
    return found.ended


def test_a_launch_without_a_token_is_refused(service: Running) -> None:
    spec = service.place.spec("tokenless")
    refused = service.place.call("launch", str(spec), "--server", service.url)
    assert refused.returncode == 2
    assert refused.stderr == "paretune: Authorization: a bearer token is needed\n"


def test_what_a_command_reads_is_what_the_service_says(service: Running, finished: str) -> None:
    local = ("--tracking-uri", service.tracking_uri)
    for command in ("front", "trials"):
        there = service.get(f"/v1/searches/{finished}/{command}").json()
        assert there == service.place.read(command, finished, *local)
    confirmed = service.get(f"/v1/searches/{finished}/front?confirmed=true").json()
    assert confirmed == service.place.read("front", finished, "--confirmed", *local)
    status = service.client.status(finished)
    assert (status.state, status.progress, status.planned, status.eta_seconds) == ("finished", 1.0, 3, None)
    front = service.client.front(finished)
    assert status.best is not None
    assert (status.best, status.knee) == (front.best, front.knee)
    assert finished in [one.search for one in service.client.searches().searches]


@pytest.mark.parametrize("command", ["status", "front", "trials"])
def test_a_reading_command_says_the_same_of_a_service_as_of_this_machine(
    service: Running, finished: str, command: str
) -> None:
    local = ("--tracking-uri", service.tracking_uri, *(("--storage", str(service.storage)) * (command == "status")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETUNE_TOKEN", service.reader)
        there = service.place.read(command, finished, "--server", service.url)
        shown = service.place.call(command, finished, "--server", service.url)
    here = service.place.read(command, finished, *local)
    assert shown.stdout == service.place.call(command, finished, *local).stdout
    if command == "status":
        assert there.pop("submitted") is not None  # only a service is asked for searches
        assert here.pop("submitted") is None
    assert there == here


def test_a_search_is_launched_stopped_and_resumed_by_commands(service: Running, tmp_path: Path) -> None:
    values = service.values("commanded", training={"max_steps": 600}, search={"trials": 2, "rungs": 3})
    spec = tmp_path / "commanded.yaml"
    spec.write_text(json.dumps(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETUNE_TOKEN", service.token)

        def said(*arguments: str) -> str:
            done = service.place.call(*arguments, "--server", service.url)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert "commanded is " in said("launch", str(spec))
        assert "commanded is " in said("launch", str(spec))
        for option in ("--address", "--tracking-uri"):
            refused = service.place.call("launch", str(spec), option, "x", "--server", service.url)
            assert refused.stderr == (
                f"paretune: {option} x: the service has its own; allowed: nothing with --server\n"
            )
        wait_for(lambda: service.client.status("commanded").started)
        assert "stop" in said("stop", "commanded")
        assert service.client.wait("commanded").state == "stopped"
        assert "commanded is " in said("resume", "commanded")
        assert service.client.wait("commanded").state == "finished"


def test_searches_are_found_by_state_and_by_a_part_of_their_name(service: Running, finished: str, second: str) -> None:
    names = {one.search for one in service.client.searches(state="finished", limit=200).searches}
    assert {finished, second} <= names
    found = service.client.searches(contains=second[1:])
    assert second in [one.search for one in found.searches]
    assert finished not in [one.search for one in found.searches]
    page = service.client.searches(limit=1, offset=1)
    assert (len(page.searches), page.limit, page.offset) == (1, 1, 1)


def test_a_client_checks_counts_and_draws(service: Running, finished: str, tmp_path: Path) -> None:
    client, spec = service.client, parse_spec(service.values("drawn"))
    assert client.validate(spec).search == spec.name
    assert client.count(spec, "lora", rank=2).config["rank"] == 2
    assert "lora" in [one.name for one in client.methods().methods]
    for form in ("csv", "html", "png"):
        client.front_file(finished, tmp_path / f"front.{form}")
        assert (tmp_path / f"front.{form}").stat().st_size > 50


def test_a_front_is_given_in_every_form(service: Running, finished: str) -> None:
    front = service.client.front(finished)
    answers = {form: service.get(f"/v1/searches/{finished}/front?format={form}") for form in ("csv", "html", "png")}
    assert len(answers["csv"].text.splitlines()) == 1 + len(front.front)
    assert "plotly" in answers["html"].text
    assert "sandbox" in answers["html"].headers["Content-Security-Policy"]
    assert answers["png"].content.startswith(b"\x89PNG")


def test_a_learning_curve_has_the_rungs(service: Running, finished: str) -> None:
    curve = service.get(f"/v1/searches/{finished}/trials/0000/curve").json()
    kept = json.loads((service.storage / finished / "trials" / "0000" / "result.json").read_text())["rungs"]
    rungs = [{name: rung[name] for name in RungEntry.model_fields} for rung in kept]
    assert curve == {"trial": "0000", "rungs": rungs}
    assert service.get(f"/v1/searches/{finished}/trials/9999/curve").status_code == 404


def test_a_metric_of_a_module_that_the_operator_names_measures_and_no_other_does(service: Running) -> None:
    metric = "sklearn.metrics:accuracy_score"
    spec = parse_spec(service.values("measured", objective={"metric": metric}, search={"trials": 1}))
    service.client.launch(spec)
    assert service.client.wait("measured").state == "finished"
    front = service.client.front("measured")
    assert front.objective is not None
    assert (front.objective.metric, front.objective.mode) == (metric, "max")
    (trial,) = service.client.trials("measured").trials
    assert 0 < (trial.quality or 0) <= 1
    with pytest.raises(RequestError, match=r"objective\.metric = 'os:getcwd': module os is not one that the operator"):
        service.client.launch(parse_spec(service.values("foreign", objective={"metric": "os:getcwd"})))


def test_the_same_spec_is_the_same_search_and_another_one_is_refused(service: Running, finished: str) -> None:
    values = service.values(finished, **FIRST)
    token = {"Authorization": f"Bearer {service.token}"}
    again = requests.post(f"{service.url}/v1/searches", json=values, headers=token, timeout=60)
    assert again.status_code == 200
    assert again.headers["Location"] == f"/v1/searches/{finished}"
    other = requests.post(f"{service.url}/v1/searches", json=values | {"methods": ["lora"]}, headers=token, timeout=60)
    assert other.status_code == 409
    assert other.headers["Content-Type"] == "application/problem+json"
    assert other.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "name = first: in use by another spec; allowed: a new name, or the same spec",
        "instance": "/v1/searches",
    }


def test_roles(service: Running) -> None:
    values = service.values("unwanted")
    assert requests.get(f"{service.url}/v1/searches", timeout=60).status_code == 401
    refused = requests.post(
        f"{service.url}/v1/searches", json=values, headers={"Authorization": f"Bearer {service.reader}"}, timeout=60
    )
    assert refused.status_code == 403
    assert "allowed: role run" in refused.json()["detail"]
    assert service.get("/v1/searches?contains=unwanted").json()["total"] == 0


def test_a_search_that_cannot_begin_fails_with_its_reason(service: Running) -> None:
    values = service.values("wrong", data={"label": "nowhere"})
    service.client.launch(parse_spec(values))
    status = service.client.wait("wrong")
    assert status.state == "failed"
    assert status.message is not None
    assert "nowhere" in status.message
    with pytest.raises(RequestError, match=r"data\.train = /etc/passwd: nothing that the service may read"):
        service.client.launch(parse_spec(service.values("secret", data={"train": "/etc/passwd"})))


def test_stop_resume_and_the_queue(service: Running) -> None:
    client = service.client
    client.launch(parse_spec(service.values("long", **LONG)))
    client.launch(parse_spec(service.values("later", search={"trials": 1})))
    wait_for(lambda: client.status("long").state == "running" and client.status("long").started)
    assert client.status("later").state == "queued"
    assert client.stop("long").state in ("stopping", "stopped")
    assert client.wait("long").state == "stopped"
    assert client.wait("later").state == "finished"
    kept = {trial.trial for trial in client.trials("long").trials if trial.state == "finished"}
    assert client.resume("long").state in ("queued", "running")
    assert client.wait("long").state == "finished"
    trials = client.trials("long").trials
    assert [trial.state for trial in trials] == ["finished"] * 3
    assert kept <= {trial.trial for trial in trials}
    assert service.doctor("long") == []


def test_a_stop_at_the_moment_of_the_submission_counts(service: Running) -> None:
    """It comes when a dispatcher has seen that the search is due, and has not submitted its job."""
    with reading(service.tracking_uri) as mlflow:
        want_stop(mlflow, add_request(mlflow, stored(service, "late", search={"trials": 1}))[0])
    roots = (service.place.data, service.place.model)
    told = job_options(Settings(service.storage, service.tracking_uri, roots=roots))
    service.jobs.submit("late~1", MODULE, ("late", *told))
    wait_for(lambda: not service.jobs.all()["late~1"].alive)
    assert service.client.status("late").state == "stopped"
    assert not (service.storage / "late").exists()
    assert service.client.resume("late").state in ("queued", "running")
    assert service.client.wait("late").state == "finished"
    assert {name for name in service.jobs.all() if name.startswith("late~")} == {"late~1", "late~2"}


def test_a_stop_that_reached_no_driver_is_passed_on_to_it(service: Running) -> None:
    """By a dispatcher: the service that was asked for the stop has died, or found no folder yet."""
    client = service.client
    client.launch(parse_spec(service.values("unmarked", **LONG)))
    wait_for(lambda: client.status("unmarked").started)
    with reading(service.tracking_uri) as mlflow:
        (request,) = find_requests(mlflow, "unmarked")
        want_stop(mlflow, request)
    assert client.wait("unmarked").state == "stopped"
    assert client.status("unmarked").trials.finished < LONG["search"]["trials"]


def test_a_search_of_a_command_is_stopped_and_resumed(service: Running) -> None:
    client, home = service.client, service.storage / "ours"
    spec = service.place.spec("ours", storage=str(service.storage), **LONG)
    driver = service.place.start("search", str(spec), "--tracking-uri", service.tracking_uri)
    wait_for(lambda: len(results_in(home)) > 1, driver)  # of the reference and a trial
    wait_for(lambda: service.get("/v1/searches/ours").ok, driver)
    assert client.status("ours").state == "running"
    assert client.stop("ours").state == "stopping"
    _, errors = driver.communicate(timeout=200)
    assert driver.returncode == 0, errors
    assert client.wait("ours").state == "stopped"
    before = results_in(home)
    assert client.resume("ours").state in ("queued", "running")
    assert client.wait("ours").state == "finished"
    after = results_in(home)
    assert {path: after[path] for path in before} == before
    assert [trial.state for trial in client.trials("ours").trials] == ["finished"] * LONG["search"]["trials"]
    assert service.doctor("ours") == []


def test_one_request_that_cannot_be_read_keeps_nobody_from_anything(service: Running) -> None:
    client, mlflow = service.client, connect(service.tracking_uri)
    request, _ = add_request(mlflow, stored(service, "unreadable"))
    mlflow.set_tag(request.run_id, f"{SPEC}.0", "{}")
    try:
        client.launch(parse_spec(service.values("beside", search={"trials": 1})))
        assert client.wait("beside").state == "finished"
        status = client.status("unreadable")
        assert (status.state, status.objective) == ("failed", None)
        assert status.message is not None
        assert status.message.startswith("its spec cannot be read (")
        assert status in client.searches(limit=200).searches
        assert 'paretune_searches{state="failed"}' in service.get("/metrics").text
    finally:
        mlflow.delete_run(request.run_id)


def test_a_service_that_comes_back_knows_everything(service: Running, finished: str) -> None:
    before = service.client.searches()
    service.end(9)
    service.begin()
    assert service.client.searches().searches == before.searches


def test_an_export_is_downloaded_whole(service: Running, finished: str, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETUNE_TOKEN", service.token)
        done = service.place.call("export", finished, "--out", str(out), "--knee", "--server", service.url)
        assert done.returncode == 0, done.stderr
    assert (out / "adapter_model.safetensors").is_file()
    client = service.client
    again = client.export(finished, ExportRequest(choice="knee"))
    assert again.id == f"{client.status(finished).knee.trial}-peft"  # type: ignore[union-attr]
    assert again.id in [one.id for one in client.exports(finished) if one.state == "finished"]
    client.download(finished, again.id, tmp_path / "again.zip")
    names = zipfile.ZipFile(tmp_path / "again.zip").namelist()
    assert sorted(Path(name).name for name in names if not name.endswith("/")) == sorted(
        path.name for path in out.iterdir()
    )


def test_a_low_rank_export_has_the_rank_that_was_asked_for(service: Running, finished: str, tmp_path: Path) -> None:
    out = tmp_path / "low"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETUNE_TOKEN", service.token)
        wanted = ("--knee", "--format", "lora", "--rank", "2")
        done = service.place.call("export", finished, "--out", str(out), *wanted, "--server", service.url)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "adapter_config.json").read_text())["r"] == 2
    client = service.client
    knee = client.status(finished).knee.trial  # type: ignore[union-attr]
    known = {one.id: one for one in client.exports(finished)}[f"{knee}-lora-2"]
    assert (known.state, known.rank) == ("finished", 2)
    assert client.export(finished, ExportRequest(trial=knee, format="lora", rank=8)).id == f"{knee}-lora"
    answer = requests.post(
        f"{service.url}/v1/searches/{finished}/exports",
        json={"rank": 1.5, "format": "lora"},
        headers={"Authorization": f"Bearer {service.token}"},
        timeout=60,
    )
    assert answer.status_code == 422
    assert "rank 1.5: no rank; allowed: a whole number" in answer.json()["detail"]


def test_exports_are_listed(service: Running, second: str) -> None:
    client = service.client
    before = {one.id for one in client.exports(second)}  # other tests ask for some as well
    best, smallest = client.front(second).front[-1], client.front(second).front[0]
    asked = {f"{one.trial}-peft" for one in (smallest, best)}
    for one in (smallest, best):
        client.export(second, ExportRequest(trial=one.trial))
    assert [one.id for one in client.exports(second)] == sorted(before | asked)
    wait_for(lambda: {one.state for one in client.exports(second)} == {"finished"})
    assert client.export(second, ExportRequest(trial=best.trial)).state == "finished"
    foreign = service.storage / second / "exports" / "notes.zip"
    foreign.touch()
    assert [one.id for one in client.exports(second)] == sorted(before | asked)
    foreign.unlink()
    with pytest.raises(RequestError, match="search 'nobody': not known"):
        client.exports("nobody")
    with pytest.raises(RequestError, match="trial 9999: no finished trial of search second"):
        client.export(second, ExportRequest(trial="9999"))


def test_a_search_that_is_given_up_is_not_submitted_again(service: Running) -> None:
    block = service.storage / "hopeless" / "trials" / "reference" / ".adapter"  # where its adapter is to be written
    block.parent.mkdir(parents=True)
    block.touch()
    service.client.launch(parse_spec(service.values("hopeless", search={"trials": 2, "rungs": 1})))
    status = service.client.wait("hopeless")
    assert status.state == "failed"
    assert "its reference, the task head alone, failed: FileExistsError: " in (status.message or "")
    wait_for(lambda: recorded(service, "hopeless") is not None)
    with reading(service.tracking_uri) as client:
        assert [one.attempts for one in find_requests(client, "hopeless")] == [1]
    block.unlink()
    service.client.resume("hopeless")
    assert service.client.wait("hopeless").state == "finished"
    assert service.doctor("hopeless") == []


def test_searches_are_counted_for_prometheus(service: Running, finished: str) -> None:
    page = service.client.searches(limit=200)
    said = dict(
        line.rsplit(" ", 1) for line in service.get("/metrics").text.splitlines() if line.startswith("paretune_")
    )
    for state in ("queued", "running", "finished", "stopped", "failed"):
        count = sum(one.state == state for one in page.searches)
        assert float(said[f'paretune_searches{{state="{state}"}}']) == count
    assert float(said['paretune_searches{state="finished"}']) > 0


def test_checks_are_those_of_the_commands(service: Running) -> None:
    headers = {"Authorization": f"Bearer {service.token}"}
    values = service.values("checked")
    valid = requests.post(f"{service.url}/v1/validate", json=values, headers=headers, timeout=300)
    assert valid.json() == service.place.read("validate", "checked.yaml")
    asked = {"spec": values, "method": "lora", "settings": {"rank": 2}}
    counted = requests.post(f"{service.url}/v1/count", json=asked, headers=headers, timeout=300)
    assert counted.json() == service.place.read("count", "checked.yaml", "--method", "lora", "--set", "rank=2")
    wrong = requests.post(f"{service.url}/v1/count", json=asked | {"method": "nothing"}, headers=headers, timeout=300)
    assert wrong.status_code == 422
    assert "--method nothing: unknown" in wrong.json()["detail"]


def test_a_client_says_what_is_wrong(service: Running) -> None:
    with pytest.raises(RequestError, match="search 'nobody': not known"):
        service.client.status("nobody")
    with pytest.raises(RequestError, match="a bearer token is needed"):
        Client(service.url, "paretune_wrong").searches()


def test_two_services_submit_one_job(service: Running) -> None:
    with service.another() as other:
        spec = parse_spec(service.values("shared", search={"trials": 2}))
        for client in (service.client, other, service.client, other):
            assert client.launch(spec).search == "shared"
        assert other.wait("shared").state == "finished"
    assert [name for name in service.jobs.all() if name.startswith("shared")] == ["shared~1"]
    assert [trial.state for trial in service.client.trials("shared").trials] == ["finished"] * 2


def test_a_search_outlives_its_driver_and_its_cluster(service: Running) -> None:
    client = service.client
    client.launch(parse_spec(service.values("tough", training={"max_steps": 600}, search={"trials": 4, "rungs": 3})))

    def finished() -> set[str]:
        trials = client.trials("tough").trials if client.status("tough").started else ()
        return {one.trial for one in trials if one.state == "finished"}

    wait_for(finished)
    service.kill_driver("tough")
    wait_for(lambda: "tough~2" in service.jobs.all())
    before = finished()
    wait_for(lambda: finished() > before)
    before = finished()
    service.replace_head()
    assert client.wait("tough").state == "finished"
    trials = client.trials("tough").trials
    assert [(one.trial, one.state) for one in trials] == [(f"{number:04d}", "finished") for number in range(4)]
    assert before <= {one.trial for one in trials}
    assert service.doctor("tough") == []


def test_what_has_ended_stays_so_when_its_cluster_is_lost(service: Running) -> None:
    client = service.client
    limited = {"training": {"max_steps": 400}, "search": {"trials": 100, "time_limit": 20}}
    client.launch(parse_spec(service.values("limited", **limited)))
    client.launch(parse_spec(service.values("mistaken", data={"label": "nowhere"})))
    assert client.wait("limited").state == "stopped"
    assert client.wait("mistaken").state == "failed"
    wait_for(lambda: recorded(service, "limited") and recorded(service, "mistaken"))
    service.replace_head()
    wait_for(lambda: service.get("/readyz").ok)
    # What is due is submitted in the order in which it was asked for, so that these two would come before it.
    client.launch(parse_spec(service.values("after", search={"trials": 1})))
    assert client.wait("after").state == "finished"
    assert {name for name in service.jobs.all() if not name.startswith("export")} == {"after~1"}
    assert client.status("limited").state == "stopped"
    status = client.status("mistaken")
    assert status.state == "failed"
    assert status.message is not None
    assert "nowhere" in status.message
    assert client.resume("limited").state in ("queued", "running")
    wait_for(lambda: "limited~2" in service.jobs.all())
    client.stop("limited")
    assert client.wait("limited").state == "stopped"
