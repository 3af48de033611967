"""The folder of a search: written whole, found by name, held by one driver, refused when it is not what it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search.storage import search_folder
from search.storage.search_folder import IDENTITY, Identity
from spaces.errors import RequestError, Unreachable
from spaces.spec.spec import SearchSpec
from tests.tracking.examples import make_spec

IDENTITY_OF_IT = Identity("id", {"train": "1", "validation": "2"}, "sqlite:///mlflow.db")


@pytest.fixture
def spec(tmp_path: Path) -> SearchSpec:
    spec = make_spec(tmp_path)
    search_folder.create(spec, IDENTITY_OF_IT)
    return spec


def test_a_search_is_read_as_it_was_created(spec: SearchSpec) -> None:
    assert search_folder.exists(spec.home)
    assert search_folder.read(spec.home) == (spec, IDENTITY_OF_IT)


def test_a_folder_is_a_search_only_once_its_spec_is_there(tmp_path: Path) -> None:
    assert not search_folder.exists(tmp_path)
    (tmp_path / IDENTITY).write_text("{}")
    assert not search_folder.exists(tmp_path)


def test_what_a_later_version_adds_to_the_identity_is_passed_over(spec: SearchSpec) -> None:
    file = spec.home / IDENTITY
    file.write_text(json.dumps({**json.loads(file.read_text()), "mood": "good"}))
    assert search_folder.read(spec.home)[1] == IDENTITY_OF_IT


@pytest.mark.parametrize("content", ["", "[]", '"text"', "{}", '{"search_id": "id"}'])
def test_a_damaged_identity_is_refused(spec: SearchSpec, content: str) -> None:
    (spec.home / IDENTITY).write_text(content)
    with pytest.raises(RequestError, match=r"search 'demo': .*search\.json is damaged \(") as refused:
        search_folder.read(spec.home)
    assert not isinstance(refused.value, Unreachable)


@pytest.mark.parametrize("name", ["ray", "RAY", "mlruns", "mlflow.db", "mlartifacts", "mine.log", "a.db-wal", "A.LOG"])
def test_names_of_what_else_lies_in_a_storage_are_taken(name: str) -> None:
    with pytest.raises(RequestError, match=f"name = {name}: "):
        search_folder.check_name(name)


@pytest.mark.parametrize("name", ["mine", "rays", "log", "mine.logs"])
def test_other_names_are_free(name: str) -> None:
    search_folder.check_name(name)


def test_a_stop_is_asked_for_until_it_is_taken_back(spec: SearchSpec) -> None:
    stop = spec.home / search_folder.STOP
    search_folder.take_back_stop(spec.home)
    for _ in range(2):
        search_folder.ask_to_stop(spec.home)
        assert stop.exists()
    search_folder.take_back_stop(spec.home)
    assert not stop.exists()


def test_an_end_is_marked(spec: SearchSpec) -> None:
    assert not search_folder.is_finished(spec.home)
    search_folder.mark_finished(spec.home)
    assert search_folder.is_finished(spec.home)


def test_a_search_is_found_by_its_name_and_the_nearest_is_named(spec: SearchSpec, tmp_path: Path) -> None:
    assert search_folder.find("resume", tmp_path, "demo") == spec.home
    with pytest.raises(RequestError, match=r"resume dmeo: no such search in .*; allowed: --storage, .*: demo$"):
        search_folder.find("resume", tmp_path, "dmeo")
    with pytest.raises(RequestError, match="holds no searches"):
        search_folder.find("resume", tmp_path / "empty", "demo")


def test_a_search_goes_on_where_it_began_or_by_a_link_there(spec: SearchSpec, tmp_path: Path) -> None:
    search_folder.check_place(spec.home, spec)
    link = tmp_path / "link"
    link.symlink_to(spec.home)
    search_folder.check_place(link, spec)
    with pytest.raises(RequestError, match=f"began in {spec.home} and is in "):
        search_folder.check_place(tmp_path, spec)
    moved = spec.home.rename(tmp_path / "moved")
    with pytest.raises(RequestError, match="allowed: where it began, or a link there"):
        search_folder.check_place(moved, spec)


def test_data_that_changed_are_refused_by_split() -> None:
    before = {"train": "1", "validation": "2"}
    search_folder.check_data("demo", before, {**before, "test": "3"})
    with pytest.raises(RequestError, match=r"data\.validation: has changed since search 'demo' began"):
        search_folder.check_data("demo", before, {**before, "validation": "3"})


def test_one_driver_at_a_time(spec: SearchSpec) -> None:
    script = (
        "import sys, pathlib\n"
        "from search.storage import search_folder\n"
        "with search_folder.held(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(spec.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(RequestError, match="is being run by another process"), search_folder.held(spec.home):
        pass
    other.kill()  # lets go at once
    other.communicate()
    with search_folder.held(spec.home):
        pass


def test_where_no_search_came_to_be_no_lock_is_left(tmp_path: Path) -> None:
    with search_folder.held(tmp_path):
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []
