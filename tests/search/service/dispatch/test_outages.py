"""The storage, MLflow, Ray and the database may be away for a while, at any moment: nothing of it is final."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy.exc import InterfaceError, OperationalError

from search.ray_cluster import connect
from search.service.dispatch.dispatcher import dispatch
from search.service.dispatch.schedule import ATTEMPTS, FIRST_SECONDS, MOST_SECONDS, due, schedule
from search.service.jobs.exit_codes import AWAY, WRONG_REQUEST
from search.service.jobs.ray_jobs import Job
from search.storage import checks
from search.storage.checks import check_writable
from search.suggest.study import answering, open_study
from spaces.errors import Away, RequestError, Unreachable
from spaces.spec.spec import parse_spec
from tests.search.heads import free_port
from tests.search.service.alone import Alone, Kept
from tests.search.service.dispatch.requested import request
from tracking.mlflow_store.uri import probe


def jobs(*codes: int | None, ended: float | None = None) -> dict[str, Job]:
    return {f"a~{number}": Job(f"a~{number}", "failed", code, "", ended) for number, code in enumerate(codes, 1)}


@pytest.mark.parametrize(
    ("codes", "phase"),
    [
        ([AWAY] * 100, "queued"),
        ([AWAY] * 100 + [1] * (ATTEMPTS - 1), "queued"),
        ([1] * (ATTEMPTS - 1) + [AWAY] * 100, "queued"),
        ([AWAY, 1] * ATTEMPTS, "failed"),
        ([None] * ATTEMPTS, "failed"),
        ([AWAY] * 3 + [WRONG_REQUEST], "failed"),
    ],
)
def test_an_outage_is_never_final_and_a_failure_is_counted_beside_it(codes: list[int | None], phase: str) -> None:
    (standing,) = schedule([request("a", attempts=len(codes))], jobs(*codes), {})
    assert standing.phase == phase
    assert (standing.unrecorded_end is None) == (phase == "queued")


def test_pauses_grow_and_have_an_end_and_others_go_before() -> None:
    for failed in range(1, 40):
        known = jobs(*[AWAY] * failed, ended=1_000.0)
        asked = [request("a", attempts=failed), request("b", 1)]
        standing = schedule(asked, known, {})
        pause = standing[0].not_before - 1_000.0
        assert pause == min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** (failed - 1))
        assert [one.name for one in due(standing, 1, now=1_000.0 + pause - 0.1)] == ["b"]
        assert [one.name for one in due(standing, 1, now=1_000.0 + pause)] == ["a"]
    # A clock that is wrong by years keeps nobody waiting.
    standing = schedule([request("a", attempts=1)], jobs(AWAY, ended=1e12), {})
    assert [one.name for one in due(standing, 1, now=1_000.0)] == ["a"]


def test_a_count_of_attempts_beyond_reason_costs_no_time() -> None:
    many = 10**9
    (standing,) = schedule([request("a", attempts=many)], {f"a~{many}": Job("a", "failed", AWAY)}, {})
    assert (standing.phase, standing.outages) == ("queued", 1)


def test_who_asks_again_waits_for_no_pause() -> None:
    (standing,) = schedule([request("a", attempts=3, since=3)], jobs(AWAY, AWAY, AWAY, ended=1_000.0), {})
    assert standing.not_before == 0.0


def tracking_is_gone(alone: Alone) -> Path:
    return Path(alone.settings.tracking_uri.removeprefix("sqlite:///"))


@pytest.mark.integration
def test_a_service_whose_mlflow_or_storage_was_away_goes_on(alone: Alone) -> None:
    alone.launch("mine")
    file = tracking_is_gone(alone)
    away = file.with_name("elsewhere")
    paths = ("/v1/searches", "/v1/searches/mine", "/v1/searches/mine/front", "/v1/searches/mine/spec", "/readyz")
    file.rename(away)
    for path in paths:
        answer = alone.http.get(path)
        assert answer.status_code == 503, path
        assert int(answer.headers["Retry-After"]) > 0
    assert alone.launch("other").status_code == 503
    for verb in ("stop", "resume"):
        assert alone.http.post(f"/v1/searches/mine/{verb}").status_code == 503
    with pytest.raises(RequestError):
        dispatch(alone.settings, Kept())
    away.rename(file)
    assert alone.http.get("/v1/searches").json()["total"] == 1
    assert alone.launch("other").status_code == 201


@pytest.mark.integration
def test_a_path_in_a_root_that_is_away_is_not_wrong(alone: Alone) -> None:
    (root,) = alone.settings.roots
    (root / "train.csv").touch()
    spec = alone.spec("mine", data={"train": "train.csv"}).model_dump(mode="json")
    root.rename(root.with_name("elsewhere"))
    assert alone.http.post("/v1/searches", json=spec).status_code == 503
    root.with_name("elsewhere").rename(root)
    assert alone.http.post("/v1/searches", json=spec).status_code == 201
    wrong = spec | {"name": "other", "data": {"train": "nowhere.csv"}}
    assert alone.http.post("/v1/searches", json=wrong).status_code == 422


@pytest.mark.integration
def test_a_stop_counts_though_ray_is_away(alone: Alone) -> None:
    alone.launch("mine")
    answer = alone.http.post("/v1/searches/mine/stop")
    assert (answer.status_code, answer.json()["state"]) == (202, "stopped")
    assert alone.request("mine").wanted == "stop"
    known = Kept()
    dispatch(alone.settings, known)
    assert known.known == {}


@pytest.mark.parametrize("number", ["EIO", "ENOSPC", "EROFS", "EACCES", "ESTALE", "ENOTCONN", "EDQUOT", "ETIMEDOUT"])
def test_a_storage_that_fails_is_away_and_a_path_that_cannot_be_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    import errno

    def failing(folder: Path) -> None:
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    with pytest.raises(RequestError) as wrong:
        check_writable(tmp_path / ("s" * 300))
    assert not isinstance(wrong.value, Unreachable)
    monkeypatch.setattr(checks, "try_writing", failing)
    with pytest.raises(Unreachable, match="cannot be written"):
        check_writable(tmp_path)


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, OSError])
def test_a_database_that_fails_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    import optuna

    spec = parse_spec(
        {
            "name": "a",
            "model": {"path": "m"},
            "data": {"train": "t.csv"},
            "budget": {"parameters": 9},
            "storage": str(tmp_path),
        }
    )
    failed = kind("it shuts down") if kind is OSError else kind("SELECT 1", {}, Exception("it shuts down"))

    def failing(**given: object) -> None:
        raise failed

    monkeypatch.setattr(optuna, "create_study", failing)
    with pytest.raises(Unreachable, match="it shuts down"):
        open_study(spec, "id", tmp_path)
    with pytest.raises(Away, match="it shuts down"), answering(spec):
        raise optuna.exceptions.StorageInternalError from failed


def test_addresses_where_nothing_answers_are_away(tmp_path: Path) -> None:
    for uri in (
        f"http://127.0.0.1:{free_port()}",
        f"postgresql+psycopg://127.0.0.1:{free_port()}/mlflow",
        f"sqlite:///{tmp_path}/none.db",
    ):
        with pytest.raises(Unreachable):
            probe(uri, write=False)
    with pytest.raises(RequestError) as wrong:
        probe("ftp://127.0.0.1/mlflow", write=False)
    assert not isinstance(wrong.value, Unreachable)


@pytest.mark.parametrize(
    ("nodes", "had_them", "kind"),
    [
        ([{"memory": 1.0}], False, Unreachable),  # the head alone
        ([], False, Unreachable),
        ([{"CPU": 2.0}], False, RequestError),
        ([{"CPU": 2.0}], True, Unreachable),  # the search began with more
    ],
)
def test_nodes_that_are_away_are_not_a_wrong_request(
    monkeypatch: pytest.MonkeyPatch, nodes: list[dict[str, float]], had_them: bool, kind: type[RequestError]
) -> None:
    monkeypatch.setattr(connect.ray, "nodes", lambda: [{"Alive": True, "Resources": one} for one in nodes])
    with pytest.raises(RequestError, match="no node has them") as error:
        connect.check_resources(4, 0, had_them=had_them)
    assert type(error.value) is kind
