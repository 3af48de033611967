"""`front`, `trials`, `compare` and `searches` print what MLflow holds."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from search.cli import show
from search.cli.sources import Mlflow, source
from spaces.errors import RequestError
from tests.search.written_searches import write_search
from tracking.mlflow_store.client import connect
from tracking.mlflow_store.tags import PLAN


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_search(folder, "first", (0.6, 0.7))
    write_search(folder, "second", (0.8,))
    return folder


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def uri(storage: Path) -> str:
    return f"sqlite:///{storage}/mlflow.db"


def test_a_front_is_printed_and_written_where_it_is_asked_for(storage: Path, tmp_path: Path, console: Console) -> None:
    files = {kind: tmp_path / f"front.{kind}" for kind in ("html", "png", "csv")}
    read = source(None, uri(storage), storage)
    show.front(read, "first", False, "trainable", files["html"], files["png"], files["csv"], False, console)
    text = printed(console)
    assert "60.0%" in text
    assert "best" in text
    assert text.count("wrote ") == 3
    assert all(file.stat().st_size for file in files.values())


def test_a_spoiled_trial_is_named_once_whatever_is_written(
    storage: Path, tmp_path: Path, console: Console, caplog: pytest.LogCaptureFixture
) -> None:
    client, read = connect(uri(storage)), source(None, uri(storage), storage)
    run = read.trials("first").trials[1].run_id
    kept = client.get_run(run).data.tags[PLAN]
    client.set_tag(run, PLAN, "spoiled")
    try:
        show.front(
            read, "first", False, "trainable", tmp_path / "front.html", tmp_path / "front.png", None, True, console
        )
    finally:
        client.set_tag(run, PLAN, kept)
    assert [message.partition(",")[0] for message in caplog.messages] == ["trial 0001 counts as failed"]


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path: Path, console: Console) -> None:
    with pytest.raises(RequestError, match=f"--png {tmp_path}: is a folder"):
        show.front(Mlflow("sqlite:///nowhere.db"), "first", False, "trainable", None, tmp_path, None, False, console)


def test_fronts_side_by_side(storage: Path, tmp_path: Path, console: Console) -> None:
    page = tmp_path / "both.html"
    show.compare(uri(storage), ["first", "second"], False, page, None, False, console)
    assert "The front of them all" in printed(console)
    assert "second" in page.read_text(encoding="utf-8")
    with pytest.raises(RequestError, match="compare first: allowed: two different searches or more"):
        show.compare(uri(storage), ["first"], False, None, None, False, console)


def test_trials_and_searches(storage: Path, console: Console) -> None:
    show.trials(source(None, uri(storage), storage), "first", False, console)
    assert "0001" in printed(console)
    show.searches(uri(storage), False, console)
    assert [line.split()[:2] for line in printed(console).splitlines()[-2:]] == [
        ["second", "finished"],
        ["first", "finished"],
    ]
