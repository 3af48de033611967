"""A command as a process: its exit code and its error line."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer

from search.command_process import INTERRUPTED, command, complaint, exit_code, last_complaint
from spaces.errors import NoAnswer, RequestError, WorkError


def raising(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (RequestError("a = 1:\n  wrong"), 2, "a = 1: wrong"),
        (WorkError("it failed"), 1, "it failed"),
        (NoAnswer("no answer"), 1, "no answer"),
        (OSError(28, "No space left on device", "file"), 1, "[Errno 28] No space left on device: 'file'"),
        (typer.Abort(), 1, "interrupted"),
        (typer.BadParameter("no such option"), 2, "Invalid value: no such option"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(lambda: raising(error)) == code
    assert capsys.readouterr() == ("", f"paretune: {line}\n")


def test_an_unexpected_error_names_the_file_of_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda: raising(KeyError("key"))) == 1
    (file,) = re.findall(r"KeyError: 'key'; please report this, with what stands in (\S+)", capsys.readouterr().err)
    assert "raise error" in Path(file).read_text(encoding="utf-8")
    Path(file).unlink()


@pytest.mark.parametrize(("outcome", "code"), [(None, 0), (0, 0), (1, 1), ("text", 0), (INTERRUPTED, 1)])
def test_the_code_is_what_the_work_returns(outcome: object, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda: outcome) == code
    assert capsys.readouterr().err == ("paretune: interrupted\n" if outcome == INTERRUPTED else "")


def test_the_last_complaint_of_an_output() -> None:
    output = f"loading\n{complaint('a first one')}\nother: no\n{complaint('the last one')}\nan end\n"
    assert last_complaint(output) == "the last one"
    assert last_complaint("paretune 0.1\nnothing\n") is None


def test_a_command_runs_with_this_installation() -> None:
    done = subprocess.run(command(["methods", "nonsense"]), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert last_complaint(done.stderr) is not None
