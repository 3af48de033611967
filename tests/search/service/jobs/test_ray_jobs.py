"""A service on a Ray that asks for its token, on a machine that has run a local search and on one that has not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from spaces.spec.spec import parse_spec
from tests.conftest import Workplace
from tests.search.heads import head_of
from tests.search.ray_nodes import RAY, start
from tests.search.service.surroundings import service_of

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray-token")]

TOKEN = Path(".ray") / "auth_token"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has not used Ray yet."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.mark.parametrize("mode", ["token", None], ids=["as the README says", "after a local search"])
def test_a_search_runs_on_a_ray_that_asks_for_its_token(
    tmp_path: Path, home: Path, tiny_model: Path, tiny_data: Path, mode: str | None
) -> None:
    if mode is None:  # Ray then asks for tokens unless told otherwise
        local = "import ray; ray.init(address='local', include_dashboard=False, num_cpus=1, logging_level='ERROR')"
        subprocess.run([sys.executable, "-c", local], check=True, timeout=120, capture_output=True)
    else:
        subprocess.run([RAY, "get-auth-token", "--generate"], check=True, timeout=120, capture_output=True)
    assert (home / TOKEN).is_file()
    place = Workplace(tmp_path, tiny_model, tiny_data)
    with head_of(2) as head:
        running = service_of(place, head, None)
        try:
            running.node = start(place.folder, *running.head, auth=mode)
            assert requests.get(f"{head.jobs}/api/jobs/", timeout=30).status_code == 401
            running.begin()
            assert running.get("/readyz").status_code == 200
            running.client.launch(parse_spec(running.values("guarded", search={"trials": 1})))
            assert running.client.wait("guarded").state == "finished"
            assert running.get("/v1/searches").json()["total"] == 1
        finally:
            running.close()


def test_a_token_that_the_cluster_does_not_take_is_said_and_the_right_one_counts_at_once(
    tmp_path: Path, home: Path, tiny_model: Path, tiny_data: Path
) -> None:
    subprocess.run([RAY, "get-auth-token", "--generate"], check=True, timeout=120, capture_output=True)
    place = Workplace(tmp_path, tiny_model, tiny_data)
    with head_of(1) as head:
        running = service_of(place, head, None)
        try:
            running.node = start(place.folder, *running.head, auth="token")
            right = (home / TOKEN).read_text()
            (home / TOKEN).write_text("another")
            running.begin("/healthz")
            refused = running.get("/readyz")
            assert (refused.status_code, refused.json()["detail"]) == (503, "Ray does not answer")
            listed = running.get("/v1/searches")  # MLflow answers all the same
            assert (listed.status_code, listed.json()["total"]) == (200, 0)
            (home / TOKEN).write_text(right)
            assert running.get("/readyz").status_code == 200
        finally:
            running.close()
