"""`launch`, `status` and `stop` of searches in this storage; with a service they are in tests/search/service."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from search.cli import remote
from search.storage import search_folder
from spaces.errors import RequestError
from spaces.spec.spec import dump_spec, load_spec
from tests.conftest import Workplace
from tests.search.written_searches import write_search


@pytest.mark.parametrize("option", ["address", "given"])
def test_a_service_has_its_own_places(workplace: Workplace, option: str) -> None:
    places = {"address": None, "given": None} | {option: "there"}
    name = {"address": "--address", "given": "--tracking-uri"}[option]
    with pytest.raises(RequestError, match=f"{name} there: the service has its own; allowed: nothing with --server"):
        remote.launch(workplace.spec(), [], "http://127.0.0.1:1", **places)


def test_a_search_that_was_launched_is_not_launched_again(
    workplace: Workplace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace.folder)
    spec = load_spec(workplace.spec())
    from search.driver.preflight import absolute

    workplace.home.mkdir(parents=True)
    (workplace.home / search_folder.SPEC).write_text(dump_spec(absolute(spec)))
    remote.launch(workplace.spec(), [], None, None, None)
    assert capsys.readouterr().out.startswith("search mine was launched before; ")
    with pytest.raises(RequestError, match="name = mine: in use; allowed: a new name, or `paretune resume mine`"):
        remote.launch(workplace.spec(), ["search.seed=7"], None, None, None)


def test_the_status_of_a_search_in_this_storage(tmp_path: Path) -> None:
    write_search(tmp_path, "mine", (0.6, 0.7))
    printed = io.StringIO()
    console = Console(file=printed, width=160)
    remote.status("mine", None, f"sqlite:///{tmp_path}/mlflow.db", tmp_path, False, console)
    text = printed.getvalue()
    assert "some/model" in text
    assert "0.7000 accuracy, confirmed, 2,000 parameters: lora, trial 0001" in text


def test_a_search_is_asked_to_stop_by_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "mine"
    home.mkdir()
    with pytest.raises(RequestError, match="stop"):
        remote.stop("mine", None, tmp_path)
    (home / search_folder.SPEC).touch()
    remote.stop("mine", None, tmp_path)
    assert (home / search_folder.STOP).exists()
    assert capsys.readouterr().out == "search mine was asked to stop; `paretune resume mine` goes on with it\n"
    search_folder.mark_finished(home)
    with pytest.raises(RequestError, match="stop mine: is finished; allowed: a search that runs"):
        remote.stop("mine", None, tmp_path)
