"""Every command prints in every encoding, and JSON stays JSON."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from search.cli.main import run
from search.terminal import console
from spaces.model.budget import Budget
from spaces.trials.ledger import Ledger
from spaces.trials.records import Progress
from tests.conftest import ADDRESSES, command
from tests.tracking.examples import finished, make_spec, plan
from tracking.mlflow_store.client import connect
from tracking.writing.search_writer import SearchWriter

NAME = "étude"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two searches in an MLflow of their own: one of a base with an accent in its name, one without any quality."""
    folder = tmp_path_factory.mktemp("runs")
    uri = f"sqlite:///{folder}/mlflow.db"
    connect(uri)
    for name in ("full", "empty"):
        spec = make_spec(folder, name)
        spec = spec.model_copy(update={"model": spec.model.model_copy(update={"path": f"models/{NAME}"})})
        spec.home.mkdir()
        writer = SearchWriter(uri, spec, name, spec.home)
        writer.start_search(Budget(50_000, 50), 1_000_000, 770)
        for number, quality in enumerate((0.6, 0.7) if name == "full" else ()):
            one = plan(f"{number:04d}", parameters=1000 * (number + 1))
            writer.start_trial(one)
            writer.end_trial(one, finished(quality))
            writer.set_confirmed(one.trial, quality, 0.01, 0.5)
        writer.end_search("finished")
        assert writer.close(60) == 0
    return folder


def printed(encoding: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, bytes]:
    """What a command writes to a standard output of that encoding, as Python makes one for PYTHONIOENCODING."""
    written = io.BytesIO()
    output = io.TextIOWrapper(written, encoding=encoding)
    with monkeypatch.context() as patch:
        for name in ADDRESSES:
            patch.delenv(name, raising=False)
        patch.setattr(sys, "stdout", output)
        patch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace"))
        code = run(list(arguments))
    output.flush()
    return code, written.getvalue()


READING = [
    ["--help"],
    ["methods"],
    ["methods", "dst"],
    ["searches"],
    ["front", "full"],
    ["front", "full", "--confirmed"],
    ["front", "empty"],
    ["trials", "full"],
    ["compare", "full", "empty"],
    ["status", "full"],
]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_table_has_stand_ins(
    arguments: list[str], encoding: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if arguments[0] not in ("--help", "methods"):
        arguments = [*arguments, "--storage", str(storage)]
    code, written = printed(encoding, monkeypatch, *arguments)
    assert code == 0
    text = written.decode(encoding)
    assert len(text.splitlines()) == len(printed("utf-8", monkeypatch, *arguments)[1].decode().splitlines())
    if arguments[:2] == ["front", "full"]:
        spread = "±" if encoding != "ascii" else "+-"
        assert f"60.0% {spread} 1.0%" in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("arguments", [["front", "full"], ["trials", "full"], ["searches"]], ids=" ".join)
def test_json_says_the_same_in_every_encoding(
    arguments: list[str], encoding: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*arguments, "--json", "--storage", str(storage)]
    (_, written), (_, usual) = (printed(one, monkeypatch, *arguments) for one in (encoding, "utf-8"))
    assert written.isascii()
    assert json.loads(written) == json.loads(usual)
    assert NAME in usual.decode() or arguments[0] == "trials"


def test_files_are_utf8_whatever_the_terminal_is(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"front.{kind}" for kind in ("csv", "html", "png")]
    options = [part for file in files for part in (f"--{file.suffix[1:]}", str(file))]
    code, _ = printed("ascii", monkeypatch, "front", "full", *options, "--storage", str(storage))
    assert code == 0
    assert "0001" in files[0].read_text(encoding="utf-8")
    assert json.dumps(NAME).strip('"') in files[1].read_text(encoding="utf-8")
    assert files[2].stat().st_size > 0


def test_a_name_that_is_no_text_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The byte 0xff in an argument comes as a surrogate, which not even UTF-8 can write."""
    assert printed("utf-8", monkeypatch, "methods", "\udcff")[0] == 2


def test_the_command_itself_takes_what_the_environment_says() -> None:
    done = subprocess.run(
        [command(), "methods", "dst"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"inverse-relative" in done.stdout
    assert done.stdout.isascii()


def test_the_status_of_a_search_here_says_how_far_its_running_trials_are(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Ledger(storage / "empty").trial("0003")
    folder.write_plan(plan("0003"))
    asked = ("status", "empty", "--storage", str(storage))
    assert b"running" not in printed("utf-8", monkeypatch, *asked)[1]
    folder.write_progress(Progress(step=120, loss=0.43))
    assert "running: 0003 lora step 120 loss 0.43" in printed("utf-8", monkeypatch, *asked)[1].decode()


def test_a_notebook_is_given_plain_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its kernel sets FORCE_COLOR, and Rich would draw with HTML, in an output of its own for every line."""
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert Console().is_jupyter
    notebook = console()
    assert not notebook.is_terminal
    notebook.print("[bold]a line[/bold]")
    assert capsys.readouterr().out == "a line\n"
